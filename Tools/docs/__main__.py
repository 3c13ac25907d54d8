"""python3 Tools/docs: build the site of the documents, in build/site.

The generator is mkdocs, which pip gets into a virtual environment the first time; after
that no network is needed.  A link to a page, file or heading that is not there is an error.
"""

import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))     # for shared

import pages
from shared import command, packages

GENERATOR, VERSION = "mkdocs", "1.6.1"
BUILD = pages.ROOT / "build"
PROGRAM = "obmalloc"


def stage(folder: Path) -> None:
    """Copy the pages, and what they show, to the same paths in a folder that is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    shown = pages.pages()
    wanted = set(shown)
    for page in shown:
        text = (pages.ROOT / page).read_text(encoding="utf-8")
        wanted.update(path for path, _ in pages.relative_links(page, text)
                      if path.endswith(".png") and (pages.ROOT / path).is_file())
    for path in sorted(wanted):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(pages.ROOT / path, folder / path)


def generator() -> Path:
    """The Python that has mkdocs, fetched if need be."""
    return packages.install_tool(GENERATOR, BUILD / "docs-tool", VERSION)[0]


def build() -> int:
    """Build the site; the exit status."""
    python = generator()
    stage(BUILD / "docs")
    done = subprocess.run([str(python), "-m", GENERATOR, "build", "--clean", "--strict",
                           "--config-file", str(pages.CONFIGURATION)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout + done.stderr, end="", file=sys.stderr)
        raise command.Failure("the site could not be built: what it complains of is above")
    command.say(f"{PROGRAM}: build/site/index.html")
    return 0


if __name__ == "__main__":
    command.Parser(prog="Tools/docs", description=__doc__).parse_args()
    sys.exit(command.run_guarded(PROGRAM, build))
