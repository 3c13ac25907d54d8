"""Helpers of test.support, wherever this version keeps them."""

import time

try:
    from test.support.import_helper import import_module
    from test.support.os_helper import temp_dir
    from test.support.threading_helper import start_threads
except ImportError:     # before 3.10
    from test.support import import_module, start_threads, temp_dir

try:
    from test.support.threading_helper import requires_working_threading
except ImportError:     # before 3.11, when every platform had threads

    def requires_working_threading():
        return lambda test: test

try:
    from test.support import sleeping_retry
except ImportError:     # before 3.12

    def sleeping_retry(timeout, message):
        """Let a loop go on, with pauses, until it breaks or the time (seconds) is up."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            yield
            time.sleep(0.01)
        raise AssertionError(f'timeout ({timeout:.1f} seconds): {message}')
