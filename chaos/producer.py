"""Producer: ``python -m chaos.producer JSON`` dispatches in business transactions.

Each transaction writes a row of its own beside each event, so the tables tell afterwards whether it
was committed. Some are rolled back, some are committed late. When a COMMIT is not answered, the
producer does not ask what became of it: it goes on with another subject, and the checker looks.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from arvo_plpg import create_arvo_event
from arvo_plpg.errors import ArvoError
from arvo_plpg.sync import Broker
from chaos.history import Log
from chaos.workload import CLIENT, ORDER, SCARCE, SHIP

_PAUSE_SECONDS = 0.05
_SUBJECT_TRANSACTIONS = 25
_WAYS = ("committed",) * 7 + ("late", "rolled back", "rolled back")
_QUEUES = ([ORDER], [ORDER, ORDER], [ORDER, SCARCE], [SHIP], [SCARCE, SHIP], [SCARCE])


@dataclass(frozen=True)
class Config:
    """What a producer is told.

    Attributes:
        dsn: the database.
        name: of the producer, which the ids of its events begin with.
        log: where its history goes.
        seed: of its choices.
        transactions: how many, at most; 0 for as many as it can until SIGTERM.
        rate: transactions per second; 0 for no limit.
        wait: whether it begins only when a line comes in.
    """

    dsn: str
    name: str
    log: str
    seed: int = 0
    transactions: int = 0
    rate: float = 0.0
    wait: bool = False


class Producer:
    """Dispatches until it is told to stop.

    Args:
        config: what it was told.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._log = Log(Path(config.log), config.name)
        self._random = random.Random(config.seed)
        self._made = 0
        self._done = 0
        self._subjects = 0
        self._in_subject = 0
        self._stopping = False
        self._deck: list[tuple[str, list[str]]] = []
        self._new_subject()

    def stop(self) -> None:
        """Make no further transaction."""
        self._stopping = True

    def run(self) -> None:
        """Produce, and connect again whenever that is needed."""
        while not self._finished:
            with suppress(psycopg.Error, ArvoError):
                self._serve()
            self._new_subject()
            time.sleep(_PAUSE_SECONDS)
        self._log.note("produced", transactions=self._done)

    def _serve(self) -> None:
        """Make one transaction after the other on one connection, while that lasts."""
        with psycopg.connect(
            self._config.dsn,
            autocommit=True,
            connect_timeout=5,
            application_name="chaos-producer",
        ) as connection:
            due = time.monotonic()  # what was missed meanwhile is not made up for
            while not self._finished:
                if self._config.rate:
                    time.sleep(max(0.0, due - time.monotonic()))
                    due += 1 / self._config.rate
                self._done += 1
                self._transact(connection)

    @property
    def _finished(self) -> bool:
        most = self._config.transactions
        return self._stopping or (most > 0 and self._done >= most)

    def _new_subject(self) -> None:
        self._subjects += 1
        self._in_subject = 0
        self._subject = f"{self._config.name}-{self._subjects}"

    def _transact(self, connection: psycopg.Connection[Any]) -> None:
        if not self._deck:  # all combinations, in random order: so the load is even
            self._deck = [(way, queues) for way in _WAYS for queues in _QUEUES]
            self._random.shuffle(self._deck)
        way, queues = self._deck.pop()
        pause = self._random.random() / 4
        if self._in_subject >= _SUBJECT_TRANSACTIONS:
            self._new_subject()
        self._in_subject += 1
        events: list[str] = []
        sent = False
        try:
            connection.execute("BEGIN")
            for queue in queues:
                self._put(connection, queue, events)
            if way == "late":
                time.sleep(pause)
            if way == "rolled back":
                connection.execute("ROLLBACK")
            else:
                self._log.note("sent", events=events)
                sent = True
                connection.execute("COMMIT")
        except BaseException:
            if not sent:
                self._log.note("rolled back", events=events)
            raise
        self._log.note("rolled back" if way == "rolled back" else "committed", events=events)

    def _put(self, connection: psycopg.Connection[Any], queue: str, events: list[str]) -> None:
        self._made += 1
        event_id = f"{self._config.name}-{self._made}"
        events.append(event_id)
        event = create_arvo_event(
            id=event_id,
            source=CLIENT,
            type="com.chaos.asked",
            subject=self._subject if queue == ORDER else event_id,
            to=queue,
            data={"number": self._made, "amount": self._made % 100},
        )
        connection.execute("INSERT INTO business.request (event) VALUES (%s)", [event_id])
        Broker(connection).dispatch(event)


def main() -> None:
    """Do what the command line says."""
    config = Config(**json.loads(sys.argv[1]))
    producer = Producer(config)
    signal.signal(signal.SIGTERM, lambda *_: producer.stop())
    if config.wait:
        sys.stdin.readline()
    producer.run()


if __name__ == "__main__":
    main()
