"""make fuzz: libFuzzer on the core, for SECONDS.

It starts from the corpus in the repository and from what earlier runs found
(build/fuzz/corpus, which `make clean` removes).  MERGE=yes takes the inputs of
these that reach something new into Tools/fuzz/corpus.  A finding is minimised,
and the command that replays it is printed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Optional

import places
from errors import BuildError, say
from processes import clean_environment, run_logged, seconds_wanted, telling_line
from places import shown
from shared import files

DEFAULT_SECONDS = 60
LONGEST_INPUT = 512         # bytes
INPUT_TIMEOUT_SECONDS = 60  # an input that takes longer is a finding
MINIMISE_SECONDS = 60
_DONE = re.compile(rb"^#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)/", re.M)
_ARTIFACT = re.compile(rb"Test unit written to (\S+)")


def _merge_wanted() -> bool:
    text = os.environ.get("MERGE", "") or "no"
    if text not in ("yes", "no"):
        raise BuildError(f"MERGE={text} is unknown: say MERGE=yes or MERGE=no")
    return text == "yes"


class Fuzzer:
    """The programs and folders of a run, in places.BUILD."""

    def __init__(self) -> None:
        self.folder = places.BUILD / "fuzz"
        self.corpus = places.ROOT / "Tools/fuzz/corpus"
        self.found = self.folder / "corpus"
        self.findings = self.folder / "findings"
        self.program = self.folder / "libfuzzer"
        self.log = self.folder / "fuzz.log"

    def build(self) -> None:
        """libfuzzer and replay, or one line that says what is missing."""
        for folder in (self.found, self.findings):
            folder.mkdir(parents=True, exist_ok=True)
        probe = subprocess.run(
            ["clang", "-fsanitize=fuzzer", "-x", "c", "-", "-o", str(self.folder / "probe")],
            input=b"int LLVMFuzzerTestOneInput(void) { return 0; }", capture_output=True,
            env=clean_environment()) if shutil.which("clang") else None
        if probe is None or probe.returncode != 0:
            raise BuildError("clang with libFuzzer was not found: install clang and, on Debian 12, "
                             "libclang-rt-14-dev")
        run_logged(["make", "--no-print-directory", "-f", "Tools/fuzz/fuzz.mk",
                    shown(self.program), shown(self.folder / "replay")],
                   self.folder / "build.log", what="building the fuzzer", cwd=places.ROOT)

    def run(self, *arguments: str) -> int:
        """Run libFuzzer, its output in the log; returns its status."""
        with open(self.log, "wb") as stream:
            return subprocess.run([str(self.program), f"-artifact_prefix={self.findings}/", *arguments],
                                  cwd=places.ROOT, stdin=subprocess.DEVNULL, stdout=stream,
                                  stderr=subprocess.STDOUT, env=clean_environment()).returncode

    def artifact(self) -> Optional[Path]:
        """The input that the run has ended with."""
        written = _ARTIFACT.findall(self.log.read_bytes())
        return Path(os.fsdecode(written[-1])) if written else None

    def minimised(self, finding: Path) -> Path:
        """The shortest input found that fails too; the finding itself if there is none."""
        small = finding.with_name(finding.name + ".small")
        log = self.log.read_bytes()
        self.run("-minimize_crash=1", f"-max_total_time={MINIMISE_SECONDS}",
                 f"-timeout={INPUT_TIMEOUT_SECONDS}", f"-exact_artifact_path={small}", str(finding))
        files.write(self.log, log)
        return small if small.exists() else finding

    def merge(self) -> None:
        """Take what reaches something new into the repository's corpus."""
        before = {file.name for file in self.corpus.iterdir()}
        if self.run("-merge=1", "-use_counters=0", f"-timeout={INPUT_TIMEOUT_SECONDS}", str(self.corpus), str(self.found)) != 0:
            raise BuildError(f"merging failed: {telling_line(self.log)} (see {shown(self.log)})")
        added = {file.name for file in self.corpus.iterdir()} - before
        say(f"{len(added)} inputs added to {shown(self.corpus)}, which has {len(before | added)}")


def fuzz() -> int:
    """Run the fuzzer; the exit status is 1 after a finding."""
    seconds, merge = seconds_wanted(DEFAULT_SECONDS), _merge_wanted()
    fuzzer = Fuzzer()
    fuzzer.build()
    say(f"fuzzing for {seconds} s (log: {shown(fuzzer.log)})")
    status = fuzzer.run(f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}",
                        f"-timeout={INPUT_TIMEOUT_SECONDS}", str(fuzzer.found), str(fuzzer.corpus))
    if status != 0:
        finding = fuzzer.artifact()
        if finding is None:
            raise BuildError(f"the fuzzer failed (status {status}): {telling_line(fuzzer.log)} "
                             f"(see {shown(fuzzer.log)})")
        say(f"a finding after which the fuzzer stopped; minimising it for up to {MINIMISE_SECONDS} s")
        small = fuzzer.minimised(finding)
        raise BuildError(f"1 finding: {shown(fuzzer.folder / 'replay')} -v {shown(small)}")
    done = _DONE.search(fuzzer.log.read_bytes())
    if done:
        runs, edges, _, inputs = (int(number) for number in done.groups())
        say(f"{runs} runs, {edges} edges reached, {inputs} inputs kept; no finding")
    if merge:
        fuzzer.merge()
    return 0
