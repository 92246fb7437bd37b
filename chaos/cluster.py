"""Cluster: a durable PostgreSQL server that can be crashed, started again, copied and promoted."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from arvo_plpg import embedded
from arvo_plpg.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

TEMPLATE = "chaos_template"
ROLE = "chaos"
CONNECTIONS = 45
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    f"max_connections={CONNECTIONS}",
    "shared_buffers=32MB",
    "deadlock_timeout=200ms",
    "wal_keep_size=64MB",
    "max_wal_size=128MB",
    "min_wal_size=32MB",
    "log_lock_waits=off",
)
_START_SECONDS = 60.0
_BUSINESS = """
CREATE SCHEMA business;
CREATE TABLE business.request (event text PRIMARY KEY, at timestamptz DEFAULT now());
CREATE TABLE business.effect (event text NOT NULL, amount integer NOT NULL, UNIQUE (event));
CREATE TABLE business.account (account integer PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO business.account SELECT number, 0 FROM generate_series(0, 15) AS number;
-- The usual way to an idempotent effect: the row of the event decides, in the same transaction.
CREATE FUNCTION business.book(p_event text, p_amount integer) RETURNS boolean
LANGUAGE plpgsql AS $book$
BEGIN
    INSERT INTO business.effect (event, amount) VALUES (p_event, p_amount) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        UPDATE business.account SET balance = balance + p_amount
        WHERE account = abs(hashtext(p_event)) % 16;
    END IF;
    RETURN FOUND;
END;
$book$;
GRANT USAGE ON SCHEMA business TO chaos;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA business TO chaos;
"""


class Cluster:
    """A server on a TCP port of its own, whose commits wait for the disk.

    Args:
        place: the data directory is made in it.
        name: of the data directory.
        settings: further settings, each ``name=value``.
    """

    def __init__(self, place: Path, name: str = "data", settings: tuple[str, ...] = ()) -> None:
        self.place = place
        self.data = place / name
        self.port = free_port()
        self._settings = settings
        self._server: embedded.Server | None = None
        self._deadlocks = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def bin(self) -> Path:
        """Where PostgreSQL's programs are."""
        return embedded.find_wheel().bin

    def dsn(self, database: str = "postgres", user: str = "postgres", port: int = 0) -> str:
        """Connection string; by way of another port, if one is given."""
        return make_conninfo(
            host="127.0.0.1",
            port=port or self.port,
            dbname=database,
            user=user,
            sslmode="disable",
            gssencmode="disable",
        )

    def start(self) -> None:
        """Start the server, also after a crash, and wait until it takes connections."""
        self._server = embedded.start(
            self.data, options=[*_SETTINGS, f"port={self.port}", *self._settings]
        )

    def stop(self) -> None:
        """Stop it in order, if it runs."""
        if self._server is not None:
            self._note_deadlocks()
            self._server.stop()
            self._server = None

    def crash(self) -> None:
        """Stop it at once, as a power cut does for its processes."""
        if self._server is None:
            return
        self._note_deadlocks()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._server.pid, signal.SIGQUIT)
        deadline = time.monotonic() + _START_SECONDS
        while _alive(self._server.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._server.stop()
        self._server = None

    @property
    def runs(self) -> bool:
        """Whether the server's process is there."""
        return self._server is not None and _alive(self._server.pid)

    def recover(self) -> None:
        """Start it, if it has gone down by itself."""
        if not self.runs:
            if self._server is not None:
                self._server.stop()
            self.start()

    @property
    def deadlocks(self) -> int:
        """How many deadlocks the server has reported since it was made, over all its lives."""
        return self._deadlocks + self._reported()

    def _reported(self) -> int:
        if self._server is None:
            return 0
        with contextlib.suppress(OSError):
            return self._server.log.read_text(errors="replace").count("deadlock detected")
        return 0

    def _note_deadlocks(self) -> None:
        self._deadlocks += self._reported()

    # --- databases

    def furnish(self) -> None:
        """Make the template of all databases: the installation, the business, and their user."""
        with self.admin() as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        migrate(self.dsn(TEMPLATE))
        with self.admin(TEMPLATE) as admin:
            admin.execute("CREATE ROLE chaos LOGIN")
            admin.execute("GRANT arvo_client, arvo_worker, arvo_monitor TO chaos")
            admin.execute(_BUSINESS)

    def create(self, name: str) -> str:
        """Make a database; returns its name."""
        with self.admin() as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(TEMPLATE)
                )
            )
        return name

    def drop(self, name: str) -> None:
        """Drop a database and whoever is connected to it."""
        with self.admin() as admin:
            admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    @contextlib.contextmanager
    def admin(self, database: str = "postgres") -> Iterator[psycopg.Connection[Any]]:
        """Connect as superuser, past every proxy."""
        with psycopg.connect(self.dsn(database), autocommit=True, connect_timeout=10) as connection:
            yield connection

    # --- a copy that follows

    def follower(self, name: str) -> Cluster:
        """Make a streaming replica, and start it."""
        copy = Cluster(self.place, name, self._settings)
        subprocess.run(
            [
                self.bin / "pg_basebackup",
                *(
                    "-D",
                    copy.data,
                    "-d",
                    self.dsn(),
                    "-R",
                    "-c",
                    "fast",
                    "-X",
                    "stream",
                    "--no-sync",
                ),
            ],
            check=True,
            capture_output=True,
        )
        owner = self.data.stat()
        for path in (copy.data, *copy.data.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
        copy.start()
        return copy

    def wait_for_follower(self, *, synchronous: bool) -> None:
        """Wait until a replica follows; have commits wait for it from now on, or not."""
        names = "*" if synchronous else ""
        wanted = "sync" if synchronous else "async"
        with self.admin() as admin:
            admin.execute(sql.SQL("ALTER SYSTEM SET synchronous_standby_names = {}").format(names))
            admin.execute("SELECT pg_reload_conf()")
            deadline = time.monotonic() + _START_SECONDS
            while (
                admin.execute(
                    "SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = %s",
                    [wanted],
                ).fetchone()
                is None
            ):
                if time.monotonic() > deadline:
                    raise TimeoutError("the replica does not follow")
                time.sleep(0.05)

    def unfollow(self) -> None:
        """Let a replica get nothing more from its primary."""
        with self.admin() as admin:
            admin.execute("ALTER SYSTEM SET primary_conninfo = ''")
            admin.execute("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Make a primary of a replica."""
        with self.admin() as admin:
            admin.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
            admin.execute("SELECT pg_promote(true, 30)")

    def remove(self) -> None:
        """Stop it, and remove its data."""
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)


@contextlib.contextmanager
def temporary_place() -> Iterator[Path]:
    """Give a directory that the server's account can enter; removed afterwards."""
    place = Path(tempfile.mkdtemp(prefix="arvo-chaos-"))
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Path | None]:
    """Give a directory on a small file system of its own; None where that is not allowed."""
    with temporary_place() as place:
        if (
            os.geteuid() != 0
            or subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place],  # noqa: S607
                capture_output=True,
                check=False,
            ).returncode
        ):
            yield None
            return
        try:
            yield place
        finally:
            subprocess.run(["umount", "-l", place], check=False)  # noqa: S607


def free_port() -> int:
    """Find a TCP port that nobody listens on."""
    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        port: int = plug.getsockname()[1]
    return port


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
