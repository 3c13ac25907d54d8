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
    sha256         of the archive, in hexadecimal; "": no archive, the user names a
                   source tree (CPYTHON=DIR)
    compression    of the archive: "xz" or "gz"
    debian_suites  Debian suites that hold this version for good, tried in order; ():
                   none does, so the user or python.org has the archive
    environment    variables for its configure, unless the user set them
    """

    number: str
    sha256: str
    compression: str
    debian_suites: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def minor(self) -> str:
        """The series, such as "3.13"."""
        return ".".join(self.number.split(".")[:2])

    @property
    def series(self) -> tuple[int, int]:
        """The same as two numbers, such as (3, 13)."""
        major, minor = self.number.split(".")[:2]
        return int(major), int(minor)

    @property
    def tarball(self) -> str:
        """Name of the archive of the source at python.org."""
        ending = {"xz": ".tar.xz", "gz": ".tgz"}[self.compression]
        return f"Python-{self.number}{ending}"

    @property
    def debian_source(self) -> str:
        """Debian's source package; its .orig archive is the same file."""
        return f"python{self.minor}"

    @property
    def debian_tarball(self) -> str:
        """Name of the same archive at Debian."""
        return f"{self.debian_source}_{self.number}.orig.tar.{self.compression}"

    @property
    def url(self) -> str:
        """Where the archive is when no Debian mirror has it."""
        return f"https://www.python.org/ftp/python/{self.number}/{self.tarball}"


RELEASES = {release.number: release for release in (
    Release("3.13.5", "93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640", "xz", ("trixie",)),
    Release("3.11.2", "2411c74bda5bbcfcddaf4531f66d1adc73f247f529aee981b029513aefdbf849", "gz", ("bookworm",)),
    Release("3.9.2", "3c2034c54f811448f516668dce09d24008a0716c3a794dd8639b5388cbde247d", "xz", ("bullseye",)),
    Release("2.7.18", "da3080e3b488f648a3d7a4560ddee895284c3380b11d6de75edb986526b9a814", "gz", ("bullseye",)),
    Release("3.14.7", "3b48dac8fb59f62eaa67ac83c1eb12bda1b7a08406dd286e252c11a66be27f81", "xz", ()),
    # Its own code counts on signed integers that wrap around.
    Release("2.4.6", "", "gz", (),
            environment=(("OPT", "-g -O3 -fwrapv -Wall -Wstrict-prototypes"),)),
)}
DEFAULT = "3.13.5"


def find(number: str, variable: str = "VERSION", words: tuple[str, ...] = ()) -> Release:
    """The release called number; BuildError, naming the variable and the words that it
    takes besides, when there is none."""
    try:
        return RELEASES[number]
    except KeyError:
        known = ", ".join((*words, *RELEASES))
        raise BuildError(f"{variable}={number} is unknown: choose from {known}") from None


def in_test_all() -> list[Release]:
    """The releases that test-all tests: those whose archive every mirror of Debian has."""
    return [release for release in RELEASES.values() if release.debian_suites]


def find_all(numbers: str) -> list[Release]:
    """The releases that SUITE lists, with spaces or commas between them.
    "none" and "all" are lists too; the latter has those with an archive."""
    if numbers == "none":
        return []
    if numbers == "all":
        return [release for release in RELEASES.values() if release.sha256]
    listed = numbers.replace(",", " ").split()
    if {"all", "none"} & set(listed):
        raise BuildError(f"SUITE={numbers}: all and none stand alone")
    return [find(number, "SUITE", ("all", "none")) for number in listed]
