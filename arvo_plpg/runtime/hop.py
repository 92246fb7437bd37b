"""Hop: settle a step and claim the next one, in one round trip and two transactions.

No call can claim what it has emitted itself, so a chain takes two for each step. Sent in one go,
the second need not wait for this process: the server claims as soon as it has committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus
from psycopg.waiting import Wait

from arvo_plpg._call import numbered_call
from arvo_plpg.flush import flush
from arvo_plpg.rows import Worked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg.abc import Buffer, PQGen
    from psycopg.pq.abc import PGconn, PGresult

_NUMBERS = count(1)
_make = partial(tuple.__new__, Worked)


@dataclass(frozen=True, slots=True)
class _Message:
    query: bytes
    arguments: Sequence[Buffer | None]
    name: bytes = b""
    unknown: bool = False


class Hop:
    """Makes such double calls on a connection that nobody else uses meanwhile.

    Args:
        connection: in autocommit, outside of a pipeline.
        schema: name of the installation.
        prepared: whether statements may be prepared: not behind a pooler that does not know them.
    """

    def __init__(
        self, connection: psycopg.AsyncConnection[Any], schema: str, *, prepared: bool
    ) -> None:
        self._connection = connection
        self._contract = f"{schema}_v1"
        self._prepared = prepared
        self._names: dict[bytes, bytes] = {}

    async def make(
        self, settling: Mapping[str, object], claiming: Mapping[str, object]
    ) -> tuple[list[Worked] | None, list[Worked] | None]:
        """Call ``work`` and then ``look``, whatever became of the first.

        Args:
            settling: arguments of ``work``.
            claiming: arguments of ``look``.

        Returns:
            What each has answered. None for one that was refused: it has done nothing, and whoever
            calls it by itself learns why.

        Raises:
            psycopg.Error: the connection is lost.
        """
        connection = self._connection
        async with connection.lock:
            work, look = self._message("work", settling), self._message("look", claiming)
            try:
                worked, looked = await connection.wait(_in_one_go(connection.pgconn, work, look))
            except BaseException:
                # Whoever comes next must not read what is still on its way.
                connection.pgconn.finish()
                raise
        if worked is None or looked is None:
            # Perhaps the schema was migrated: what was prepared may be of the old one.
            self._names.clear()
        return self._read(worked), self._read(looked)

    def _message(self, function: str, given: Mapping[str, object]) -> _Message:
        query = numbered_call(self._contract, function, tuple(given), Worked._fields)
        # As texts, of types that the server knows: the same statement for small and large numbers.
        arguments = Transformer(self._connection).dump_sequence(
            list(given.values()), [PyFormat.TEXT] * len(given)
        )
        if not self._prepared:
            return _Message(query, arguments)
        name = self._names.get(query)
        unknown = name is None
        if name is None:
            name = self._names[query] = b"arvo_hop_%d" % next(_NUMBERS)
        return _Message(query, arguments, name, unknown)

    def _read(self, result: PGresult | None) -> list[Worked] | None:
        if result is None:
            return None
        transformer = Transformer(self._connection)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, _make)


def _in_one_go(
    pgconn: PGconn, work: _Message, look: _Message
) -> PQGen[tuple[PGresult | None, PGresult | None]]:
    """Send both, each a transaction of its own, and give the answer of each; None for an error."""
    pgconn.enter_pipeline_mode()
    for message in (work, look):
        if message.unknown:
            pgconn.send_prepare(message.name, message.query)
        if message.name:
            pgconn.send_query_prepared(message.name, message.arguments)
        else:
            pgconn.send_query_params(message.query, message.arguments)
        pgconn.pipeline_sync()
    yield from flush(pgconn)
    worked = yield from _answer(pgconn)
    looked = yield from _answer(pgconn)
    pgconn.exit_pipeline_mode()
    return worked, looked


def _answer(pgconn: PGconn) -> PQGen[PGresult | None]:
    """Read what there is up to the next end of a transaction."""
    rows = None
    ended = False
    while True:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            if ended:
                raise psycopg.OperationalError("the connection is lost")
            ended = True
            continue
        ended = False
        if result.status == ExecStatus.PIPELINE_SYNC:
            return rows
        if result.status == ExecStatus.TUPLES_OK:
            rows = result
