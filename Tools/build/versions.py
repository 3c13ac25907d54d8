"""Facts about the CPython releases that are patched.  The only place for them.

A release is *pinned*: patches name lines of exactly this source, and the
SHA-256 of its archive proves that it is the source we have.
"""

from __future__ import annotations

from dataclasses import dataclass

from errors import BuildError


@dataclass(frozen=True)
class Release:
    """One pinned release of CPython.

    number         "3.13.5"
    sha256         of the .tar.xz, in hexadecimal
    debian_source  Debian's source package; its .orig.tar.xz is the same file
    debian_suites  Debian suites that hold this version, tried in order
    """

    number: str
    sha256: str
    debian_source: str
    debian_suites: tuple[str, ...]

    @property
    def minor(self) -> str:
        """The series, such as "3.13"."""
        return ".".join(self.number.split(".")[:2])

    @property
    def tarball(self) -> str:
        """Name of the archive of the source at python.org."""
        return f"Python-{self.number}.tar.xz"

    @property
    def debian_tarball(self) -> str:
        """Name of the same archive at Debian."""
        return f"{self.debian_source}_{self.number}.orig.tar.xz"

    @property
    def url(self) -> str:
        """Where the archive is when no Debian mirror has it."""
        return f"https://www.python.org/ftp/python/{self.number}/{self.tarball}"


RELEASES = {
    release.number: release
    for release in (
        Release(
            number="3.13.5",
            sha256="93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640",
            debian_source="python3.13",
            debian_suites=("trixie",),
        ),
    )
}
DEFAULT = "3.13.5"


def find(number: str) -> Release:
    """The release called number; BuildError when there is none."""
    try:
        return RELEASES[number]
    except KeyError:
        known = ", ".join(RELEASES)
        raise BuildError(f"VERSION={number} is unknown: choose from {known}") from None
