"""The order of the core's layers, proved from what its files include and call.

    python3 Tools/check/layers.py FOLDER

Run from the top of the repository.  FOLDER has the object files of one build with a
translation unit for each file, NAME.core.o.  The order is that in which
Objects/obmalloc/static.c includes the layers; what is proved:

- every file of Objects/obmalloc/ is a layer, and has a header of its name, which it
  includes first;
- a file, and the header of its name, include headers of layers above it in that list only;
- a file calls functions, and uses variables, of such layers only (by the symbols of its
  object file);
- the list in InternalDocs/obmalloc.md says the same as that of static.c.

Each violation is a line.  Ends with the counts that Tools/check/summary.sh adds up.
"""

import os
import pathlib
import re
import subprocess
import sys

SOURCES = pathlib.Path("Objects/obmalloc")
HEADERS = pathlib.Path("Include/internal/obmalloc")
STATIC = SOURCES / "static.c"
DOCUMENT = pathlib.Path("InternalDocs/obmalloc.md")


def read_order():
    """Return a dict from each layer's name to what static.c says of it, in its order."""
    line = re.compile(r'#include "(?:obmalloc/(\w+)\.h|(\w+)\.c)"(?:\s*/\* (.*?) \*/)?')
    return {found[1] or found[2]: found[3] for found in map(line.fullmatch, STATIC.read_text().splitlines())
            if found}


def included(path):
    """Return the names of the core's headers that a file includes, in its order."""
    return re.findall(r'#\s*include\s+"(?:obmalloc/)?(\w+)\.[ch]"', path.read_text())


def check_includes(order):
    """Yield what is wrong with the files' includes."""
    place = {name: number for number, name in enumerate(order)}
    for source in sorted(SOURCES.glob("*.c")):
        name = source.stem
        if source == STATIC:
            continue
        if name not in place:
            yield f"{source}: static.c does not list it"
        if not (HEADERS / f"{name}.h").is_file():
            yield f"{source}: there is no {HEADERS / name}.h"
        elif included(source)[:1] != [name]:
            yield f"{source}: does not include {name}.h first"
    for name in order:
        for path in (HEADERS / f"{name}.h", SOURCES / f"{name}.c"):
            for other in included(path) if path.is_file() else ():
                if other not in place:
                    yield f"{path}: includes {other}.h, which is no layer of static.c"
                elif place[other] >= place[name] and (other != name or path.suffix == ".h"):
                    yield f"{path}: includes {other}.h, which stands below it in static.c"


def symbols(objects):
    """Return (defined, undefined): the global symbols of an object file."""
    tool = os.environ.get("NM", "nm")
    text = subprocess.run([tool, "-g", "-P", str(objects)], check=True, capture_output=True,
                          text=True).stdout
    rows = [line.split() for line in text.splitlines()]
    return ({row[0] for row in rows if row[1] not in "Uvw"}, {row[0] for row in rows if row[1] in "Uvw"})


def check_calls(order, folder):
    """Yield what is wrong with the symbols that the object files use."""
    files = {name: symbols(folder / f"{name}.core.o") for name in order
             if (SOURCES / f"{name}.c").is_file()}
    home = {symbol: name for name, (defined, _) in files.items() for symbol in defined}
    place = {name: number for number, name in enumerate(order)}
    for name, (_, undefined) in files.items():
        for symbol in sorted(undefined):
            if place[home.get(symbol, name)] > place[name]:
                yield f"{name}.c uses {symbol}() of {home[symbol]}.c, which stands below it in static.c"


def check_document(order):
    """Yield what the document's list has that static.c has not, and the other way round."""
    said = dict(re.findall(r"^    (\w+)\.[ch] +(\S.*)$", DOCUMENT.read_text(), re.MULTILINE))
    if list(said.items()) != list(order.items()):
        wrong = [name for name in order if said.get(name) != order[name]] or list(said)
        yield f"{DOCUMENT}: its list of layers is not that of static.c: see {wrong[0]}"


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python3 Tools/check/layers.py FOLDER")
    order = read_order()
    if not order:
        sys.exit(f"layers.py: {STATIC} lists no layer: run this from the top of the repository")
    passed = failed = 0
    for problems in (check_includes(order), check_calls(order, pathlib.Path(sys.argv[1])),
                     check_document(order)):
        found = list(problems)
        print(*found, sep="\n", end="\n" if found else "")
        passed += not found
        failed += bool(found)
    print(f"{passed} passed, {failed} failed")


if __name__ == "__main__":
    main()
