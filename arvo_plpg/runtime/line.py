"""Line: a connection that reads a long answer in many small steps, each of which costs little.

The server sends an answer in pieces of eight kilobytes, and psycopg's connection registers with the
event loop anew for each of them, with a timer and a future. That was a fifth of what a worker's
process did for an event.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.waiting import Ready, Wait, wait_async

if TYPE_CHECKING:
    from collections.abc import Generator

    from psycopg.abc import RV, PQGen

_CANCEL_SECONDS = 5.0


class Line(psycopg.AsyncConnection[Any]):
    """Stays registered until the answer is there, and does not look at the clock meanwhile."""

    async def wait(self, gen: PQGen[RV], *given: Any, **named: Any) -> RV:  # noqa: ANN401
        """Drive one of psycopg's generators to its end, as :class:`psycopg.AsyncConnection` does.

        Cancelled, it has the server cancel what it works on, and reads the answer to that.
        """
        try:
            if (wants := next(gen)) != Wait.R:
                return await super().wait(_rest(gen, wants), *given, **named)
        except StopIteration as stop:
            answer: RV = stop.value
            return answer
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        answers: list[RV] = []

        def read() -> None:
            nonlocal wants
            if over.done():
                return
            try:
                wants = gen.send(Ready.R)
                if wants == Wait.R:
                    return
            except StopIteration as stop:
                answers.append(stop.value)
            except Exception as error:  # noqa: BLE001 - of whoever waits
                over.set_exception(error)
                return
            over.set_result(None)

        number = self.pgconn.socket
        loop.add_reader(number, read)
        try:
            await over
        except asyncio.CancelledError:
            loop.remove_reader(number)
            await self._give_up(gen)
            raise
        finally:
            loop.remove_reader(number)
        if not answers:
            return await super().wait(_rest(gen, wants), *given, **named)
        return answers[0]

    async def _give_up(self, gen: PQGen[RV]) -> None:
        """Have the server cancel what it works on; hang up if that cannot be had."""
        if self.info.transaction_status != TransactionStatus.ACTIVE:
            return
        try:
            with suppress(psycopg.Error, TimeoutError):
                async with asyncio.timeout(_CANCEL_SECONDS):
                    await self.cancel_safe(timeout=_CANCEL_SECONDS)
                    await wait_async(_rest(gen, Wait.R), self.pgconn.socket, _CANCEL_SECONDS)
        finally:
            if self.info.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()


def _rest(gen: PQGen[RV], wants: Wait) -> Generator[Wait, Ready | int | None, RV]:
    """Give what is left of a generator that has begun, and wants something."""
    while True:
        while (ready := (yield wants)) is None:
            pass
        try:
            wants = gen.send(ready)
        except StopIteration as stop:
            answer: RV = stop.value
            return answer
