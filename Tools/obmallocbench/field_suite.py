"""pyperformance, the benchmarks that CPython's own developers use, on stock and patched.

It comes from PyPI into a venv of ours, makes a venv for each interpreter, and measures; pyperf's
table compares. Each benchmark is run by stock, by patched, and by stock again before the next one
begins: what stock differs from itself is noise. Files appear when all are whole.
"""
from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Callable, Sequence

from . import experiment, packages, processes
from .document import write_whole
from .errors import BenchmarkError
from .figures import busy, unlike

SUITE = "pyperformance"
ARMS = {"stock": "stock", "patched": "patched", "stock-again": "stock"}    # to the interpreter
OURS = ("-p", "--python", "-o", "--output", "--append", "--venv", "--manifest")
ANSWER_SECONDS = 300.0
FAILED_MARK = "ERROR: Benchmark "           # begins the line of one that failed
NOISE = "stock-again is stock measured a second time: a difference that is no greater is noise."


def suite_environment() -> dict[str, str]:
    """Return the environment: ours, since pip may need what it says, but nothing that would change
    an interpreter."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "LD_", "MALLOC_", "MIMALLOC_", "VIRTUAL_ENV"))}


def split_selection(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return which benchmarks the user's words select (as -b takes it, "" for all), and the
    others of these words; BenchmarkError for what is ours to say."""
    selection, others = "", []
    left = list(words)
    while left:
        word = left.pop(0)
        name, _, value = word.partition("=")
        if name in OURS:
            raise BenchmarkError(f"{word} is not for you to say: what runs, and where results go, "
                                 "is settled")
        if name not in ("-b", "--benchmarks"):
            others.append(word)
        elif value or left:
            selection = value or left.pop(0)
        else:
            raise BenchmarkError(f"{word} says no benchmark")
    return selection, others


def list_command(python: Path, selection: str) -> list[str]:
    """Return the words that list the benchmarks of a selection."""
    return [str(python), "-m", SUITE, "list", *(["-b", selection] if selection else [])]


def names_of(listed: str) -> list[str]:
    """Return the benchmarks' names that the suite listed."""
    return [line.removeprefix("- ") for line in listed.splitlines() if line.startswith("- ")]


def run_command(python: Path, interpreter: str, name: str, output: Path,
                words: Sequence[str]) -> list[str]:
    """Return the words that measure an interpreter with a benchmark, and add what comes out to a
    file; words: what the user adds."""
    return [str(python), "-m", SUITE, "run", "--python", interpreter, "--benchmarks", name,
            "--append", str(output), *words]


def compare_command(python: Path, files: Sequence[Path]) -> list[str]:
    """Return the words that compare results, the first with the others, as a table in Markdown."""
    return [str(python), "-m", "pyperf", "compare_to", "--table", "--table-format", "md",
            *map(str, files)]


def measure(command: Sequence[str], folder: Path, log: Path) -> bool:
    """Run the suite in a folder, add what it says to a log, and return whether its benchmark was
    measured; BenchmarkError when it is not the benchmark that failed."""
    run = subprocess.run(command, cwd=folder, env=suite_environment(), text=True, errors="replace",
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with open(log, "a", encoding="utf-8") as stream:
        stream.write(run.stdout)
    if run.returncode and FAILED_MARK not in run.stdout:
        last = (run.stdout.strip().splitlines() or ["it said nothing"])[-1]
        raise BenchmarkError(f"{SUITE} ended with status {run.returncode}: {last} (see {log})")
    return run.returncode == 0


def facts_of(facts: dict, versions: dict[str, str], words: Sequence[str]) -> str:
    """Return where and how it was measured, as a paragraph."""
    stock, repository = facts["interpreters"]["stock"], facts["repository"]
    commit = (repository["commit"] or "none yet")[:12] + " + changes" * bool(repository["dirty"])
    return " ".join((
        f"CPython {stock['version'].split()[0]}, {stock['compiler']}, configured with "
        f"{stock['configured_with'] or 'nothing'}; obmalloc commit {commit}; "
        f"{facts['machine']['cpu_model'] or 'processor unknown'}, {facts['machine']['cores']} "
        f"cores, {facts['machine']['kernel']}; {facts['date'][:10]}.",
        f"{SUITE} {versions[SUITE]}, pyperf {versions['pyperf']}, with: "
        f"{shlex.join(words) or 'all of its benchmarks'}.", *unlike(facts), *busy(facts)))


def run_suite(interpreters: dict[str, dict], words: Sequence[str], folder: Path, report: Path,
              progress: Callable[[str, bool], None]) -> tuple[str, list[Path], list[str]]:
    """Measure both interpreters, and return the comparison (Markdown), the files written, and the
    names of the benchmarks that failed.

    words: what the user adds to the suite's command. folder: for venvs. report: where files go.
    """
    selection, others = split_selection(words)
    facts = experiment.circumstances(interpreters)
    progress(f"fetching {SUITE}", True)
    python, versions = packages.install_tool(SUITE, folder / "tool")
    names = names_of(processes.output_of(list_command(python, selection), SUITE, ANSWER_SECONDS,
                                         suite_environment()))
    parts = {arm: folder.resolve() / f"{arm}.json" for arm in ARMS}
    log = report / f"{SUITE}.log"
    log.unlink(missing_ok=True)
    failed: dict[str, None] = {}
    try:
        for part in parts.values():
            part.unlink(missing_ok=True)
        for number, name in enumerate(names):
            for arm, interpreter in ARMS.items():
                progress(f"{number + 1} of {len(names)}: {name}, {arm}", True)
                path = interpreters[interpreter]["path"]
                if not measure(run_command(python, path, name, parts[arm], others), folder, log):
                    failed[name] = None
        if not all(part.exists() for part in parts.values()):
            raise BenchmarkError(f"no benchmark could be run: {', '.join(failed) or 'none known'} "
                                 f"(see {log})")
        table = processes.output_of(compare_command(python, list(parts.values())), "pyperf",
                                    ANSWER_SECONDS, suite_environment())
        written = []
        for arm, part in parts.items():
            written.append(report / f"{SUITE}-{arm}.json")
            write_whole(written[-1], part.read_bytes())
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    facts = experiment.finish_circumstances(facts)
    text = f"{table.strip()}\n\n{NOISE} {facts_of(facts, versions, words)}\n"
    written.append(report / f"{SUITE}.md")
    write_whole(written[-1], text.encode("utf-8"))
    return text, written, list(failed)
