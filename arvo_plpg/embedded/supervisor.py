"""The program that owns an embedded server: starts it, guards it, stops it, removes what it made.

Run as a script by its parent, which keeps the other end of our standard input and writes nothing.
When that end closes, or we have another parent, the parent is gone (however it went) and so is the
server. Only the standard library may be used here, nothing of this package: we run with -I -S.

Input is one JSON object, argv[1], the fields of Order. Output is one line of JSON:
{"run": …, "pid": …} when the server takes connections, or {"error": kind, "detail": text}.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

try:
    import ctypes
except ImportError:  # a Python built without libffi lacks this extra guard
    ctypes = None  # type: ignore[assignment]

LOOK_EVERY = 0.01  # seconds between looks while something starts
GUARD_EVERY = 0.5  # seconds between looks for a parent that left without closing its pipe
STEPS_DOWN = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Order:
    """What the parent asks for.

    Attributes:
        parent: Process id of the parent.
        account: User and group id to become for PostgreSQL's programs; None: stay who we are.
        temporary: Where the run directory is made.
        bin: The programs.
        tree: The directories they need, below `root`.
        root: What the paths in `tree` are relative to.
        copy_to: Copy the tree there first, unless that exists; "": into the run directory.
            None: do not copy.
        libraries: Directories for the dynamic linker.
        data: The data directory to keep; None: a throw-away one in the run directory.
        initdb: Further arguments of initdb.
        options: Settings of the server, NAME=VALUE.
        patience: Seconds that initdb may take, and then the start.
    """

    parent: int
    account: tuple[int, int] | None
    temporary: str
    bin: str
    tree: list[str]
    root: str
    copy_to: str | None
    libraries: list[str]
    data: str | None
    initdb: list[str]
    options: list[str]
    patience: float


class Refused(Exception):  # noqa: N818  a message to the parent, which raises the error
    """The server cannot be started; `kind` says which error the parent raises."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class Abandoned(Exception):  # noqa: N818  not an error
    """Nobody wants the server any more."""


@dataclass
class Supervisor:
    """One server, from first to last.

    Attributes:
        order: What the parent asked for.
        run: Directory of the socket and the log, and of throw-away data.
        bin: The programs, where we run them from.
        libraries: Directories for the dynamic linker, there.
        wipe: What is removed at the end.
        locks: Open descriptors whose locks last as long as we do.
    """

    order: Order
    run: Path
    bin: Path = field(init=False)
    libraries: list[Path] = field(init=False)
    wipe: list[Path] = field(default_factory=list)
    locks: list[int] = field(default_factory=list)
    stopped: bool = False

    def __post_init__(self) -> None:
        self.bin = Path(self.order.bin)
        self.libraries = [Path(place) for place in self.order.libraries]

    # --- the parent

    def wanted(self, seconds: float = 0.0) -> bool:
        """Whether the parent still wants us, after at most some seconds."""
        readable, _, _ = select.select([0], [], [], seconds)
        if readable and not os.read(0, 64):
            return False
        return not self.stopped and os.getppid() == self.order.parent

    # --- other users

    def give(self, path: Path) -> None:
        """Make the server's account the owner."""
        if self.order.account is not None:
            os.chown(path, *self.order.account)

    def program(self, *words: str) -> subprocess.Popen[bytes]:
        """Start one of PostgreSQL's programs; it dies with us, and writes to the log."""
        libraries = {"LD_LIBRARY_PATH": ":".join(map(str, self.libraries))}
        clean = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
        identity = {}
        if self.order.account is not None:
            user, group = self.order.account
            identity = {"user": user, "group": group, "extra_groups": []}
        with (self.run / "server.log").open("ab") as log:
            return subprocess.Popen(  # type: ignore[call-overload,no-any-return]  # noqa: S603
                [str(self.bin / words[0]), *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=clean | (libraries if self.libraries else {}),
                preexec_fn=die_with_us(),  # noqa: PLW1509
                **identity,
            )

    # --- the steps

    def prepare(self) -> None:
        """Put the programs where the account can reach them."""
        if self.order.copy_to is None:
            return
        shared = Path(self.order.copy_to) if self.order.copy_to else None
        if shared is None or not shared.exists():
            near = shared.parent if shared else self.run
            part = Path(tempfile.mkdtemp(prefix="arvo-plpg-part-", dir=near))
            self.wipe.append(part)
            for top in self.order.tree:
                target = part / Path(top).relative_to(self.order.root)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copytree(top, target, symlinks=True)
            part.chmod(0o755)
            for path in part.rglob("*"):
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
            if shared is None:
                self.run.chmod(0o711)
                shared = part
            else:
                try:
                    part.rename(shared)
                    self.wipe.remove(part)
                except OSError:  # somebody was faster: use ours, and remove it at the end
                    shared = part
        self.bin = shared / self.bin.relative_to(self.order.root)
        self.libraries = [shared / place.relative_to(self.order.root) for place in self.libraries]

    def make_data(self) -> Path:
        """The data directory, made by initdb if it is not there yet."""
        if self.order.data is None:
            data = self.run / "data"
            self.initdb(data)
            return data
        data = Path(self.order.data)
        if not (data / "PG_VERSION").exists():
            if data.exists() and (not data.is_dir() or any(data.iterdir())):
                raise Refused("data", "it is neither empty nor a data directory of PostgreSQL")
            for missing in reversed([place for place in data.parents if not place.exists()]):
                missing.mkdir(mode=0o755)
            part = Path(tempfile.mkdtemp(prefix=f".{data.name}-part-", dir=data.parent))
            self.wipe.append(part)
            self.initdb(part)
            try:
                part.rename(data)  # replaces an empty directory, and nothing else
            except OSError as error:
                raise Refused("in use", f"somebody else made it meanwhile ({error})") from None
            self.wipe.remove(part)
        handle = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
        self.locks.append(handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused("in use", "another process runs a server on it") from None
        return data

    def initdb(self, data: Path) -> None:
        """Make a cluster in a directory."""
        data.mkdir(mode=0o700, exist_ok=True)
        self.give(data)
        maker = self.program("initdb", "-D", str(data), *self.order.initdb)
        deadline = time.monotonic() + self.order.patience
        while maker.poll() is None:
            if not self.wanted(LOOK_EVERY):
                end(maker)
                raise Abandoned
            if time.monotonic() > deadline:
                end(maker)
                raise Refused("start", f"initdb took over {self.order.patience:g} s\n{self.log()}")
        if maker.returncode:
            raise Refused("start", f"initdb failed with code {maker.returncode}\n{self.log()}")

    def serve(self, data: Path) -> subprocess.Popen[bytes]:
        """Start the server and wait until it takes connections."""
        settings = [word for option in self.order.options for word in ("-c", option)]
        place = f"unix_socket_directories={self.run}"
        server = self.program("postgres", "-D", str(data), "-c", place, *settings)
        deadline = time.monotonic() + self.order.patience
        while not ready(data, server.pid):
            if server.poll() is not None:
                kind = "in use" if '"postmaster.pid" already exists' in self.log() else "start"
                raise Refused(kind, f"postgres ended with code {server.returncode}\n{self.log()}")
            if time.monotonic() > deadline:
                end(server)
                raise Refused("start", f"not ready after {self.order.patience:g} s\n{self.log()}")
            if not self.wanted(LOOK_EVERY):
                end(server)
                raise Abandoned
        return server

    def log(self) -> str:
        """The last lines of the log."""
        return "\n".join((self.run / "server.log").read_text(errors="replace").splitlines()[-20:])

    def guard(self, server: subprocess.Popen[bytes]) -> None:
        """Stay until the server ends or the parent does."""
        while server.poll() is None and self.wanted(GUARD_EVERY):
            pass
        throw_away = self.order.data is None
        end(server, STEPS_DOWN[1:] if throw_away else STEPS_DOWN)

    def clean(self) -> None:
        """Remove what is ours to remove; a process that is just ending may still write there."""
        deadline = time.monotonic() + STEPS_DOWN[-1][1]
        for path in self.wipe:
            while path.exists() and time.monotonic() < deadline:
                shutil.rmtree(path, ignore_errors=True)


def die_with_us() -> Callable[[], None] | None:
    """What a child does first, so that the kernel stops it at once should we be killed (Linux).

    Everything is loaded here: the child may already be a user who cannot read our libraries.
    """
    if sys.platform != "linux" or ctypes is None:
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask_the_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)

    return ask_the_kernel


def ready(data: Path, pid: int) -> bool:
    """Whether postmaster.pid says that this very process takes connections."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return int(lines[0]) == pid and lines[7].strip() == "ready"
    except (OSError, IndexError, ValueError):
        return False


def end(
    process: subprocess.Popen[bytes], steps: tuple[tuple[signal.Signals, float], ...] = STEPS_DOWN
) -> None:
    """Stop a process, ever less politely."""
    for step, seconds in steps:
        if process.poll() is not None:
            return
        process.send_signal(step)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def say(**message: object) -> None:
    """Tell the parent, if it still listens."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def main(order: Order) -> None:
    """Carry out one order."""
    supervisor = Supervisor(order, Path(tempfile.mkdtemp(prefix="arvo-pg-", dir=order.temporary)))

    def stop(_number: int, _frame: object) -> None:
        supervisor.stopped = True

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    supervisor.wipe.append(supervisor.run)
    try:
        supervisor.give(supervisor.run)
        supervisor.prepare()
        server = supervisor.serve(supervisor.make_data())
        say(run=str(supervisor.run), pid=server.pid)
        supervisor.guard(server)
    except Abandoned:
        pass
    except Refused as refusal:
        say(error=refusal.kind, detail=str(refusal))
    except (OSError, subprocess.SubprocessError) as error:
        say(
            error="system",
            detail=f"{type(error).__name__}: {error}",
            errno=getattr(error, "errno", 0),
        )
    finally:
        supervisor.clean()


if __name__ == "__main__":
    main(Order(**json.loads(sys.argv[1])))
