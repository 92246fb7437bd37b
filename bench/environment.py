"""Environment: each peer installed by name into a place of its own, below ``.cache/bench``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.peers.peer import Peer

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "bench"
NODE = "node@22"
_PATIENCE = 600  # seconds for one call of pip or npm


class NotInstallableError(Exception):
    """A peer cannot be had here; the message says why."""


@dataclass(frozen=True)
class Environment:
    """Where a peer's driver runs.

    Attributes:
        command: what starts its driver, without the connection string and the settings.
        variables: that the driver needs.
        versions: of the peer and of what matters beside it.
    """

    command: tuple[str, ...]
    variables: dict[str, str]
    versions: dict[str, str]


def install(peer: Peer) -> Environment:
    """Make a peer ready, if it is not yet.

    Raises:
        NotInstallableError: it cannot be.
    """
    if peer.missing:
        raise NotInstallableError(peer.missing)
    CACHE.mkdir(parents=True, exist_ok=True)
    module = f"bench.peers.{peer.name}.driver"
    if peer.kind == "own":
        versions = {name: metadata.version(name) for name in peer.shows}
        return Environment((sys.executable, "-m", module), {}, versions)
    if peer.kind == "python":
        place = _virtual(peer)
        python = str(place / "bin" / "python")
        return Environment((python, "-m", module), {}, _python_versions(python, peer))
    node = _node()
    place = _folder(peer.name, peer.requires, node)
    modules = place / "node_modules"
    versions = {name: _node_version(modules / name) for name in peer.shows}
    versions["node"] = _output([str(node), "--version"]).strip().removeprefix("v")
    driver = ROOT / "bench" / "peers" / peer.name / "driver.mjs"
    return Environment((str(node), str(driver)), {"BENCH_MODULES": str(place)}, versions)


def _virtual(peer: Peer) -> Path:
    place = CACHE / f"python-{peer.name}"
    wanted = "\n".join([*peer.requires, str(place)])  # which its programs name, once and for all
    mark = place / ".installed"
    if not mark.exists() or mark.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        _output([sys.executable, "-m", "venv", str(place)])
        pip = [str(place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q"]
        _output([*pip, "install", *peer.requires])
        mark.write_text(wanted)
    return place


def _node() -> Path:
    """Node 22, from npm's package ``node``."""
    if shutil.which("npm") is None:
        raise NotInstallableError("there is no npm on this machine")
    return _folder("node", (NODE,), None) / "node_modules" / "node" / "bin" / "node"


def _folder(name: str, packages: Sequence[str], node: Path | None) -> Path:
    place = CACHE / f"node-{name}"
    wanted = "\n".join(packages)
    mark = place / ".installed"
    if not mark.exists() or mark.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        (place / "package.json").write_text('{"private": true}\n')
        words = ["npm", "install", "--no-audit", "--no-fund", *packages]
        _output(words, directory=place, first=node.parent if node else None)
        mark.write_text(wanted)
    return place


def _python_versions(python: str, peer: Peer) -> dict[str, str]:
    program = (
        "import json, platform, sys\n"
        "from importlib.metadata import version\n"
        "found = {name: version(name) for name in sys.argv[1:]}\n"
        "print(json.dumps(found | {'python': platform.python_version()}))"
    )
    found: dict[str, str] = json.loads(_output([python, "-c", program, *peer.shows]))
    return found


def _node_version(package: Path) -> str:
    return str(json.loads((package / "package.json").read_text())["version"])


def _output(
    words: Sequence[str], *, directory: Path | None = None, first: Path | None = None
) -> str:
    path = os.environ.get("PATH", "")
    try:
        done = subprocess.run(
            words,
            cwd=directory,
            env=os.environ | {"PATH": f"{first}{os.pathsep}{path}" if first else path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstallableError(f"{Path(words[0]).name}: {error}") from error
    if done.returncode:
        last = " ".join(done.stderr.split()[-40:])
        raise NotInstallableError(f"{Path(words[0]).name} failed: {last}")
    return done.stdout
