"""Debian packages without root: apt fetches them, by its own configuration, into .cache/.

apt chooses the mirrors and checks signatures and hashes; nothing is installed. The system's package
lists serve if there are any, else private ones are fetched.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache"
PATIENCE = 600  # seconds for one call of apt
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class UnobtainableError(Exception):
    """The packages cannot be had here; the message says why."""


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time into a part of the cache."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(names: Sequence[str], *, dependencies: bool, suite: str | None = None) -> Path:
    """A directory with the packages' files in it, as below ``/``; a second call finds it ready.

    Args:
        names: Package names.
        dependencies: Whether to fetch what they depend on, as far as the system does not have it.
        suite: Another release of Debian, such as ``trixie``; then everything is fetched that they
            depend on, the C library too, and programs are run by ``foreign``.

    Raises:
        UnobtainableError: There is no apt, or apt cannot get them.
    """
    words = [*names, str(dependencies), *([suite] if suite else [])]
    key = hashlib.sha256(" ".join(words).encode()).hexdigest()[:8]
    root = CACHE / f"debian-{key}"
    with locked("debian"):
        if not root.exists():
            if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
                raise UnobtainableError("this is no Debian: there is no apt-get")
            work = CACHE / "debian-part"
            shutil.rmtree(work, ignore_errors=True)
            (work / "archives" / "partial").mkdir(parents=True)
            if suite:
                _download_of(suite, names, work)
            else:
                _download(names, work, dependencies=dependencies)
            for package in sorted((work / "archives").glob("*.deb")):
                _run(["dpkg-deb", "-x", str(package), str(work / "root")])
            (work / "root").rename(root)
            shutil.rmtree(work)
    return root


def newest(pattern: str) -> str:
    """The last, by version number, of the known packages whose names match a regular expression.

    Raises:
        UnobtainableError: There is none, or no apt.
    """
    if shutil.which("apt-cache") is None:
        raise UnobtainableError("this is no Debian: there is no apt-cache")
    search = ["apt-cache", "search", "--names-only", pattern]
    found = _run(search).split("\n") if not _private() else []
    if not any(found):
        _update()
        found = _run([*search, *_private()]).split("\n")
    names = [line.split(" ")[0] for line in found if line]
    if not names:
        raise UnobtainableError(f"apt knows no package {pattern}")
    return max(names, key=lambda name: [int(word) for word in name.split("-") if word.isdigit()])


def _download(names: Sequence[str], work: Path, *, dependencies: bool) -> None:
    """Download packages into work/archives, with fresh private lists if the present ones fail."""
    archives = work / "archives"

    def attempt() -> None:
        options = _private()
        if dependencies:
            options += ["-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1"]
            options += ["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]
            words = ["install", "--reinstall", "--download-only", "--no-install-recommends", "-y"]
            _run(["apt-get", "-q", "-o", "APT::Sandbox::User=", *options, *words, *names])
        else:
            options += ["-o", "APT::Sandbox::User="]
            _run(["apt-get", "-q", *options, "download", *names], directory=archives)

    try:
        attempt()
    except UnobtainableError:
        _update()
        attempt()


def _download_of(suite: str, names: Sequence[str], work: Path) -> None:
    """Download packages of another release, and all that they depend on, into work/archives."""
    place = work / suite
    (place / "lists" / "partial").mkdir(parents=True)
    (place / "status").touch()
    if not KEYRING.exists():
        raise UnobtainableError(f"this is no Debian: there is no {KEYRING}")
    (place / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} {suite} main\n")
    options = [
        *("-o", f"Dir::State={place}", "-o", f"Dir::State::lists={place}/lists"),
        *("-o", f"Dir::State::status={place}/status", "-o", f"Dir::Cache={work}"),
        *("-o", f"Dir::Etc::sourcelist={place}/sources.list", "-o", "Dir::Etc::sourceparts=-"),
        *("-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1"),
    ]
    _run(["apt-get", "-q", *options, "-o", "APT::Update::Error-Mode=any", "update"])
    words = ["install", "--download-only", "--no-install-recommends", "-y"]
    _run(["apt-get", "-q", *options, *words, *names])


def _mirror() -> str:
    """Where apt has this release from: another release is there as well."""
    for attempt in (1, 2):
        words = ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
        for place in _run(["apt-get", *_private(), *words]).split():
            if place.rstrip("/").endswith("/debian"):
                return place.rstrip("/")
        if attempt == 1:  # apt tells of what it has lists of only
            _update()
    raise UnobtainableError("apt names no mirror of Debian")


def foreign(root: Path, program: str) -> list[str]:
    """How to run a program of another release: by the loader and the libraries of that.

    Args:
        root: what ``fetch`` gave.
        program: its path there.
    """
    loader = next(iter(sorted(root.glob("usr/lib*/**/ld-linux-*.so.?"))))
    places = [str(path) for path in root.glob("usr/lib/*-linux-gnu*") if path.is_dir()]
    return [str(loader), "--library-path", ":".join(places), str(root / program)]


def _private() -> list[str]:
    """Options for our own package lists, once they were fetched."""
    place = CACHE / "apt"
    if not (place / "lists" / "partial").is_dir():
        return []
    return [
        *("-o", f"Dir::State={place}"),
        *("-o", f"Dir::State::lists={place}/lists"),
        *("-o", "Dir::State::status=/var/lib/dpkg/status"),
        *("-o", f"Dir::Cache={place}"),
        *("-o", "APT::Sandbox::User="),
        *("-o", "Debug::NoLocking=1"),
    ]


def _update() -> None:
    """Fetch package lists of our own."""
    (CACHE / "apt" / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (CACHE / "apt" / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    _run(["apt-get", "-q", *_private(), "-o", "APT::Update::Error-Mode=any", "update"])


def _run(command: Sequence[str], *, directory: Path | None = None) -> str:
    """What a program prints.

    Raises:
        UnobtainableError: It failed; the message has the last lines of its complaint.
    """
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if done.returncode:
        last = "\n".join(done.stderr.splitlines()[-5:])
        raise UnobtainableError(f"{command[0]} failed with code {done.returncode}: {last}")
    return done.stdout
