"""The package for interpreters that were built without obmalloc.

    make preload   build/preload/     the package, unpacked: a folder for PYTHONPATH

It is built with pip and setuptools from a copy of what belongs in it, so that nothing
is written beside the sources.  Debian's own packages are enough; wheels.py builds what
is released.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import places
from errors import BuildError, say
from processes import run_logged
from shared import files

FOLDER = places.BUILD / "preload"
LOG = places.BUILD / "preload.log"
# What the package is made of, as MANIFEST.in has it for a source distribution.
SOURCES = ("pyproject.toml", "setup.py", "setup.cfg", "MANIFEST.in", "README.md", "LICENSE",
           "Include/internal/obmalloc", "Objects/obmalloc", "Modules", "Lib/obmalloc")
_CAN_BUILD = ("import os, setuptools, pip, sysconfig, sys\n"
              "header = os.path.join(sysconfig.get_path('include'), 'Python.h')\n"
              "sys.exit(not os.path.exists(header))")


def builder() -> str:
    """A Python that has pip, setuptools and its own headers."""
    for python in (sys.executable, "/usr/bin/python3"):
        if os.access(python, os.X_OK) and subprocess.run(
                [python, "-c", _CAN_BUILD], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0:
            return python
    raise BuildError("no Python here has pip, setuptools and its headers: "
                     "apt-get install python3-dev python3-pip python3-setuptools python3-wheel")


def copy_into(source: Path, name: str) -> None:
    """Copy a file or folder of the repository to the same place in source."""
    origin, copy = places.ROOT / name, source / name
    copy.parent.mkdir(parents=True, exist_ok=True)
    if origin.is_dir():
        shutil.copytree(origin, copy, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(origin, copy)


def copy_sources(source: Path) -> None:
    """Copy what the package is made of."""
    for name in SOURCES:
        copy_into(source, name)


def license_for_old_setuptools(project: Path) -> None:
    """Write the license as a table, as setuptools before 77 takes it, such as Debian 12's."""
    project.write_text(re.sub(r'(?m)^license = (".*")\nlicense-files = .*$', r"license = {text = \1}",
                              project.read_text()))


def build_wheel(folder: Path) -> Path:
    """Build the wheel into folder, with what is installed; returns its file."""
    source = folder / "source"
    copy_sources(source)
    license_for_old_setuptools(source / "pyproject.toml")
    run_logged([builder(), "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps",
                "--no-index", "--wheel-dir", str(folder), "."], LOG, what="building the wheel", cwd=source)
    return next(folder.glob("obmalloc-*.whl"))


def preload() -> None:
    """Make build/preload anew: the wheel, and the package unpacked beside it."""
    if FOLDER.exists():
        shutil.rmtree(FOLDER)
    with files.staged_folder(FOLDER) as folder:
        with zipfile.ZipFile(build_wheel(folder)) as wheel:
            wheel.extractall(folder)
        shutil.rmtree(folder / "source")
    say(f"PYTHONPATH={places.shown(FOLDER)} python3 -m obmalloc run SCRIPT")
