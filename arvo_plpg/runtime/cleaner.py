"""Cleaner: has the states of finished workflows forgotten."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg

from arvo_plpg._async.memory import Memory
from arvo_plpg.errors import ArvoError
from arvo_plpg.runtime.connect import is_lost

if TYPE_CHECKING:
    from arvo_plpg.runtime.over import Over
    from arvo_plpg.runtime.terms import Terms

_LAST_SECONDS = 3.0


class Cleaner:
    """Works on one connection, between other calls.

    Args:
        connection: the claiming one, in autocommit.
        over: the workflows that are finished.
        terms: of the worker.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any], over: Over, terms: Terms) -> None:
        self._memory = Memory(connection, schema=terms.schema)
        self._over = over
        self._terms = terms

    async def clean_up(self) -> None:
        """Forget all that are due; what fails is tried again later."""
        while (subject := self._over.next(time.monotonic())) is not None:
            if await self._forget(subject):
                self._over.done()
            else:
                self._over.put_off(time.monotonic())

    async def clean_up_last(self) -> None:
        """Try all that are left once more, for some seconds; the rest is the retention's."""
        subjects = self._over.take()
        deadline = time.monotonic() + _LAST_SECONDS
        for number, subject in enumerate(subjects):
            if time.monotonic() > deadline:
                self._terms.logger.warning(
                    "%d states of finished workflows are left to the retention",
                    len(subjects) - number,
                )
                return
            await self._forget(subject)

    async def _forget(self, subject: str) -> bool:
        try:
            await self._memory.cleanup_state(subject)
        except (ArvoError, psycopg.Error) as error:
            if is_lost(error):
                raise
            self._terms.logger.warning(
                "the state of %a cannot be cleaned up now: %s", subject, type(error).__name__
            )
            return False
        return True
