"""Heartbeat: keeps the leases of running handlers, from a thread of its own.

A blocked event loop must not cost the leases of what runs in it, so this does not run in it.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from arvo_plpg._sync.broker import Broker
from arvo_plpg.runtime.connect import connection_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_JOIN_SECONDS = 5.0


class Heartbeat:
    """Extends leases every quarter of their time.

    Args:
        dsn: the database.
        schema: name of the installation.
        lease: how long a lease lasts, in seconds.
        leases: called in the thread; gives the tokens of leases with something running.
        lost: called in the thread with a token and those deliveries of its lease that are held
            still; with none when the lease is lost.
        kept: called in the thread with the time before a beat that has kept them all.
        warn: called in the thread when a beat fails, as a logger's ``warning``.
        prepare_threshold: as in psycopg: after how many calls a statement is prepared.
    """

    def __init__(
        self,
        dsn: str,
        schema: str,
        lease: float,
        *,
        leases: Callable[[], Collection[int]],
        lost: Callable[[int, Collection[int]], object],
        kept: Callable[[float], object],
        warn: Callable[..., object],
        prepare_threshold: int | None = 5,
    ) -> None:
        self._dsn = dsn
        self._schema = schema
        self._lease = lease
        self._leases = leases
        self._lost = lost
        self._kept = kept
        self._warn = warn
        self._prepare_threshold = prepare_threshold
        self._stop = threading.Event()
        self._connection: psycopg.Connection[Any] | None = None
        self._thread = threading.Thread(target=self._beat, name="arvo-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close its connection. Blocks for a moment: call it in a thread."""
        self._stop.set()
        self._thread.join(_JOIN_SECONDS)

    def _beat(self) -> None:
        while not self._stop.wait(self._lease / 4):
            try:
                held = list(self._leases())
                if held:
                    self._extend(held)
            except Exception as error:  # noqa: BLE001 - the next beat may succeed
                self._warn("heartbeat failed (%s); trying again", type(error).__name__)
                self._close()
        self._close()

    def _extend(self, held: list[int]) -> None:
        if self._connection is None or self._connection.broken:
            self._connection = psycopg.connect(
                self._dsn,
                autocommit=True,
                **connection_parameters(
                    self._dsn,
                    f"{self._schema}-heartbeat",
                    max(2, int(self._lease / 4)),
                    prepare_threshold=self._prepare_threshold,
                ),
            )
        broker = Broker(self._connection, schema=self._schema)
        began = time.monotonic()
        lost = broker.extend(held, timedelta(seconds=self._lease))
        if not lost:
            self._kept(began)
        for answer in lost:
            self._lost(answer.lease, answer.deliveries or ())

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
