"""make wheels: what is uploaded of a release, and what PyPI's own tools say of it.

    dist/obmalloc-VERSION-py3-none-PLATFORM.whl   for each of TARGETS
    dist/obmalloc-VERSION.tar.gz                  the sources, with tests and documents

PyPI's ziglang compiles for all platforms on one machine.  The tools come by pip, by
the versions in wheel-tools.txt, into build/wheel-tools.

URL=https://... (a variable of make) is the repository on a forge: the metadata name
it, and the links and pictures of the README point there, since PyPI has no files
beside it.  Without URL such links become plain text, and the pictures are left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import package
import places
from errors import BuildError, say
from processes import clean_environment, run_logged
from shared import files

LOG = places.BUILD / "wheels.log"
TOOLS = places.BUILD / "wheel-tools"
REQUIREMENTS = Path(__file__).with_name("wheel-tools.txt")
TYPED_PROGRAM = places.ROOT / "Tools/preload/typed_program.py"
PYRIGHT = "pyright[nodejs]==1.1.414"     # not in REQUIREMENTS: Node.js is not to be had for every machine
URL_VARIABLE = "URL"
ZIG = {name: str(places.BUILD / "zig-cache") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
# What the source distribution has besides what the package is made of.
ALSO_IN_SDIST = ("Lib/test/test_obmalloc", "Tools", "docs", "InternalDocs", "patches", "Python2", ".ci", ".github",
                 "GNUmakefile", "Makefile.pre.in", "configure.ac", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")


class Target(NamedTuple):
    """A platform: its tag, what zig calls it, its machine, and what musl is called there."""
    tag: str
    triple: str
    machine: str
    musl: str = ""


TARGETS = (
    Target("manylinux_2_17_x86_64", "x86_64-linux-gnu.2.17", "x86_64"),
    Target("manylinux_2_17_aarch64", "aarch64-linux-gnu.2.17", "aarch64"),
    Target("musllinux_1_2_x86_64", "x86_64-linux-musl", "x86_64", "libc.musl-x86_64.so.1"),
    Target("musllinux_1_2_aarch64", "aarch64-linux-musl", "aarch64", "libc.musl-aarch64.so.1"),
)


def ensure_tools() -> None:
    """Install the tools of wheel-tools.txt, unless they are there.  Raises BuildError."""
    stamp, wanted = TOOLS / "installed.txt", REQUIREMENTS.read_bytes()
    if files.read_or_none(stamp) == wanted:
        return
    say(f"getting the tools of {places.shown(REQUIREMENTS)} by pip (log: {places.shown(LOG)})")
    run_logged([package.builder(), "-m", "venv", "--clear", str(TOOLS)], LOG, what="making a virtual environment")
    run_logged([str(TOOLS / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--requirement",
                str(REQUIREMENTS)], LOG, what="installing the tools", append=True)
    files.write(stamp, wanted)


def run_tool(arguments: list[str], what: str, cwd: Path, **variables: str) -> None:
    """Run a program of build/wheel-tools; BuildError if it fails."""
    environment = {**clean_environment(), "PYTHONDONTWRITEBYTECODE": "1", **variables,
                   "PATH": f"{TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    run_logged([str(TOOLS / "bin" / arguments[0]), *arguments[1:]], LOG, what=what, cwd=cwd,
               environment=environment, append=True)


# The sources of a release ------------------------------------------------------------

# [![text](picture)](target), ![text](picture) and [text](target), where they are
# relative.
_PICTURE = re.compile(r"!\[([^\]]*)\]\((?![a-z]+:)([^)\s]+)\)\n?")
_LINK = re.compile(r"\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")


def readme_for_pypi(text: str, url: str, version: str) -> str:
    """The README with its relative links and pictures made absolute, or without them."""
    def picture(match: re.Match[str]) -> str:
        return f"![{match[1]}]({url}/raw/v{version}/{match[2]})\n" if url else ""

    def link(match: re.Match[str]) -> str:
        return f"[{match[1]}]({url}/blob/v{version}/{match[2]})" if url else match[1]
    return _LINK.sub(link, _PICTURE.sub(picture, text))


def urls_for_metadata(url: str, version: str) -> str:
    """The table of pyproject.toml that names where a release is."""
    return (f"\n[project.urls]\nHomepage = \"{url}\"\nDocumentation = \"{url}/tree/v{version}/docs\"\n"
            f"Changelog = \"{url}/blob/v{version}/CHANGELOG.md\"\nIssues = \"{url}/issues\"\n") if url else ""


def given_url() -> str:
    """The value of URL, without a slash at its end."""
    url = os.environ.get(URL_VARIABLE, "").rstrip("/")
    if url and not re.fullmatch(r"https://[^\s\"()]+", url):
        raise BuildError(f"{URL_VARIABLE}={url} is no address of a repository: say {URL_VARIABLE}=https://...")
    return url


def version() -> str:
    """The version of the package, from the one place where it stands."""
    match = re.search(r"^__version__ = '([^']+)'", (places.ROOT / "Lib/obmalloc/__init__.py").read_text(), re.M)
    if match is None:
        raise BuildError("Lib/obmalloc/__init__.py has no line with __version__")
    return match[1]


def _stage(folder: Path) -> Path:
    """Copy what is released into folder/source."""
    source, url = folder / "source", given_url()
    package.copy_sources(source)
    for name in ALSO_IN_SDIST:
        if (places.ROOT / name).exists():
            package.copy_into(source, name)
    readme, project = source / "README.md", source / "pyproject.toml"
    readme.write_text(readme_for_pypi(readme.read_text(), url, version()))
    project.write_text(project.read_text() + urls_for_metadata(url, version()))
    return source


# Wheels ------------------------------------------------------------------------------

_WHERE_HEADERS_ARE = """
import os, sysconfig
include = sysconfig.get_path("include")
machine = os.path.join(os.path.dirname(include), sysconfig.get_config_var("MULTIARCH") or "",
                       os.path.basename(include), "pyconfig.h")
print(include, machine if os.path.exists(machine) else os.path.join(include, "pyconfig.h"), sep="\\n")
"""


def _headers(folder: Path) -> Path:
    """Python's headers with the pyconfig.h of this machine: Debian's includes one of the
    machine that it is compiled for.  The library sees the limited API, for which all
    machines of 64 bits are the same."""
    include, configuration = subprocess.run(
        [package.builder(), "-c", _WHERE_HEADERS_ARE], check=True, capture_output=True, text=True).stdout.splitlines()
    headers = folder / "headers"
    shutil.copytree(include, headers)
    shutil.copy2(configuration, headers / "pyconfig.h")
    return headers


def _compiler(target: Target) -> list[str]:
    return ["python", "-m", "ziglang", "cc", "-target", target.triple]


def _musl(target: Target, folder: Path) -> str:
    """Options that link a library with musl by the name that it has where wheels for it
    are installed, which auditwheel knows it by.  zig calls it libc.so, which may be glibc's.
    The file stands for it: any name that begins with libc. is musl's own to its loader."""
    (folder / "empty.c").write_text("")
    stub = folder / target.musl
    run_tool([*_compiler(target), "-shared", "-nostdlib", "-Wl,-soname," + target.musl, "empty.c", "-o", str(stub)],
             "making a stand-in for musl", folder, **ZIG)
    return f"-nostdlib -Wl,-z,undefs -Wl,--no-as-needed {stub}"


def _build_wheel(target: Target, source: Path, headers: Path, folder: Path) -> Path:
    """The wheel of a target, tagged by auditwheel."""
    work = folder / target.tag
    shutil.copytree(source, work / "source")
    libc = _musl(target, work) if target.musl else ""
    compiler = " ".join([str(TOOLS / "bin/python"), *_compiler(target)[1:]])
    run_tool(["python", "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-build-isolation",
              "--no-deps", "--no-index", "--wheel-dir", str(work), "."],
             f"building the wheel for {target.tag}", work / "source",
             CC=compiler, LDSHARED=f"{compiler} -shared", CFLAGS=f"-I{headers} -g0 -DNDEBUG", LDFLAGS=f"-s {libc}",
             _PYTHON_HOST_PLATFORM=f"linux-{target.machine}", **ZIG)
    built = next(work.glob("obmalloc-*.whl"))
    # "auto": by name it knows the platforms of this machine only.
    run_tool(["auditwheel", "repair", "--plat", "auto", "--wheel-dir", str(work / "repaired"), str(built)],
             f"auditwheel for {target.tag}", work, AUDITWHEEL_LD_LIBRARY_PATH=str(work))
    result = next((work / "repaired").glob("*.whl"))
    if target.tag not in result.name:
        raise BuildError(f"auditwheel does not find it fit for {target.tag}: {result.name}")
    return result


def check_library(data: bytes, where: str) -> None:
    """BuildError unless a library is stripped and has full RELRO."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "library.so")
        library.write_bytes(data)
        program = ("import sys; from elftools.elf.elffile import ELFFile\n"
                   "elf = ELFFile(open(sys.argv[1], 'rb'))\n"
                   "tags = [(tag.entry.d_tag, tag.entry.d_val) for tag in elf.get_section_by_name('.dynamic').iter_tags()]\n"
                   "assert not elf.get_section_by_name('.symtab'), 'error: it is not stripped'\n"
                   "assert not elf.get_section_by_name('.debug_info'), 'error: it has debugging information'\n"
                   "assert any(s['p_type'] == 'PT_GNU_RELRO' for s in elf.iter_segments()), 'error: no RELRO'\n"
                   "assert any(tag == 'DT_FLAGS' and value & 8 for tag, value in tags), 'error: RELRO is not full'\n")
        run_tool(["python", "-c", program, str(library)], f"looking at the library of {where}", Path(folder))


def _check(results: list[Path], folder: Path) -> None:
    """BuildError if one of the checkers complains."""
    run_tool(["twine", "check", "--strict", *map(str, results)], "twine check", folder)
    for wheel in (path for path in results if path.suffix == ".whl"):
        run_tool(["check-wheel-contents", str(wheel)], f"check-wheel-contents {wheel.name}", folder)
        run_tool(["auditwheel", "show", str(wheel)], f"auditwheel show {wheel.name}", folder)
        with zipfile.ZipFile(wheel) as archive:
            libraries = [name for name in archive.namelist() if name.endswith(".so")]
            if libraries != ["obmalloc/_obmalloc.so"]:
                raise BuildError(f"{wheel.name} has these libraries: {libraries}")
            check_library(archive.read(libraries[0]), wheel.name)


def _check_types(wheel: Path, folder: Path) -> None:
    """BuildError unless the stubs fit the module, and a typed program can use all of it."""
    run_tool(["python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--force-reinstall",
              "--no-index", "--no-deps", str(wheel)], f"installing {wheel.name}", folder)
    cache = {"MYPY_CACHE_DIR": str(folder / "mypy")}
    run_tool(["mypy", "--strict", str(TYPED_PROGRAM)], "mypy --strict", folder, **cache)
    # Modules without a stub are no interface for users, and not written for mypy.
    (folder / "mypy.ini").write_text("[mypy]\nignore_errors = true\n")
    (folder / "allowed.txt").write_text("obmalloc.gdb\n")        # imported by gdb only
    run_tool(["python", "-m", "mypy.stubtest", "--concise", "--mypy-config-file", "mypy.ini", "--allowlist",
              "allowed.txt", "--ignore-missing-stub", "obmalloc"], "stubtest", folder, **cache)


def check_types_by_pyright(folder: Path) -> None:
    """BuildError if pyright finds fault with the program that uses all of the installed
    package.  One line says so if pyright cannot be installed."""
    try:
        run_tool(["python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYRIGHT],
                 "installing pyright", folder)
    except BuildError as error:
        say(f"pyright: skipped: {error}")
        return
    run_tool(["pyright", "--pythonpath", str(TOOLS / "bin/python"), str(TYPED_PROGRAM)], "pyright", folder,
             PYRIGHT_PYTHON_IGNORE_WARNINGS="1", PYRIGHT_PYTHON_CACHE_DIR=str(folder / "pyright"))


def wheels() -> None:
    """Write the wheels and the source distribution to dist/, checked."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    LOG.write_bytes(b"")
    ensure_tools()
    with tempfile.TemporaryDirectory(dir=places.BUILD) as name:
        folder = Path(name)
        source, headers = _stage(folder), _headers(folder)
        results = []
        for target in TARGETS:
            say(f"building the wheel for {target.tag}")
            results.append(_build_wheel(target, source, headers, folder))
        run_tool(["python", "-m", "build", "--no-isolation", "--sdist", "--outdir", str(folder / "sdist"), "."],
                 "building the source distribution", source)
        results.append(next((folder / "sdist").glob("*.tar.gz")))
        say("checking them: twine, check-wheel-contents, auditwheel, mypy, pyright")
        _check(results, folder)
        _check_types(results[0], folder)
        check_types_by_pyright(folder)
        for result in results:
            files.write(places.DIST / result.name, result.read_bytes())
            say(f"{places.shown(places.DIST / result.name)} written")
