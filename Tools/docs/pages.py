"""The pages of the site, their links and their headings, as Markdown has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = Path(__file__).with_name("mkdocs.yml")

_PAGE = re.compile(r": (\S+\.md)$", re.M)
_FENCE = re.compile(r"^ *(```|~~~)")
_INDENTED = re.compile(r"^(    |\t)")
_CODE = re.compile(r"(`+).*?\1", re.S)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#{1,6}) (.*?)#*$")


def pages() -> list[str]:
    """The files that the site shows, relative to the repository, in its order."""
    return _PAGE.findall(CONFIGURATION.read_text(encoding="utf-8"))


def _prose(text: str) -> Iterator[str]:
    """The lines of a page without its blocks of code; an indented line after an empty one
    begins one."""
    fenced = indented = False
    before = ""
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            indented = bool(_INDENTED.match(line)) and (indented or not before.strip())
            if not indented:
                yield line
        before = line


def links(text: str) -> list[str]:
    """What a page links to or shows, in its own words."""
    paragraphs = re.split(r"\n\s*\n", "\n".join(_prose(text)))
    return [target for paragraph in paragraphs for target in _LINK.findall(_CODE.sub(_without_link, paragraph))]


def _without_link(code: re.Match[str]) -> str:
    return "" if "](" in code[0] else code[0]


def relative_links(page: str, text: str) -> Iterator[tuple[str, str]]:
    """(file relative to the repository, anchor or "") of each link of a page that has no scheme."""
    for target in links(text):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = unquote(target).partition("#")
            yield (str((Path("/", page).parent / path).resolve().relative_to("/")) if path else page), anchor


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, by the rules of public forges."""
    found: set[str] = set()
    for line in _prose(text):
        heading = _HEADING.match(line)
        if heading:
            title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[2].strip()).replace("`", "").lower()
            name = slug = re.sub(r"[^\w\- ]", "", title).replace(" ", "-")
            number = 0
            while name in found:
                number += 1
                name = f"{slug}-{number}"
            found.add(name)
    return found
