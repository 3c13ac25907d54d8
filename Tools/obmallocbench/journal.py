"""The journal of a long measurement: one line of JSON a run, appended whole or not at all.

A run is found again by its key, a checksum of all that decides what it measures, and its round. So
what was interrupted goes on where it stopped, and what was measured otherwise is not mixed in.
"""
from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from shared import files
from shared.forms import problems

from .errors import BenchmarkError

ENTRY = {"key": str, "round": int, "run": dict}


def key_of(configuration: dict) -> str:
    """Return the key of a configuration, which JSON can hold."""
    text = json.dumps(configuration, sort_keys=True)
    return files.sha256(text.encode("utf-8"))[:16]


class Journal:
    """An open journal, ours alone until it is closed. runs: by key and round."""

    def __init__(self, path: Path):
        """Open or begin the journal in a file. What a crash left half written is cut off."""
        self.path = path
        try:
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise BenchmarkError(f"cannot write {path}: {error.strerror}") from error
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self.descriptor)
            raise BenchmarkError(f"another run writes {path} now") from error
        try:
            content = path.read_bytes()
            whole = content[:content.rfind(b"\n") + 1]
            os.ftruncate(self.descriptor, len(whole))
            self.runs = {(entry["key"], entry["round"]): entry["run"]
                         for entry in map(self._entry, whole.splitlines())}
        except BaseException:
            self.close()
            raise

    def _entry(self, line: bytes) -> dict:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if problems(entry, ENTRY):
            raise BenchmarkError(f"{self.path} is no journal of obmallocbench: remove it, or put "
                                 "it elsewhere")
        return entry

    def add(self, key: str, number: int, run: dict) -> None:
        """Append a run of a round."""
        line = (json.dumps({"key": key, "round": number, "run": run}) + "\n").encode("utf-8")
        try:
            if os.write(self.descriptor, line) < len(line):
                raise OSError(0, "no space left")
            os.fsync(self.descriptor)
        except OSError as error:
            raise BenchmarkError(f"cannot write {self.path}: {error.strerror}") from error
        self.runs[key, number] = run

    def close(self) -> None:
        """Close it, so that others may open it; one without runs goes."""
        if os.fstat(self.descriptor).st_size == 0:
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception) -> None:
        self.close()
