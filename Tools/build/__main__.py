"""python3 Tools/build COMMAND: what the goals of the makefile call.

The variables VERSION, SUITE, CPYTHON_TARBALL, CONFIGURE_ARGS, JOBS, PREFIX, CPYTHON,
TREE, SECONDS, MERGE, ROUNDS, STEPS and SEED are read from the environment, where the makefile puts them.
"""

import sys

if sys.version_info < (3, 9):  # the modules below would not even compile
    sys.exit("obmalloc: Python %d.%d is too old: Python 3.9 or newer is needed, name one with PYTHON=..."
             % sys.version_info[:2])

import argparse
import os
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))     # for shared

import dist
import fuzz
import install
import interpreter
import machines
import package
import places
import stress
import suite
import tree
import user_tree
import versions
import wheels
from errors import run_guarded
from shared.command import Parser


def _sync(release):
    with places.locked(release):
        tree.sync(release)


def _diff(release):
    with places.locked(release):
        tree.regenerate_patches(release, places.given("TREE") or places.patched(release))


def _test(releases):
    return suite.run_all(releases, versions.find_all(os.environ.get("SUITE") or "all"))


# What each does for --help, and the function that does it for a release. It returns the exit
# status; None: it raises what goes wrong.
COMMANDS = {
    "source": ("unpack and patch CPython's source", _sync),
    "install": ("install a patched interpreter into PREFIX", install.install),
    "patch": ("patch the source tree CPYTHON", user_tree.patch),
    "diff": ("write patches/VERSION anew from the edited tree TREE, else the patched tree in build/", _diff),
    "dist": ("write and prove dist/cpython-VERSION-obmalloc.patch", dist.dist),
    "preload": ("the package for unpatched interpreters, unpacked", lambda release: package.preload()),
    "wheels": ("wheels for all platforms and the sources, in dist/", lambda release: wheels.wheels()),
    "check-machines": ("the wheels on machines that this one is not", lambda release: machines.check()),
    "fuzz": ("run libFuzzer on the core for SECONDS", lambda release: fuzz.fuzz()),
    "soak": ("run the storms of Tools/soak for SECONDS", suite.soak),
    "test": ("run all tests of VERSION", lambda release: _test([release])),
    "test-stress": ("run our own tests of VERSION ROUNDS times, beside a load", stress.stress),
    "test-all": ("run all tests of every version", lambda release: _test(versions.in_test_all())),
}


def parse(arguments):
    """The command line as a namespace with `command`, and `variant` of the command build."""
    parser = Parser(prog="Tools/build", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="configure and make an interpreter")
    building.add_argument("variant", choices=interpreter.VARIANTS)
    for name, (words, _) in COMMANDS.items():
        commands.add_parser(name, help=words)
    return parser.parse_args(arguments)


def main(arguments):
    """Run one command; returns the exit status."""
    options = parse(arguments)
    release = versions.find(os.environ.get("VERSION") or versions.DEFAULT)
    if options.command == "build":
        interpreter.build(release, interpreter.VARIANTS[options.variant])
        return 0
    return COMMANDS[options.command][1](release) or 0


if __name__ == "__main__":
    sys.exit(run_guarded(lambda: main(sys.argv[1:])))
