"""Lines of the C sources that are too long, and words that keep a reader busy.

    python3 Tools/check/words.py

Run from the top of the repository.  Looks at every .c and .h file of the core, the adapters
and the modules, and at the words of the documents.  Each violation is a line that says what
to write instead.  Ends with the counts that Tools/check/summary.sh adds up.
"""

import pathlib
import re
import sys

FOLDERS = ("Include/internal/obmalloc", "Objects/obmalloc", "Modules", "Python2")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "InternalDocs/*.md")
COLUMNS = 100               # of a C source
# What is not said, and what is said instead: the subject of a sentence is what acts, and an
# action has one verb (the glossary of InternalDocs/obmalloc.md).
INSTEAD = {
    r"nobody|no one|anybody|anyone|everybody|everyone|whoever": "name what acts",
    r"whatever": "name what is meant",
    r"wants to know": "say what it is for",
    r"everything (?:that|whose)": "name what is meant",
    r"(?:take|taken|takes|taking|took) (?:it )?apart": "split",
    r"patience": "refill threshold",
    r"hand(?:s|ed|ing)?(?: the memory)? back": "give back",
    r"ask(?:s|ed|ing)?(?: for)? ahead": "populate",
}
WORDS = {re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE): remedy for pattern, remedy in INSTEAD.items()}


def violations(path):
    """Yield what is wrong with the lines of a file."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if len(line) > COLUMNS and path.suffix != ".md":
            yield f"{path}:{number}: has {len(line)} columns: {COLUMNS} at most"
        for pattern, remedy in WORDS.items():
            for found in pattern.finditer(line):
                yield f"{path}:{number}: \"{found[0]}\": {remedy}"


def main():
    files = sorted(path for folder in FOLDERS for path in pathlib.Path(folder).rglob("*.[ch]"))
    if not files:
        sys.exit(f"words.py: no sources in {FOLDERS[0]}: run this from the top of the repository")
    files += sorted(path for pattern in DOCUMENTS for path in pathlib.Path().glob(pattern))
    failed = 0
    for path in files:
        found = list(violations(path))
        print(*found, sep="\n", end="\n" if found else "")
        failed += bool(found)
    print(f"{len(files) - failed} passed, {failed} failed")


if __name__ == "__main__":
    main()
