"""Programs that start servers, to be killed; and looks at what is left of them."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arvo_plpg import embedded
from arvo_plpg.embedded.account import choose

PROGRAM = """
import json, os, signal, sys
from arvo_plpg import embedded
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored below a shell's background job
from arvo_plpg.embedded.account import choose
settings = json.loads(sys.argv[1])
server = embedded.start(**settings)
facts = {"uri": server.uri, "pid": server.pid, "run": str(server.socket_directory)}
facts["supervisor"] = server._supervisor.pid
print(json.dumps(facts), flush=True)
sys.stdin.readline()
server.stop()
"""


def public_folder() -> str:
    """A folder for temporary things that every user may enter."""
    usual = Path(tempfile.gettempdir())
    return str(usual) if choose(None).may_enter(usual) else "/tmp"


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> list[int]:
    """The processes below a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


@dataclass
class Running:
    """A program of its own process that has started a server."""

    process: subprocess.Popen[str]
    facts: dict[str, Any]

    @property
    def uri(self) -> str:
        return str(self.facts["uri"])

    def everything(self) -> list[int]:
        """Every process that it has started."""
        return descendants(self.process.pid)

    def kill(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait()

    def finish(self) -> int:
        """Let it stop its server and end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(30)


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    return is_alive


@pytest.fixture(scope="session")
def python_for() -> Callable[[str | None], list[str]]:
    """An interpreter that a user can run: ours may lie in root's home."""

    def find(user: str | None) -> list[str]:
        for python in [sys.executable, "/usr/bin/python3"]:
            check = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
            with contextlib.suppress(OSError):
                done = subprocess.run(check, user=user, cwd="/", check=False)  # type: ignore[call-overload]
                if done.returncode == 0:
                    return [python]
        pytest.skip(f"no python >= 3.11 that {user} can run")

    return find


@pytest.fixture(scope="session")
def library() -> Iterator[Path]:
    """A copy of the launcher and of the wheel that every user can read.

    The launcher needs nothing but the standard library; the rest of the package needs more than
    another user's Python may have, so its front door stays shut.
    """
    wheel = embedded.find_wheel()
    place = Path(tempfile.mkdtemp(prefix="arvo-test-", dir=public_folder()))
    place.chmod(0o755)
    package = Path(embedded.__file__).parents[1]
    for source in [package, wheel.tree[0].parent, *wheel.tree[1:]]:
        shutil.copytree(source, place / source.name, symlinks=True)
    (place / package.name / "__init__.py").write_text("")
    yield place
    shutil.rmtree(place)


@pytest.fixture
def elsewhere(
    library: Path, python_for: Callable[[str | None], list[str]]
) -> Iterator[Callable[..., Running]]:
    """Start a server in another process: elsewhere(user=…, **arguments of embedded.start)."""
    running: list[subprocess.Popen[str]] = []

    def run(user: str | None = None, **arguments: Any) -> Running:
        identity = {"user": user, "group": "nogroup", "extra_groups": []} if user else {}
        process = subprocess.Popen(  # type: ignore[call-overload]
            [*python_for(user), "-c", PROGRAM, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env=os.environ | {"PYTHONPATH": str(library)} if user else None,
            **identity,
        )
        running.append(process)
        answer = process.stdout.readline()
        assert answer, "the program started no server"
        return Running(process, json.loads(answer))

    yield run
    for process in running:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            pipe.close()


@pytest.fixture
def public_path() -> Iterator[Path]:
    """An empty directory that every user may enter and nobody else may write to."""
    path = Path(tempfile.mkdtemp(prefix="arvo-test-", dir=public_folder()))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
