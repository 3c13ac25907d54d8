"""Packages of PyPI that tools, workloads and tests need: put into a folder by the pip of a venv of our own."""
from __future__ import annotations

import importlib.metadata
import json
import shutil
import sys
from pathlib import Path
from typing import Optional, Sequence

from . import files, processes
from .command import Failure

INSTALL_SECONDS = 600.0
COMPLETE = "complete.json"          # in a folder of packages: their versions, written last


def complete(folder: Path) -> dict[str, str] | None:
    """Return the versions of the packages in a folder; None when it is not complete."""
    try:
        versions = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return versions if isinstance(versions, dict) else None


def venv(folder: Path) -> Path:
    """Return the Python of a venv in folder, made if need be."""
    python = folder / "bin" / "python"
    if complete(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
        processes.output_of([sys.executable, "-m", "venv", str(folder)],
                            "making a venv (Debian's package python3-venv)", INSTALL_SECONDS)
        files.write_json(folder / COMPLETE, {})
    return python


def pip_install(python: Path, words: Sequence[str], what: str) -> None:
    """Have the pip of a venv install something, called what in the error."""
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input",
               "install", *words]
    try:
        processes.output_of(command, "pip", INSTALL_SECONDS)
    except Failure as error:
        raise Failure(f"{what} could not be installed from PyPI, is there a network? "
                             f"{error}") from error


def versions_in(*folders: Path) -> dict[str, str]:
    """Return the versions of the packages in folders, by name."""
    return {found.name: found.version
            for found in importlib.metadata.distributions(path=list(map(str, folders)))}


def install_tool(name: str, folder: Path, version: Optional[str] = None) -> tuple[Path, dict[str, str]]:
    """Return the Python of a venv in folder that has a package, fetched if need be, and the
    versions of all that it has. version: the one that it must be; None: any."""
    python = venv(folder).absolute()
    known = complete(folder) or {}
    if name not in known or version not in (None, known[name]):
        pip_install(python, [f"{name}=={version}" if version else name], name)
        known = versions_in(*folder.glob("lib/python*/site-packages"))
        files.write_json(folder / COMPLETE, known)
    return python, known


def install(names: Sequence[str], interpreter: dict, folder: Path) -> tuple[Path, dict[str, str]]:
    """Return the folder inside folder with packages for an interpreter, fetched if need be, and
    the versions of all in it. interpreter: as machine.describe_interpreter returns."""
    version = ".".join(interpreter["version"].split(".")[:2])
    target = folder.resolve() / "-".join((f"python{version}", *names))
    versions = complete(target)
    if versions is None:
        python = venv(folder / "venv")
        shutil.rmtree(target, ignore_errors=True)
        pip_install(python, ["--target", str(target), "--only-binary", ":all:",
                             "--implementation", "cp", "--python-version", version, *names],
                    ", ".join(names))
        # So that no run spends its time on compiling what it imports.
        processes.output_of([interpreter["path"], "-m", "compileall", "-q", str(target)],
                            "compileall", INSTALL_SECONDS)
        versions = versions_in(target)
        files.write_json(target / COMPLETE, versions)
    return target, versions
