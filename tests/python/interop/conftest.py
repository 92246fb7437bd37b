"""Clients under test, and the TypeScript client, built."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.client import Client
from conformance.place import Place, login

ROOT = Path(__file__).resolve().parents[3]
TYPESCRIPT = ROOT / "examples" / "typescript"
OLDEST_NODE = 20


@pytest.fixture(scope="session")
def typescript():
    """Where the compiled TypeScript client is; skips where there is no Node or no npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("the TypeScript client needs Node and npm, which are not installed here")
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(found.lstrip("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"the TypeScript client needs Node {OLDEST_NODE}; here is {found.strip()}")
    (ROOT / ".cache").mkdir(exist_ok=True)
    with (ROOT / ".cache" / "typescript.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        installed, wanted = TYPESCRIPT / "node_modules", TYPESCRIPT / "package-lock.json"
        mark = installed / ".package-lock.json"
        if not mark.exists() or mark.stat().st_mtime < wanted.stat().st_mtime:
            run(npm, "ci", "--no-progress")
            mark.touch()
        run(npm, "run", "--silent", "build")
    return TYPESCRIPT / "dist"


def run(*command):
    ran = subprocess.run(
        command, cwd=TYPESCRIPT, capture_output=True, text=True, timeout=110, check=False
    )
    assert ran.returncode == 0, f"{command}:\n{ran.stdout}\n{ran.stderr}"


@pytest.fixture(scope="session")
def clients():
    """Clients that have been started, by their commands; shared by the tests of a process."""
    started: dict[tuple[str, ...], Client] = {}
    yield started
    for client in started.values():
        client.close()


@pytest.fixture
def client_of(clients):
    """Give the client of a command."""

    def start(*command):
        if command not in clients:
            clients[command] = Client(command)
        return clients[command]

    return start


@pytest.fixture(scope="session")
def python_client():
    """How the Python client's driver is started."""
    return (sys.executable, "-W", "error", "-m", "conformance.python_driver")


@pytest.fixture(scope="session")
def user(server, template):
    """A role that may call the contract and owns nothing."""
    with login(server.dsn) as made:
        yield made


@pytest.fixture
def place(dsn, user):
    """A database for one scenario."""
    with Place(dsn, user) as own:
        yield own


@pytest.fixture(autouse=True, scope="session")
def _in_the_root():
    """Drivers are started where the package conformance is."""
    before = Path.cwd()
    os.chdir(ROOT)
    yield
    os.chdir(before)
