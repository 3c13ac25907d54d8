"""Replaying: every trace against every arm, in turn, gathered in one document.

An arm is written as the user types it: ``core`` is this tree's, ``core@TREE`` that of a folder,
``core@COMMIT`` that of a commit, ``malloc`` the C library's. Behind it, separated by commas,
``OBM_NAME=VALUE`` defines a macro for the core's compilation, and ``retain=none`` or the like is
a setting as in PYTHONOBMALLOC.
"""
from __future__ import annotations

import dataclasses
import io
import json
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Callable, Sequence

from shared import processes

from . import callgrind, experiment, machine, native
from .errors import BenchmarkError

FORMAT = "obmallocbench replay 1"
CORE, MALLOC, NONE = "core", "malloc", "none"
CORE_FOLDERS = ("Include/internal/obmalloc", "Objects/obmalloc")
REPLAYS = 3                 # in one process; the first warms caches and is not counted
MACRO = re.compile(r"OBM_[A-Z0-9_]+=-?\w+")
# What a sample of the replayer holds, in bytes.
SAMPLE = ("live", "floor", "resident", "kept", "metadata")


@dataclasses.dataclass(frozen=True)
class Arm:
    """What is replayed against.

    name: as typed. kind: core, malloc or none. tree: whose core (a folder's path or a commit), ""
    for ours. macros: NAME=VALUE. settings: as in PYTHONOBMALLOC.
    """

    name: str
    kind: str
    tree: str = ""
    macros: tuple[str, ...] = ()
    settings: str = ""


def parse_arm(text: str) -> Arm:
    """Return the arm that text stands for; ValueError with the reason when there is none."""
    head, *changes = text.split(",")
    kind, at, tree = head.partition("@")
    if kind not in (CORE, MALLOC) or (at and (kind != CORE or not tree)) or "" in changes:
        raise ValueError(f"no arm {text!r}: it is malloc, or core[@TREE or COMMIT][,CHANGE...]")
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


def command(program: Path, what: str, count: int, arm: Arm, trace: Path) -> list[str]:
    """Return the words that replay a trace: what is ``time`` or ``pages``, count how often."""
    return [str(program), what, str(count), arm.settings, str(trace)]


def run(program: Path, what: str, count: int, arm: Arm, trace: Path, limit: float) -> dict:
    """Replay a trace in a process of its own and return what it says."""
    text = processes.output_of(command(program, what, count, arm, trace), f"arm {arm.name}", limit)
    try:
        return json.loads(text)
    except ValueError as error:
        raise BenchmarkError(f"arm {arm.name} wrote {text[:60]!r}") from error


def count_instructions(valgrind: str, programs: dict[str, Path], arm: Arm, trace: Path,
                       limit: float) -> int:
    """Return the instructions of a process that replays a trace once, reading it included."""
    words = command(programs[arm.name], "time", 1, arm, trace)
    return callgrind.profile_of(valgrind, words, machine.clean_environment({}), limit).total


def replay_trace(trace: Path, arms: Sequence[Arm], programs: dict[str, Path],
                 parameters: dict[str, int], valgrind: str | None, limit: float,
                 progress: Callable[[str], None]) -> dict:
    """Return the document's part about one trace. programs: of the arms, by name, and of "none".
    parameters: rounds, samples. valgrind: None when instructions are not wanted."""
    results = {arm.name: {"name": arm.name, "cpu_nanoseconds": [], "instructions": None}
               for arm in arms}
    for number in range(parameters["rounds"]):
        progress(f"{trace.stem}, round {number + 1} of {parameters['rounds']}")
        for arm in arms:
            said = run(programs[arm.name], "time", REPLAYS, arm, trace, limit)
            results[arm.name]["cpu_nanoseconds"].append(said["cpu_nanoseconds"])
    for arm in arms:
        progress(f"{trace.stem}, pages: {arm.name}")
        said = run(programs[arm.name], "pages", parameters["samples"], arm, trace, limit)
        facts = {name: said.pop(name) for name in ("calls_of_program", "calls", "slots")}
        results[arm.name].update(said)
    if valgrind is not None:
        progress(f"{trace.stem}, instructions: the replaying itself")
        nothing = count_instructions(valgrind, programs, Arm(NONE, NONE), trace, limit)
        for arm in arms:
            progress(f"{trace.stem}, instructions: {arm.name}")
            counted = count_instructions(valgrind, programs, arm, trace, limit)
            results[arm.name]["instructions"] = counted - nothing
    return {"name": trace.stem, **facts, "arms": list(results.values())}


def run_replay(traces: Sequence[Path], arms: Sequence[Arm], parameters: dict[str, int],
               folder: Path, valgrind: str | None, limit: float,
               progress: Callable[[str], None]) -> dict:
    """Replay all traces against all arms and return the document. folder: for the programs."""
    facts = experiment.circumstances({})
    del facts["interpreters"]
    progress("compiling")
    programs = {arm.name: build(arm, folder) for arm in (*arms, Arm(NONE, NONE))}
    results = [replay_trace(trace, arms, programs, parameters, valgrind, limit, progress)
               for trace in traces]
    return {"format": FORMAT, **experiment.finish_circumstances(facts),
            "compiler": native.compiler_version(), "parameters": parameters,
            "valgrind": valgrind and callgrind.version_of(valgrind),
            "arms": [dataclasses.asdict(arm) for arm in arms], "traces": results}
