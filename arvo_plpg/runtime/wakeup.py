"""Wakeup: the connection that listens for notifications. A hint, never the truth: workers poll.

Between calls it is read by a callback of the event loop, without a task that waits; the few calls
that are made on it (doze, rouse, still_open) are sent one after the other and answered by callback,
so that nobody waits for them either.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus

from arvo_plpg.runtime.backoff import Backoff
from arvo_plpg.runtime.connect import connection_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from psycopg.pq.abc import PGresult

    Then = Callable[[list[int]], None]

_ANSWER_SECONDS = 10.0
_PROBE_SECONDS = 15.0
_CALLS = {"doze": "text[]", "rouse": "text[]", "still_open": "bigint[]"}


class Wakeup:
    """Listens until it is cancelled; reconnects with back-off. Asks now and then if it is heard.

    Args:
        dsn: where to listen; a direct connection, not a transaction pooler.
        schema: name of the installation; the channel is called after it.
        wake: called in the event loop with the name of each queue that is notified, and with an
            empty name right after each (re)connection, because some may have been missed.
        lost: called when the connection is lost, and with it what was registered on it.
        warn: called when the connection is lost, as a logger's ``warning``.
        direct: whether ``dsn`` is known to lead to one session. Otherwise nobody listens behind a
            pooler: notifications would not come, and what is registered would stay on sessions
            that others use.
    """

    def __init__(
        self,
        dsn: str,
        schema: str,
        *,
        wake: Callable[[str], None],
        lost: Callable[[], None],
        warn: Callable[..., None],
        direct: bool = False,
    ) -> None:
        self._direct = direct
        self._dsn = dsn
        self._schema = schema
        self._wake = wake
        self._lost = lost
        self._warn = warn
        self._wire: _Wire | None = None

    @property
    def listening(self) -> bool:
        """Whether there is a connection now."""
        return self._wire is not None

    def ask(self, function: str, values: Iterable[str | int], then: Then | None = None) -> None:
        """Call doze, rouse or still_open with an array, and ``then`` with the numbers it answers.

        Without a connection, and if that is lost on the way, ``then`` is never called.
        """
        if self._wire is not None:
            self._wire.ask(function, _array(values), then)

    async def run(self) -> None:
        """Listen until cancelled."""
        backoff = Backoff()
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._dsn,
                    autocommit=True,
                    **connection_parameters(self._dsn, f"{self._schema}-wakeup"),
                )
                try:
                    if not self._direct and await _is_pooled(connection):
                        self._warn(
                            "the database is behind a pooler: nobody listens, polling goes on;"
                            " give a direct connection as listen_dsn"
                        )
                        await connection.close()
                        await asyncio.Event().wait()
                    await connection.execute(self._greeting())
                    backoff.reset()
                    await self._read(connection)
                finally:
                    await connection.close()
            except (psycopg.Error, OSError) as error:
                self._warn("wake-up connection lost (%s); polling goes on", type(error).__name__)
            await asyncio.sleep(backoff.next())

    def _greeting(self) -> sql.Composed:
        prepared = [
            sql.SQL("PREPARE {} ({}) AS SELECT {}($1)").format(
                sql.Identifier(function),
                sql.SQL(argument),
                sql.Identifier(f"{self._schema}_v1", function),
            )
            for function, argument in _CALLS.items()
        ]
        listen = sql.SQL("LISTEN {}").format(sql.Identifier(f"{self._schema}_wake"))
        return sql.SQL("; ").join([listen, *prepared])

    async def _read(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._wire = wire = _Wire(connection, self._wake)
        try:
            self._wake("")
            await wire.broken
        finally:
            self._wire = None
            wire.close()
            self._lost()


class _Wire:
    """An open connection, its socket watched by the event loop; one call on its way at a time."""

    def __init__(
        self, connection: psycopg.AsyncConnection[Any], wake: Callable[[str], None]
    ) -> None:
        self._pgconn = connection.pgconn
        self._socket = connection.pgconn.socket
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._calls: deque[tuple[bytes, bytes, Then | None]] = deque()
        self._numbers: list[int] = []
        self._overdue: asyncio.TimerHandle | None = None
        self._probe_timer = self._loop.call_later(_PROBE_SECONDS, self._probe)
        self.broken: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._socket, self._readable)
        self._loop.call_soon(self._readable)  # what came in with the last answer

    def ask(self, function: str, argument: bytes, then: Then | None) -> None:
        self._calls.append((function.encode(), argument, then))
        if len(self._calls) == 1:
            self._send()

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._probe_timer.cancel()
        if self._overdue is not None:
            self._overdue.cancel()
        self._calls.clear()

    def _probe(self) -> None:
        """Ask something, lest a listener whose peer has gone silently waits for ever."""
        self._probe_timer = self._loop.call_later(_PROBE_SECONDS, self._probe)
        if not self._calls:
            self.ask("still_open", b"{}", None)

    def _send(self) -> None:
        function, argument, _ = self._calls[0]
        self._overdue = self._loop.call_later(_ANSWER_SECONDS, self._fail, TimeoutError())
        try:
            self._pgconn.send_query_prepared(function, [argument])
            self._flush()
        except psycopg.Error as error:
            self._fail(error)

    def _flush(self) -> None:
        try:
            if self._pgconn.flush():
                self._loop.add_writer(self._socket, self._flush)
            else:
                self._loop.remove_writer(self._socket)
        except psycopg.Error as error:
            self._fail(error)

    def _readable(self) -> None:
        if self.broken.done():
            return
        try:
            self._pgconn.consume_input()
            while self._calls and not self._pgconn.is_busy():
                self._take(self._pgconn.get_result())
            # Last: those that came behind an answer are seen when that has been taken.
            while (notification := self._pgconn.notifies()) is not None:
                self._wake(notification.extra.decode(errors="replace"))
        except psycopg.Error as error:
            self._fail(error)

    def _take(self, result: PGresult | None) -> None:
        if result is None:
            self._answered()
        elif result.status != ExecStatus.TUPLES_OK:
            # What it has registered until then is gone when the session ends.
            raise psycopg.OperationalError(result.get_error_message())
        else:
            found = [result.get_value(row, 0) or b"" for row in range(result.ntuples)]
            self._numbers += [int(value) for value in found if value.isdigit()]

    def _answered(self) -> None:
        _, _, then = self._calls.popleft()
        numbers, self._numbers = self._numbers, []
        if self._overdue is not None:
            self._overdue.cancel()
        if self._calls:
            self._send()
        if then is not None:
            then(numbers)

    def _fail(self, error: Exception) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        if not self.broken.done():
            self.broken.set_exception(error)


async def _is_pooled(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Tell whether somebody stands between: then the session is not the one that greeted us."""
    cursor = await connection.execute("SELECT pg_backend_pid()")
    row = await cursor.fetchone()
    return row is not None and row[0] != connection.info.backend_pid


def _array(values: Iterable[str | int]) -> bytes:
    """Write an array as PostgreSQL reads it."""
    quoted = (str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return b"{" + ",".join(f'"{value}"' for value in quoted).encode() + b"}"
