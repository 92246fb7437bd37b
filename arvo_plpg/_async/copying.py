"""Copying: any number of events, in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.pq import TransactionStatus

from arvo_plpg.errors import CopyInterrupted
from arvo_plpg.jsonb import as_events, as_jsonb, event_json
from arvo_plpg.rows import Copied
from arvo_plpg.stream import AsyncStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from arvo_plpg._async.session import Session
    from arvo_plpg.stream import AsyncEvents

BATCH_EVENTS = 1000
BATCH_BYTES = 4_000_000


class Copying:
    """Part of :class:`~arvo_plpg._async.broker.Broker`."""

    _session: Session

    async def dispatch_copy(
        self,
        events: AsyncEvents,
        *,
        ignore_domain: bool | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> list[Copied]:
        """Accept any number of events, in order and in batches; say how many had which outcome.

        Batches are of up to 1,000 events. While the server works on one, the next is read and
        written out. On a connection in autocommit each batch is a transaction of its own: when
        something goes wrong, those before it are stored, and nothing behind them;
        :class:`~arvo_plpg.errors.CopyInterrupted` says how many they are. When it is the connection
        that broke, the batch behind them may be stored, too, whole. The stream can be given again
        from there, or from its beginning: what is stored is a duplicate. In a transaction
        everything belongs to that, and errors are raised as they are.
        """
        connection = self._session.connection
        alone = connection.autocommit and (
            connection.info.transaction_status == TransactionStatus.IDLE
        )
        given: dict[str, object] = {}
        if ignore_domain is not None:
            given["ignore_domain"] = ignore_domain
        if options is not None:
            given["options"] = as_jsonb(dict(options))
        told: dict[str, Copied] = {}
        try:
            async for answer in self._session.stream(
                Copied, "dispatch_copy", _batches(events, given), alone=alone
            ):
                _add(told, answer)
        except Exception as error:
            if not alone:
                raise
            raise CopyInterrupted(sum(row.events for row in told.values()), error) from error
        return list(told.values())


async def _batches(
    events: AsyncEvents, given: Mapping[str, object]
) -> AsyncIterator[dict[str, object]]:
    texts: list[bytes] = []
    room = BATCH_BYTES
    async for event in AsyncStream(events):
        text = event_json(event)
        if texts and (len(texts) == BATCH_EVENTS or room < len(text)):
            yield {**given, "events": as_events(texts)}
            texts, room = [], BATCH_BYTES
        texts.append(text)
        room -= len(text)
    if texts:
        yield {**given, "events": as_events(texts)}


def _add(told: dict[str, Copied], answer: list[Copied]) -> None:
    before = sum(row.events for row in told.values())
    for row in answer:
        known = told.get(row.outcome, Copied(row.outcome, 0, []))
        places = [before + ordinal for ordinal in row.ordinals]
        told[row.outcome] = Copied(row.outcome, known.events + row.events, known.ordinals + places)
