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


def parse(arguments):
    """The command line as a namespace with `command` and its options."""
    parser = Parser(prog="Tools/build", description=__doc__,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="configure and make an interpreter")
    building.add_argument("variant", choices=interpreter.VARIANTS)
    commands.add_parser("source", help="unpack and patch CPython's source")
    commands.add_parser("install", help="install a patched interpreter into PREFIX")
    commands.add_parser("patch", help="patch the source tree CPYTHON")
    diff = commands.add_parser("diff", help="write patches/VERSION anew from an edited tree")
    diff.add_argument("--tree", type=Path,
                      help="the edited tree (default: TREE, else the patched tree in build/)")
    commands.add_parser("dist", help="write and prove dist/cpython-VERSION-obmalloc.patch")
    commands.add_parser("preload", help="the package for unpatched interpreters, unpacked")
    commands.add_parser("wheels", help="wheels for all platforms and the sources, in dist/")
    commands.add_parser("check-machines", help="the wheels on machines that this one is not")
    commands.add_parser("fuzz", help="run libFuzzer on the core for SECONDS")
    commands.add_parser("soak", help="run the storms of Tools/soak for SECONDS")
    commands.add_parser("test", help="run all tests of VERSION")
    commands.add_parser("test-stress", help="run our own tests of VERSION ROUNDS times, beside a load")
    commands.add_parser("test-all", help="run all tests of every version")
    return parser.parse_args(arguments)


def main(arguments):
    """Run one command; returns the exit status."""
    options = parse(arguments)
    release = versions.find(os.environ.get("VERSION") or versions.DEFAULT)
    if options.command == "build":
        interpreter.build(release, interpreter.VARIANTS[options.variant])
    elif options.command == "source":
        with places.locked(release):
            tree.sync(release)
    elif options.command == "install":
        install.install(release)
    elif options.command == "patch":
        user_tree.patch(release)
    elif options.command == "diff":
        with places.locked(release):
            tree.regenerate_patches(release, options.tree or places.given("TREE") or places.patched(release))
    elif options.command == "dist":
        dist.dist(release)
    elif options.command == "preload":
        package.preload()
    elif options.command == "wheels":
        wheels.wheels()
    elif options.command == "check-machines":
        return machines.check()
    elif options.command == "fuzz":
        return fuzz.fuzz()
    elif options.command == "soak":
        return suite.soak(release)
    elif options.command == "test-stress":
        return stress.stress(release)
    else:
        releases = [release] if options.command == "test" else versions.in_test_all()
        return suite.run_all(releases, versions.find_all(os.environ.get("SUITE") or "all"))
    return 0


if __name__ == "__main__":
    sys.exit(run_guarded(lambda: main(sys.argv[1:])))
