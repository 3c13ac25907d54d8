"""CPython's source from the Debian mirror that this machine already uses.

Debian's python3.13_3.13.5.orig.tar.xz is the file of python.org, byte for
byte.  apt fetches it: it knows the machine's proxies, mirrors and keys.  All
that apt writes goes to a folder of our own; the system's lists and sources
are only read.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Optional

from errors import BuildError, say
from places import DOWNLOADS, shown
from processes import clean_environment, run_logged
from shared import files
from versions import Release

# Where Debian's package debian-archive-keyring puts its keys.
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRRORS_TRIED = 3
TIMEOUT_SECONDS = 20


def mirrors() -> list[str]:
    """URIs of the archives in the machine's apt configuration, best first.

    Empty where there is no apt.  An archive of security updates comes last:
    it holds few sources.  Archives of third parties are left out, as far as
    apt knows their origin (it does not before the first `apt-get update`).
    """
    form = "$(REPO_URI)|$(ORIGIN)|$(RELEASE)"
    try:
        listed = subprocess.run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                env=clean_environment()).stdout
    except OSError:
        return []
    found = {}
    for line in listed.splitlines():
        uri, _, rest = line.partition("|")
        origin, _, suite = rest.partition("|")
        known = not origin.startswith("$(")
        if uri and (not known or origin == "Debian"):
            rank = ("security" in uri or "security" in suite, not known)
            found[uri] = min(rank, found.get(uri, rank))
    return sorted(found, key=lambda uri: found[uri])


def _configuration(folder: Path, uri: str, suite: str) -> Path:
    """Write apt's private configuration into folder; return its file."""
    for name in ("lists/partial", "cache/archives/partial", "parts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    signed = f" [signed-by={KEYRING}]" if KEYRING.exists() else ""
    files.write(folder / "sources.list", f"deb-src{signed} {uri} {suite} main\n".encode())
    options = {
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": folder / "parts",
        # A folder below root's home is closed to apt's own user.
        "APT::Sandbox::User": "root",
        "APT::Get::List-Cleanup": "true",
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": TIMEOUT_SECONDS,
        "Acquire::https::Timeout": TIMEOUT_SECONDS,
    }
    # The machine's hooks on updates would clean its own cache, wake services.
    text = "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n" \
           "#clear APT::Update::Post-Invoke-Success;\n"
    text += "".join(f'{name} "{value}";\n' for name, value in options.items())
    files.write(folder / "apt.conf", text.encode())
    return folder / "apt.conf"


def fetch(release: Release, log: Path) -> Optional[str]:
    """Fetch the release's archive to DOWNLOADS, under its Debian name.

    Returns None when it is there, else why the best mirror did not have it.  The caller
    checks the sum.
    """
    uris = mirrors()[:MIRRORS_TRIED]
    if not uris:
        return "no Debian mirror in apt's configuration"
    reasons = []
    for uri in uris:
        for suite in release.debian_suites:
            say(f"looking for CPython {release.number} in Debian {suite} at this machine's mirror "
                f"(log: {shown(log)})")
            try:
                _fetch_from(release, uri, suite, log)
                return None
            except BuildError as error:
                reasons.append(str(error))
    return reasons[0] if reasons else "no Debian suite is known to hold it"


def _fetch_from(release: Release, uri: str, suite: str, log: Path) -> None:
    DOWNLOADS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(files.TEMPORARY_SUFFIX, ".apt.", DOWNLOADS) as name:
        configuration = _configuration(Path(name), uri, suite)
        apt = ["apt-get", "--config-file", str(configuration), "-q"]
        run_logged([*apt, "-o", "APT::Update::Error-Mode=any", "update"], log, append=True,
                   what=f"Debian mirror: reading the list of {suite}")
        # --tar-only leaves out Debian's own changes; the version is the suite's.
        run_logged([*apt, "source", "--download-only", "--tar-only", release.debian_source],
                   log, append=True, cwd=Path(name), what="Debian mirror: fetching the source",
                   progress=lambda: "still fetching")
        archive = Path(name) / release.debian_tarball
        if not archive.exists():
            raise BuildError(f"Debian mirror: {suite} has no {release.debian_tarball}")
        archive.replace(DOWNLOADS / release.debian_tarball)
