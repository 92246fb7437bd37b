"""PgBouncer in transaction mode before a server, for the tests: Debian's, without root."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import debian
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from arvo_plpg.embedded import account as accounts

CHOICES = {"1.18": "", "1.24": "trixie"}
"""By version: the release of Debian that has it; none: the one that this is, Debian 12."""
PORT = 6432
PR_SET_PDEATHSIG = 1
PATIENCE = 20  # seconds until it takes connections
SETTINGS = """\
[databases]
* = host={host} port={port} user={user}

[pgbouncer]
pool_mode = transaction
auth_type = any
listen_addr =
listen_port = {own_port}
unix_socket_dir = {place}
unix_socket_mode = 0777
max_client_conn = 500
default_pool_size = 10
{more}
"""


@dataclass(frozen=True)
class Pooler:
    """A PgBouncer that runs.

    Attributes:
        version: What it says that it is.
        place: Where its socket is.
    """

    version: str
    place: Path

    def dsn(self, direct: str) -> str:
        """The connection string through it for a direct one."""
        return make_conninfo(direct, host=str(self.place), port=PORT)


def programs(version: str) -> tuple[Path, list[str], dict[str, str]]:
    """Where PgBouncer's files are, how it is called there, and with what environment.

    Raises:
        debian.UnobtainableError: it cannot be had here.
    """
    if CHOICES[version]:
        root = debian.fetch(["pgbouncer"], dependencies=True, suite=CHOICES[version])
        return root, debian.foreign(root, "usr/sbin/pgbouncer"), {}
    root = debian.fetch(["pgbouncer"], dependencies=True)
    libraries = [str(path) for path in root.glob("**/*-linux-gnu*") if path.is_dir()]
    return root, [str(root / "usr/sbin/pgbouncer")], {"LD_LIBRARY_PATH": ":".join(libraries)}


@contextlib.contextmanager
def start(version: str, server: str, more: str = "") -> Iterator[Pooler]:
    """Start PgBouncer; it is gone afterwards. As root, it runs as ``nobody``.

    Args:
        version: one of CHOICES.
        server: connection string of the server behind it.
        more: further settings, as in its file.

    Raises:
        debian.UnobtainableError: it cannot be had here.
    """
    root, command, environment = programs(version)
    account = accounts.choose(None)
    facts = conninfo_to_dict(server)
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="arvo-pooler-")))
        if account.drop:
            os.chown(place, account.uid, account.gid)
            if not account.may_enter(root):
                shutil.copytree(root, place / "root", symlinks=True)
                command = [word.replace(str(root), str(place / "root")) for word in command]
                environment = {
                    name: value.replace(str(root), str(place / "root"))
                    for name, value in environment.items()
                }
        place.chmod(0o755)
        text = SETTINGS.format(
            host=facts.get("host", "/var/run/postgresql"),
            port=facts.get("port", 5432),
            user=facts.get("user", "postgres"),
            own_port=PORT,
            place=place,
            more=more,
        )
        (place / "pgbouncer.ini").write_text(text)
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
        process = stack.enter_context(
            subprocess.Popen(
                [*command, "-q", str(place / "pgbouncer.ini")],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stack.enter_context((place / "log").open("w")),
                cwd=place,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one call of the C library
                **(identity if account.drop else {}),  # type: ignore[call-overload]
            )
        )
        stack.callback(process.send_signal, signal.SIGKILL)
        pooler = Pooler(_greeting(process, place, facts), place)
        yield pooler


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _greeting(process: "subprocess.Popen[bytes]", place: Path, facts: Mapping[str, object]) -> str:
    """Wait until it takes connections; its version."""
    own = make_conninfo(
        "", host=str(place), port=PORT, user=str(facts.get("user")), dbname="pgbouncer"
    )
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with psycopg.connect(own, autocommit=True, prepare_threshold=None) as connection:
                said = connection.pgconn.exec_(b"SHOW VERSION").get_value(0, 0) or b""
                return said.decode().removeprefix("PgBouncer ")
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                log = (place / "log").read_text()[-2000:]
                raise RuntimeError(f"PgBouncer does not start: {error}\n{log}") from None
            time.sleep(0.02)
