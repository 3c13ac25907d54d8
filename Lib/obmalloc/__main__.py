"""python -m obmalloc COMMAND ..."""

import sys

from obmalloc import loading

COMMANDS = {
    "run": (loading.run, "start a program with obmalloc"),
    "path": (loading.path, "print the library for LD_PRELOAD"),
}


def main(arguments):
    if arguments and arguments[0] in COMMANDS:
        return COMMANDS[arguments[0]][0](arguments[1:])
    asked = bool(arguments) and arguments[0] in ("-h", "--help")
    out = sys.stdout if asked else sys.stderr
    print("usage: python -m obmalloc COMMAND ...  (COMMAND --help tells more)", file=out)
    for name, (_, text) in COMMANDS.items():
        print(f"  {name:8}{text}", file=out)
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
