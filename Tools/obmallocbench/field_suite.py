"""pyperformance, the benchmarks that CPython's own developers use, on stock and patched.

It comes from PyPI into a venv of ours, makes a venv for each interpreter, and measures; pyperf's
table compares. Each benchmark is run by stock, by patched, and by stock again before the next one
begins: what stock differs from itself is noise. Results go into a journal as they come, so that
the same command goes on where it was interrupted; the other files appear when all are whole.
"""
from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Callable, Sequence

from shared import files, packages, processes
from shared.processes import last_line

from . import experiment
from .comparison import ensure_unchanged, signature
from .errors import BenchmarkError
from .figures import busy, machine_of, stock_of, unlike
from .journal import Journal, key_of

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
    """Return the words that measure an interpreter with a benchmark, and write what comes out to
    a file; words: what the user adds."""
    return [str(python), "-m", SUITE, "run", "--python", interpreter, "--benchmarks", name,
            "--output", str(output), *words]


def compare_command(python: Path, files: Sequence[Path]) -> list[str]:
    """Return the words that compare results, the first with the others, as a table in Markdown."""
    return [str(python), "-m", "pyperf", "compare_to", "--table", "--table-format", "md",
            *map(str, files)]


def measure(command: Sequence[str], output: Path, log: Path) -> dict | None:
    """Run the suite, add what it says to a log, and return the results that it wrote to the output
    (pyperf's form); None when its benchmark failed, BenchmarkError when it is not the benchmark
    that failed."""
    output.unlink(missing_ok=True)      # what one that failed may have left
    run = subprocess.run(command, cwd=output.parent, env=suite_environment(), text=True,
                         errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT)
    with open(log, "a", encoding="utf-8") as stream:
        stream.write(run.stdout)
    if run.returncode == 0 and output.exists():
        return json.loads(output.read_bytes())
    if FAILED_MARK not in run.stdout:
        last = last_line(run.stdout, "it said nothing")
        raise BenchmarkError(f"{SUITE} ended with status {run.returncode}: {last} (see {log})")
    return None


def merged(results: Sequence[dict]) -> dict:
    """Return results in pyperf's form as one; what is said of all benchmarks of one of them is
    said of each, since it need not be true of the others."""
    return {"benchmarks": [{**benchmark, "metadata": {**one.get("metadata", {}),
                                                      **benchmark.get("metadata", {})}}
                           for one in results for benchmark in one["benchmarks"]],
            "version": results[0]["version"]}


class Runs:
    """What runs: benchmarks by the arms in turn, each to be found again in a journal."""

    def __init__(self, interpreters: dict[str, dict], facts: dict, versions: dict[str, str],
                 words: Sequence[str]):
        self.paths = {arm: interpreters[name]["path"] for arm, name in ARMS.items()}
        self.signatures = {path: signature(path) for path in self.paths.values()}
        self.circumstances = {
            arm: {"interpreter": interpreters[name]["sha256"], "machine": facts["machine"],
                  "packages": versions, "words": list(words)} for arm, name in ARMS.items()}

    def key(self, name: str, arm: str) -> str:
        """Return the key of an arm's run of a benchmark."""
        return key_of({"benchmark": name, "arm": arm, **self.circumstances[arm]})

    def path(self, arm: str) -> str:
        """Return the arm's interpreter; BenchmarkError if it is not what it was at the start."""
        path = self.paths[arm]
        ensure_unchanged(path, self.signatures[path])
        return path


def facts_of(facts: dict, versions: dict[str, str], words: Sequence[str]) -> str:
    """Return where and how it was measured, as a paragraph."""
    return " ".join((
        stock_of(facts), f"{machine_of(facts)}.",
        f"{SUITE} {versions[SUITE]}, pyperf {versions['pyperf']}, with: "
        f"{shlex.join(words) or 'all of its benchmarks'}.", *unlike(facts), *busy(facts)))


def run_all(names: Sequence[str], runs: Runs, python: Path, words: Sequence[str], folder: Path,
            journal: Journal, log: Path, progress: Callable[[str, bool], None]) -> list[str]:
    """Measure what the journal has not, and return the names of the benchmarks that failed."""
    failed: dict[str, None] = {}
    missing = [(number, name, arm) for number, name in enumerate(names) for arm in ARMS
               if (runs.key(name, arm), 0) not in journal.runs]
    for number, name, arm in missing:
        progress(f"{number + 1} of {len(names)}: {name}, {arm}", True)
        output = folder / "results.json"
        results = measure(run_command(python, runs.path(arm), name, output, words), output, log)
        if results is None:
            failed[name] = None
        else:
            journal.add(runs.key(name, arm), 0, results)
    return list(failed)


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
    runs = Runs(interpreters, facts, versions, others)
    log = report / f"{SUITE}.log"
    with (Journal(report / f"{SUITE}.journal") as journal,
          tempfile.TemporaryDirectory(dir=folder.resolve()) as temporary):
        if not journal.runs:
            log.unlink(missing_ok=True)
        failed = run_all(names, runs, python, others, Path(temporary), journal, log, progress)
        contents = {}
        for arm in ARMS:
            results = [journal.runs[runs.key(name, arm), 0] for name in names
                       if (runs.key(name, arm), 0) in journal.runs]
            if not results:
                raise BenchmarkError("no benchmark could be run: "
                                     f"{', '.join(failed) or 'none known'} (see {log})")
            contents[Path(temporary) / f"{arm}.json"] = json.dumps(merged(results)).encode("utf-8")
        for path, content in contents.items():
            path.write_bytes(content)
        table = processes.output_of(compare_command(python, list(contents)), "pyperf",
                                    ANSWER_SECONDS, suite_environment())
    written = [report / f"{SUITE}-{path.name}" for path in contents]
    for path, content in zip(written, contents.values()):
        files.write(path, content)
    facts = experiment.finish_circumstances(facts)
    text = f"{table.strip()}\n\n{NOISE} {facts_of(facts, versions, words)}\n"
    written.append(report / f"{SUITE}.md")
    files.write(written[-1], text.encode("utf-8"))
    return text, written, failed
