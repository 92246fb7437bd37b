"""A database with the stage of the engine tests, and sessions on it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

STAGE = Path(__file__).resolve().parents[2] / "sql" / "isolation" / "stage.sql"
START = "2030-01-01T00:00:00Z"


def event(event_id: str, to: str = "q", subject: str | None = None) -> dict[str, Any]:
    return {
        "id": event_id,
        "source": "test",
        "type": "com.test.happened",
        "specversion": "1.0",
        "subject": subject or event_id,
        "to": to,
        "data": {},
    }


class Actor:
    """One session: short words for the contract's functions, answered as plain Python values."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def ask(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement, arguments).fetchall()

    def freeze(self, moment: str) -> None:
        self.ask("SELECT set_config('arvo.frozen_clock', %s, false)", moment)

    def register(self, queue: str = "q", **options: Any) -> None:
        """Register a queue; the same id again is another event unless the options deny it."""
        options.setdefault("deduplicate_for", "0")
        named = "".join(f", p_{name} => %s" for name in options)
        self.ask(f"SELECT arvo_v1.register_queue(%s{named})", queue, *options.values())

    def put(self, event_id: str, to: str = "q", after: str | None = None) -> str:
        return self.ask(
            "SELECT outcome FROM arvo_v1.dispatch(%s, %s::interval)",
            Jsonb(event(event_id, to)),
            after,
        )[0][0]

    def put_many(self, count: int, to: str = "q") -> None:
        """Dispatch as many events in one transaction."""
        self.ask(
            "SELECT count(*) FROM arvo_v1.dispatch_many((SELECT jsonb_agg(stage.event("
            "'m' || gen_random_uuid(), %s)) FROM generate_series(1, %s) AS n))",
            to,
            count,
        )

    def take(
        self, limit: int = 10, queue: str = "q", lease: str = "30 seconds"
    ) -> list[tuple[int, int, str, int]]:
        """Lease, delivery, event id and attempt of each."""
        return self.ask(
            "SELECT lease, delivery, event ->> 'id', attempt"
            " FROM arvo_v1.claim(%s, %s, NULL, NULL, %s::interval)",
            [queue],
            limit,
            lease,
        )

    def settle(self, *items: dict[str, Any]) -> list[tuple[str, str | None]]:
        """Outcome and code of each, in order."""
        return self.ask("SELECT outcome, code FROM arvo_v1.settle(%s)", Jsonb(list(items)))

    def complete(self, *taken: tuple[int, int, str, int], **more: Any) -> list[str]:
        return [
            outcome
            for outcome, _ in self.settle(
                *({"lease": t[0], "delivery": t[1], "outcome": "completed", **more} for t in taken)
            )
        ]

    def extend(self, *leases: int, lasts: str = "30 seconds") -> list[bool]:
        return [
            held
            for (held,) in self.ask(
                "SELECT held FROM arvo_v1.extend(%s, %s::interval) ORDER BY lease",
                list(leases),
                lasts,
            )
        ]

    def drain(self, queue: str = "q", limit: int = 10) -> list[str]:
        """Claim and complete until a claim finds nothing; the ids in order."""
        ids: list[str] = []
        while taken := self.take(limit, queue):
            ids += [t[2] for t in taken]
            self.complete(*taken)
            assert len(ids) < 1000, "claims never come to an end"
        return ids

    def blocks(self, statement: str, *arguments: Any) -> int:
        """How many buffers a statement touches, its functions' included."""
        explained = self.ask(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *arguments)
        plan = explained[0][0][0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    def fetched(self) -> tuple[int, int]:
        """Rows of the log and the ledger that this session read: by whole scans, by index."""
        return self.ask(
            "SELECT sum(seq_tup_read)::integer, sum(idx_tup_fetch)::integer"
            " FROM pg_stat_xact_user_tables"
            " WHERE schemaname = 'arvo' AND relname ~ '^(log|lease|closure)_'"
        )[0]

    def faults(self) -> list[str]:
        return [fault for (fault,) in self.ask("SELECT stage.faults()")]


@pytest.fixture
def stage_file() -> Path:
    """The words of the isolation specs, and the judge of all engine tests."""
    return STAGE


@pytest.fixture
def stage(connection: psycopg.Connection) -> psycopg.Connection:
    """An autocommit connection to a database with the stage."""
    connection.execute(STAGE.read_bytes())
    return connection


@pytest.fixture
def actors_on() -> Iterator[Callable[[str], Actor]]:
    """Makes sessions on any database, with a clock that stands at START."""
    opened: list[psycopg.Connection] = []

    def another(dsn: str) -> Actor:
        options = f"-c arvo.frozen_clock={START} -c lock_timeout=5s"
        opened.append(psycopg.connect(dsn, autocommit=True, options=options))
        return Actor(opened[-1])

    yield another
    for connection in opened:
        connection.close()


@pytest.fixture
def actors(
    stage: psycopg.Connection, dsn: str, actors_on: Callable[[str], Actor]
) -> Callable[[], Actor]:
    """Makes sessions on the test's own database."""
    return lambda: actors_on(dsn)
