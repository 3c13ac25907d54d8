"""What the field's programs share: the phases that each goes through, and what it is told.

A program is a script that imports its library from PYTHONPATH, and hands functions to ``run``:
work, which holds everything until it returns, and perhaps prepare, which writes the files that it
reads.
It runs alone as well: ``PYTHONPATH=... python3 -S Tools/obmallocbench/field_programs/images.py --images 4``
"""
import gc
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "workloads"))
import measure      # noqa: E402

SETTLE_SECONDS = 1.5        # before the start: allocators that wait a second have then given back
REQUEST_SECONDS = 0.02      # between two small requests


def small_request(number: int) -> int:
    """Do what a small request does: some objects, some text, a buffer; return its length."""
    rows = [{"id": number + row, "name": f"row {row}", "tags": [str(row), "new"]}
            for row in range(40)]
    buffer = bytearray(4096)
    text = repr(rows).encode("ascii")
    buffer[:len(text)] = text
    return len(buffer)


def in_threads(*calls: tuple) -> None:
    """Make calls, each a function and its arguments, at the same time, and wait for their end."""
    threads = [threading.Thread(target=function, args=arguments) for function, *arguments in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def prepare_elsewhere(prepare, count: int) -> Path:
    """Return a new folder in which a child has called prepare: what it allocates is not ours."""
    folder = Path(tempfile.mkdtemp(prefix="obmallocbench-"))
    child = os.fork()
    if child == 0:
        try:
            prepare(count, folder)
            os._exit(0)
        finally:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        shutil.rmtree(folder)
        measure.refuse("what the program reads could not be prepared")
    return folder


def nothing(count: int, folder: Path) -> None:
    """Prepare nothing."""


def run(name: str, work, size: dict[str, int], prepare=nothing) -> None:
    """Go through the phases, write the line that measure describes, and end the process.

    work: called with the size (int) and the folder in which prepare was called with the same size;
    what it returns is kept. size: the option's name and default. The least work, of size 1, is
    done before the start, so that what is imported and made once does not count. The marks: start,
    dropped, slept (nothing but time.sleep), light (small requests with short sleeps between them).
    """
    option = next(iter(size))
    parameters = measure.options({**size, "sleep": 3, "light": 150})
    count = parameters[option]
    recorder = measure.Recorder(name)
    measure.kept_by()           # what the first look allocates is not the program's
    folders = []
    try:
        folders = [prepare_elsewhere(prepare, number) for number in (1, count)]
        work(1, folders[0])
        gc.collect()
        time.sleep(SETTLE_SECONDS)
        recorder.mark("start", kept=True)
        kept = work(count, folders[1])
    finally:
        for folder in folders:
            shutil.rmtree(folder)
    gc.collect()
    recorder.mark("dropped")
    recorder.tell_that_the_work_is_done()
    measure.trim_if_asked()
    time.sleep(parameters["sleep"])
    recorder.mark("slept", kept=True)
    for number in range(parameters["light"]):
        small_request(number)
        time.sleep(REQUEST_SECONDS)
    recorder.mark("light", kept=True)
    recorder.finish(parameters, {"kept": len(kept)})
    os._exit(0)
