"""Fault: what happens to one process, its connections, or the server; and what ends it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.proxy import Passing, Proxy
    from chaos.scene import Process, Scene

Stand = Literal["plain", "pair", "small disk"]
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Aim:
    """Whom a fault is meant for.

    Attributes:
        scene: where.
        victim: the process.
        proxy: its way to the server.
        passing: the connection that stands still at this moment; None when none does.
    """

    scene: Scene
    victim: Process
    proxy: Proxy
    passing: Passing | None = None

    @property
    def pids(self) -> list[int]:
        """The server's processes behind the connection, or behind all of the victim's."""
        if self.passing is not None and self.passing.pid is not None:
            return [self.passing.pid]
        return self.proxy.pids()


@dataclass(frozen=True)
class Fault:
    """One kind of trouble.

    Attributes:
        name: in the tables.
        begin: has it happen.
        end: has it end; nothing where nothing lasts.
        seconds: how long it lasts.
        stand: the server that it needs.
        options: of the victim's connections.
        fatal: whether the victim does not survive.
    """

    name: str
    begin: Callable[[Aim], None]
    end: Callable[[Aim], None] = lambda _: None
    seconds: float = 0.0
    stand: Stand = "plain"
    options: str = ""
    fatal: bool = False


def _kill(aim: Aim) -> None:
    aim.victim.send(signal.SIGKILL)
    aim.victim.end(10)


def _terminate(aim: Aim) -> None:
    with aim.scene.cluster.admin() as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [aim.pids])


def _cut(aim: Aim) -> None:
    if aim.passing is not None:
        aim.passing.cut()
    else:
        aim.proxy.drop()


def _open_again(aim: Aim) -> None:
    aim.proxy.blackhole = False
    aim.proxy.drop()


def _lock(aim: Aim) -> None:
    """Hold what every call needs, so that statements of the victim run into their timeout."""
    scene = aim.scene
    holder = psycopg.connect(scene.cluster.dsn(scene.database), autocommit=True)
    scene.spare.append(holder)
    holder.execute("BEGIN; SET LOCAL lock_timeout = '500ms'; SAVEPOINT before")
    for table in ("arvo.lease", "arvo.closure", "arvo.log"):
        try:
            holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SAVEPOINT before")
        except psycopg.errors.LockNotAvailable:
            holder.execute("ROLLBACK TO before")


def _give_back(aim: Aim) -> None:
    for thing in aim.scene.spare:
        thing.close()
    aim.scene.spare.clear()


def _crowd(aim: Aim) -> None:
    """Take every connection that there is, the victim's too."""
    scene = aim.scene
    for _ in range(2):
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                scene.spare.append(
                    psycopg.connect(scene.cluster.dsn(scene.database, "chaos"), autocommit=True)
                )
        with scene.cluster.admin() as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid",
                [aim.proxy.pids()],
            )
        time.sleep(0.05)


def _fail_over(aim: Aim) -> None:
    scene = aim.scene
    if scene.follower is None:
        raise RuntimeError("there is no replica")
    scene.cluster.crash()
    scene.follower.promote()
    for proxy in scene.proxies:
        proxy.upstream = scene.follower.port
        proxy.drop()
    scene.cluster, scene.follower = scene.follower, None


def _fail_over_behind(aim: Aim) -> None:
    """Fail over to a replica that has not got the last half second."""
    if aim.scene.follower is None:
        raise RuntimeError("there is no replica")
    aim.scene.lossy = True
    aim.scene.follower.unfollow()
    time.sleep(0.5)
    _fail_over(aim)


def _fill(aim: Aim) -> None:
    ballast = aim.scene.cluster.place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        block = b"\0" * _BLOCK
        while block:
            try:
                if file.write(block) < len(block):
                    block = block[: len(block) // 2]
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                block = block[: len(block) // 2]


def _empty(aim: Aim) -> None:
    (aim.scene.cluster.place / "ballast").unlink()
    deadline = time.monotonic() + 5
    while aim.scene.cluster.runs and time.monotonic() < deadline and not _answers(aim):
        time.sleep(0.1)
    aim.scene.cluster.recover()


def _answers(aim: Aim) -> bool:
    try:
        with aim.scene.cluster.admin() as admin:
            return admin.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def _blackhole(aim: Aim) -> None:
    aim.proxy.blackhole = True


FAULTS: Final = (
    Fault("SIGKILL", _kill, fatal=True),
    Fault(
        "SIGSTOP, SIGCONT",
        lambda aim: aim.victim.send(signal.SIGSTOP),
        lambda aim: aim.victim.send(signal.SIGCONT),
        seconds=2.5,
    ),
    Fault("backend terminated", _terminate),
    Fault(
        "server crash",
        lambda aim: aim.scene.cluster.crash(),
        lambda aim: aim.scene.cluster.start(),
        seconds=0.3,
    ),
    Fault("network cut", _cut),
    Fault("blackhole", _blackhole, _open_again, seconds=2.5),
    Fault(
        "statement timeout",
        _lock,
        _give_back,
        seconds=1.2,
        options="-c statement_timeout=300",
    ),
    Fault("out of connections", _crowd, _give_back, seconds=1.5),
    Fault("disk full", _fill, _empty, seconds=1.5, stand="small disk"),
    Fault("failover, synchronous", _fail_over, stand="pair"),
    Fault("failover, asynchronous", _fail_over_behind, stand="pair"),
)


def named(name: str) -> Fault:
    """Give the fault of that name."""
    return next(fault for fault in FAULTS if fault.name == name)


def can_mount() -> bool:
    """Whether a small disk can be had; only root may mount one."""
    return os.geteuid() == 0
