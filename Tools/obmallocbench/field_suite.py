"""pyperformance, the benchmarks that CPython's own developers use, on stock and patched.

It comes from PyPI into a venv of ours, makes a venv for each interpreter, and measures; pyperf's
table compares. Their files appear when both are whole.
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
ARMS = ("stock", "patched")
OURS = ("-p", "--python", "-o", "--output", "--append", "--venv", "--manifest")
COMPARE_SECONDS = 300.0
FAILED_MARK = "ERROR: Benchmark "           # begins the line of one that failed


def suite_environment() -> dict[str, str]:
    """Return the environment: ours, since pip may need what it says, but nothing that would change
    an interpreter."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "LD_", "MALLOC_", "MIMALLOC_", "VIRTUAL_ENV"))}


def run_command(python: Path, interpreter: str, output: Path, words: Sequence[str]) -> list[str]:
    """Return the words that measure an interpreter; words: what the user adds."""
    return [str(python), "-m", SUITE, "run", "--python", interpreter, "--output", str(output),
            *words]


def compare_command(python: Path, files: Sequence[Path]) -> list[str]:
    """Return the words that compare results, the first with the others, as a table in Markdown."""
    return [str(python), "-m", "pyperf", "compare_to", "--table", "--table-format", "md",
            *map(str, files)]


def refuse_ours(words: Sequence[str]) -> None:
    """Raise BenchmarkError when the user's words say what we say ourselves."""
    for word in words:
        if word.partition("=")[0] in OURS:
            raise BenchmarkError(f"{word} is not for you to say: what runs, and where results go, "
                                 "is settled")


def measure(command: Sequence[str], folder: Path, log: Path, output: Path,
            progress: Callable[[str], None]) -> list[str]:
    """Run the suite in a folder, everything that it says into a log, and return the names of the
    benchmarks that failed; BenchmarkError when there is no result at all."""
    failed, last = [], "it said nothing"
    with open(log, "w", encoding="utf-8") as stream, \
            subprocess.Popen(command, cwd=folder, env=suite_environment(), text=True,
                             errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT) as child:
        try:
            for line in child.stdout:
                stream.write(line)
                last = line.strip() or last
                if line.startswith(FAILED_MARK):
                    failed.append(line.removeprefix(FAILED_MARK).split()[0])
                if line.startswith("["):
                    progress(last)
        except BaseException:
            child.kill()
            raise
    if not output.exists():
        raise BenchmarkError(f"{SUITE} measured nothing: {last} (see {log})")
    if child.returncode and not failed:
        raise BenchmarkError(f"{SUITE} ended with status {child.returncode}: {last} (see {log})")
    return failed


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
    refuse_ours(words)
    facts = experiment.circumstances(interpreters)
    progress(f"fetching {SUITE}", True)
    python, versions = packages.install_tool(SUITE, folder / "tool")
    parts = [folder.resolve() / f"{name}.json" for name in ARMS]
    failed = []
    try:
        for name, part in zip(ARMS, parts):
            part.unlink(missing_ok=True)
            progress(f"{SUITE}, {name}", True)
            command = run_command(python, interpreters[name]["path"], part, words)
            failed += [f"{one} ({name})" for one in measure(
                command, folder, report / f"{SUITE}-{name}.log", part,
                lambda line, name=name: progress(f"{SUITE}, {name}: {line}", False))]
        table = processes.output_of(compare_command(python, parts), "pyperf", COMPARE_SECONDS,
                                    suite_environment())
        written = []
        for name, part in zip(ARMS, parts):
            written.append(report / f"{SUITE}-{name}.json")
            write_whole(written[-1], part.read_bytes())
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    facts = experiment.finish_circumstances(facts)
    text = f"{table.strip()}\n\n{facts_of(facts, versions, words)}\n"
    written.append(report / f"{SUITE}.md")
    write_whole(written[-1], text.encode("utf-8"))
    return text, written, failed
