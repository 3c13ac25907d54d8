"""What a process of a measured service tells when it is asked by a signal.

SIGRTMIN        who keeps its memory, and how much of it is what it remembers: it writes PID.json
                into the folder OBMALLOCBENCH_TELL.
SIGRTMIN + 1    its work is over: it calls malloc_trim(0), in the arm that does so, and writes
                PID.trimmed.
"""

import os
import signal
import sys
from pathlib import Path

import remembering

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "workloads"))
import measure      # noqa: E402

remembered = []         # containers whose values are what the service remembers


def answer(suffix, text=""):
    """Write a file called by the process, whole or not at all."""
    path = Path(os.environ["OBMALLOCBENCH_TELL"], f"{os.getpid()}.{suffix}")
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="ascii")
    temporary.replace(path)


def tell(number, frame):
    kept_by = measure.kept_by()         # before the search takes memory
    kept_by["remembered_bytes"] = remembering.size(
        value for container in remembered for value in container.values())
    answer("json", measure.to_json(kept_by))


def trim(number, frame):
    signal.signal(number, lambda number, frame: answer("trimmed"))      # once, if it is sent again
    measure.trim_if_asked()
    answer("trimmed")


def begin(*containers):
    """Listen from now on, and say so by an empty file called by the process. containers: their
    values are what the service remembers."""
    remembered[:] = containers
    measure.kept_by()           # what the first look allocates is part of the base
    signal.signal(signal.SIGRTMIN, tell)
    signal.signal(signal.SIGRTMIN + 1, trim)
    Path(os.environ["OBMALLOCBENCH_TELL"], str(os.getpid())).touch()
