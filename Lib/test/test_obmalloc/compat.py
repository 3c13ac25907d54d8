"""Helpers of test.support, wherever this version keeps them."""

try:
    from test.support.import_helper import import_module
    from test.support.threading_helper import start_threads
except ImportError:     # before 3.10
    from test.support import import_module, start_threads

try:
    from test.support.threading_helper import requires_working_threading
except ImportError:     # before 3.11, when every platform had threads

    def requires_working_threading():
        return lambda test: test
