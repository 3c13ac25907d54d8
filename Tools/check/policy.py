"""One owner of the policy: only retention.c writes struct obm_retention and reads the clock.

    python3 Tools/check/policy.py FOLDER COMPILER OPTION...

Run from the top of the repository.  A copy of the headers is made in FOLDER in which a
heap's struct obm_retention is const, and the clock of struct obm_os has another name.
Every other file of the core must compile with it.  Each error of the compiler is a
line.  Ends with the counts that Tools/check/summary.sh adds up.
"""

import pathlib
import shutil
import subprocess
import sys

SOURCES = pathlib.Path("Objects/obmalloc")
HEADERS = pathlib.Path("Include/internal/obmalloc")
# What becomes what in types.h, each exactly once.
CHANGES = {
    "    struct obm_retention retention;": "    const struct obm_retention retention;",
    "    uint64_t (*now)(void);  /* nanoseconds": "    uint64_t (*clock)(void);  /* nanoseconds",
}


def copy_headers(folder):
    """Put the changed headers into folder/obmalloc."""
    target = folder / "obmalloc"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(HEADERS, target)
    types = target / "types.h"
    text = types.read_text()
    for old, new in CHANGES.items():
        if text.count(old) != 1:
            sys.exit(f"policy.py: {HEADERS}/types.h has {text.count(old)} times, not once: {old}")
        text = text.replace(old, new)
    types.write_text(text)


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: python3 Tools/check/policy.py FOLDER COMPILER OPTION...")
    folder, compiler = pathlib.Path(sys.argv[1]), sys.argv[2:]
    copy_headers(folder)
    passed = failed = 0
    for source in sorted(SOURCES.glob("*.c")):
        if source.name in ("retention.c", "static.c"):
            continue
        done = subprocess.run([*compiler, f"-I{folder}", "-fsyntax-only", str(source)],
                              capture_output=True, text=True)
        for line in done.stderr.splitlines():
            if "error:" in line:
                print(f"{line}: only retention.c may")
        passed += done.returncode == 0
        failed += done.returncode != 0
    if passed == failed == 0:
        sys.exit(f"policy.py: no sources in {SOURCES}: run this from the top of the repository")
    print(f"{passed} passed, {failed} failed")


if __name__ == "__main__":
    main()
