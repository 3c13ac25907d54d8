"""Replaying: every trace against every arm, in turn, gathered in one document.

An arm is written as the user types it: ``core`` is this tree's, ``core@TREE`` that of a folder,
``core@COMMIT`` that of a commit, ``malloc`` the C library's; ``jemalloc`` and the other libraries
of allocators.py are preloaded in its place. Behind a core, separated by commas, ``OBM_NAME=VALUE``
defines a macro for the core's compilation, and ``retain=none`` or the like is a setting as in
PYTHONOBMALLOC.
"""
from __future__ import annotations

import dataclasses
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Callable, Sequence

from shared import processes

from . import allocators, callgrind, experiment, machine, native
from .errors import BenchmarkError

FORMAT = "obmallocbench replay 2"
CORE, MALLOC, NONE = "core", "malloc", "none"
CORE_FOLDERS = ("Include/internal/obmalloc", "Objects/obmalloc")
# Least and most bytes of the requests that are replayed: those that pymalloc serves, those above
# that obmalloc serves, or all of these.
SIZES = {"small": (1, 512), "medium": (513, 32768), "both": (1, 32768)}
REPLAYS = 3                 # in one process; the first warms caches and is not counted
MACRO = re.compile(r"OBM_[A-Z0-9_]+=-?\w+")
# What a sample of the replayer holds, in bytes.
SAMPLE = ("live", "floor", "resident", "kept", "metadata")


@dataclasses.dataclass(frozen=True)
class Arm:
    """What is replayed against.

    name: as typed. kind: core, malloc or none. tree: whose core (a folder's path or a commit), ""
    for ours. macros: NAME=VALUE. settings: as in PYTHONOBMALLOC. library: the name in
    allocators.LIBRARIES of what is preloaded, "" for nothing.
    """

    name: str
    kind: str
    tree: str = ""
    macros: tuple[str, ...] = ()
    settings: str = ""
    library: str = ""


def parse_arm(text: str) -> Arm:
    """Return the arm that text stands for; ValueError with the reason when there is none."""
    head, *changes = text.split(",")
    if text in allocators.LIBRARIES:
        return Arm(text, MALLOC, library=text)
    kind, at, tree = head.partition("@")
    if kind not in (CORE, MALLOC) or (at and (kind != CORE or not tree)) or "" in changes:
        raise ValueError(f"no arm {text!r}: it is malloc, {', '.join(allocators.LIBRARIES)}, or "
                         "core[@TREE or COMMIT][,CHANGE...]")
    macros = tuple(change for change in changes if change.startswith("OBM_"))
    wrong = [macro for macro in macros if MACRO.fullmatch(macro) is None]
    if wrong or (changes and kind != CORE):
        raise ValueError(f"no arm {text!r}: {(wrong or changes)[0]!r} cannot be changed; a core "
                         "takes OBM_NAME=VALUE and settings of PYTHONOBMALLOC")
    settings = ",".join(change for change in changes if change not in macros)
    return Arm(text, kind, tree, macros, settings)


def tree_of(arm: Arm, folder: Path) -> Path:
    """Return the tree with an arm's core; that of a commit is put in folder."""
    tree = Path(arm.tree) if arm.tree else machine.REPOSITORY
    if (tree / CORE_FOLDERS[1] / "static.c").is_file():
        return tree.resolve()
    commit = machine.ask_git("rev-parse", "--verify", "-q", f"{arm.tree}^{{commit}}")
    if commit is None:
        raise BenchmarkError(f"{arm.tree} has no core: it is neither a tree with "
                             f"{CORE_FOLDERS[1]}/static.c nor a commit")
    target = folder / f"commit-{commit[:12]}"
    archive = subprocess.run(["git", "-C", str(machine.REPOSITORY), "archive", "--format=tar",
                              commit, *CORE_FOLDERS], capture_output=True)
    if archive.returncode:
        raise BenchmarkError(f"commit {arm.tree} has no core: "
                             f"{archive.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(target)
    return target


def check_macros(arm: Arm, inputs: Sequence[Path]) -> None:
    """BenchmarkError if the sources in the folders do not know a macro of the arm, or fix it."""
    text = "".join(path.read_text(encoding="utf-8", errors="replace")
                   for folder in inputs for path in sorted(folder.rglob("*.[ch]")))
    for macro in arm.macros:
        name = macro.partition("=")[0]
        if re.search(rf"\b{name}\b", text) is None:
            raise BenchmarkError(f"arm {arm.name}: the core knows no {name}: the tunables are in "
                                 f"{CORE_FOLDERS[0]}/config.h")
        if re.search(rf"#\s*ifndef {name}\b", text) is None:
            raise BenchmarkError(f"arm {arm.name}: {name} cannot be set from outside: put an #ifndef "
                                 f"around it in {CORE_FOLDERS[0]}/config.h first")


def build(arm: Arm, folder: Path) -> Path:
    """Return the path of the program that replays against an arm, compiled if need be."""
    files = ["replay.c", "trace.c", "resident.c", f"arm_{arm.kind}.c"]
    if arm.kind != CORE:
        return native.build(arm.kind, [*files, "arm_silent.c"], [], [], folder)
    tree = tree_of(arm, folder)
    inputs = [tree / part for part in CORE_FOLDERS]
    check_macros(arm, inputs)
    options = [f"-I{tree / 'Include/internal'}", f"-I{tree / 'Objects'}",
               *(f"-D{macro}" for macro in arm.macros)]
    return native.build(CORE, files, options, inputs, folder)


@dataclasses.dataclass(frozen=True)
class Replayer:
    """An arm that can be run. program: the path of its replayer. environment: of it."""

    arm: Arm
    program: Path
    environment: dict[str, str]

    def command(self, what: str, count: int, sizes: str, trace: Path) -> list[str]:
        """Return the words that replay a trace: what is ``time`` or ``pages``, count how often,
        sizes a name in SIZES."""
        return [str(self.program), what, str(count), self.arm.settings, *map(str, SIZES[sizes]),
                str(trace)]

    def run(self, what: str, count: int, sizes: str, trace: Path, limit: float) -> dict:
        """Replay a trace in a process of its own and return what it says."""
        name = f"arm {self.arm.name}"
        text = processes.output_of(self.command(what, count, sizes, trace), name, limit,
                                   self.environment)
        try:
            return json.loads(text)
        except ValueError as error:
            raise BenchmarkError(f"{name} wrote {text[:60]!r}") from error

    def instructions(self, valgrind: str, sizes: str, trace: Path, limit: float) -> int:
        """Return the instructions of a process that replays a trace once, reading it included."""
        return callgrind.profile_of(valgrind, self.command("time", 1, sizes, trace),
                                    self.environment, limit).total


def replayer_of(arm: Arm, folder: Path) -> Replayer:
    """Return what replays against an arm. folder: where programs and packages of PyPI go.
    BenchmarkError says why a library cannot be preloaded."""
    environment = {}
    if arm.library:
        interpreter = machine.describe_interpreter(sys.executable)
        environment["LD_PRELOAD"] = allocators.library_path(
            arm.library, allocators.Sources({}, folder), interpreter)
    return Replayer(arm, build(arm, folder), machine.clean_environment(environment))


def replay_trace(trace: Path, replayers: Sequence[Replayer], nothing: Replayer,
                 parameters: dict[str, int | str], valgrind: str | None, limit: float,
                 progress: Callable[[str], None]) -> dict:
    """Return the document's part about one trace. nothing: the replayer of the arm that does
    nothing. parameters: rounds, samples, sizes. valgrind: None when instructions are not
    wanted."""
    results = {one.arm.name: {"name": one.arm.name, "cpu_nanoseconds": [], "instructions": None}
               for one in replayers}
    sizes = parameters["sizes"]
    for number in range(parameters["rounds"]):
        progress(f"{trace.stem}, round {number + 1} of {parameters['rounds']}")
        for one in replayers:
            said = one.run("time", REPLAYS, sizes, trace, limit)
            results[one.arm.name]["cpu_nanoseconds"].append(said["cpu_nanoseconds"])
    for one in replayers:
        progress(f"{trace.stem}, pages: {one.arm.name}")
        said = one.run("pages", parameters["samples"], sizes, trace, limit)
        facts = {name: said.pop(name) for name in ("calls_of_program", "calls", "slots", "threads")}
        if facts["calls"] == 0:
            raise BenchmarkError(f"{trace} has no {sizes} request: replay it with other --sizes")
        results[one.arm.name].update(said)
    if valgrind is not None:
        progress(f"{trace.stem}, instructions: the replaying itself")
        base = nothing.instructions(valgrind, sizes, trace, limit)
        for one in replayers:
            progress(f"{trace.stem}, instructions: {one.arm.name}")
            counted = one.instructions(valgrind, sizes, trace, limit)
            results[one.arm.name]["instructions"] = counted - base
    return {"name": trace.stem, **facts, "arms": list(results.values())}


def run_replay(traces: Sequence[Path], arms: Sequence[Arm], parameters: dict[str, int | str],
               folder: Path, valgrind: str | None, limit: float,
               progress: Callable[[str], None]) -> dict:
    """Replay all traces against all arms and return the document. folder: for the programs, and
    packages of PyPI."""
    facts = experiment.circumstances({})
    del facts["interpreters"]
    progress("compiling")
    *replayers, nothing = [replayer_of(arm, folder) for arm in (*arms, Arm(NONE, NONE))]
    results = [replay_trace(trace, replayers, nothing, parameters, valgrind, limit, progress)
               for trace in traces]
    return {"format": FORMAT, **experiment.finish_circumstances(facts),
            "compiler": native.compiler_version(), "parameters": parameters,
            "valgrind": valgrind and callgrind.version_of(valgrind),
            "arms": [dataclasses.asdict(arm) for arm in arms], "traces": results}
