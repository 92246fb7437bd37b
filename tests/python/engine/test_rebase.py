"""A dump of a busy database goes on in another cluster: nothing is lost, nothing is doubled."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from psycopg.types.json import Jsonb

from arvo_plpg import embedded
from arvo_plpg.schema import migrate

STAGE = Path(__file__).resolve().parents[2] / "sql" / "isolation" / "stage.sql"
START = "2030-01-01T00:00:00Z"
LATER = "2030-01-02T00:00:00Z"


def event(event_id: str, to: str) -> dict[str, Any]:
    return {
        "id": event_id,
        "source": "test",
        "type": "com.test.happened",
        "subject": "key " + event_id[0] if to == "keyed" else f"subject of {event_id}",
        "to": to,
        "data": {"id": event_id},
    }


class Session:
    """One session on some database, with a stopped clock."""

    def __init__(self, dsn: str, moment: str = START) -> None:
        self.connection = psycopg.connect(dsn, autocommit=True)
        self.freeze(moment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement, arguments).fetchall()

    def do(self, statement: str, *arguments: Any) -> None:
        self.connection.execute(statement, arguments)

    def freeze(self, moment: str) -> None:
        self.ask("SELECT set_config('arvo.frozen_clock', %s, false)", moment)

    def put(
        self, to: str, *ids: str, after: str | None = None, priority: int | None = None
    ) -> None:
        self.ask(
            "SELECT outcome FROM arvo_v1.dispatch_many(%s, %s::interval, %s)",
            Jsonb([event(one, to) for one in ids]),
            after,
            priority,
        )

    def take(self, queue: str, limit: int) -> list[tuple[int, int, str, int]]:
        return self.ask(
            "SELECT lease, delivery, event ->> 'id', attempt FROM arvo_v1.claim(%s, %s)",
            [queue],
            limit,
        )

    def settle(self, taken: list[tuple[int, int, str, int]], outcome: str, **more: Any) -> None:
        verdicts = self.ask(
            "SELECT accepted FROM arvo_v1.settle(%s)",
            Jsonb([{"lease": t[0], "delivery": t[1], "outcome": outcome, **more} for t in taken]),
        )
        assert verdicts == [(True,)] * len(taken)

    def drain(self, *queues: str) -> dict[str, list[tuple[str, int]]]:
        """Complete everything that is to be had; event and attempt of each, in order of claims."""
        done: dict[str, list[tuple[str, int]]] = {queue: [] for queue in queues}
        idle = 0
        while idle < 3:  # what a claim promotes or takes back, the next one hands out
            idle += 1
            for queue in queues:
                while taken := self.take(queue, 100 if queue == "zigzag" else 7):
                    idle = 0
                    done[queue] += [(t[2], t[3]) for t in taken]
                    self.settle(taken, "completed")
        return done


def spend(session: Session, numbers: int) -> None:
    """Use up transaction numbers of a cluster."""
    session.do("CREATE TEMP TABLE IF NOT EXISTS spent (n integer)")
    session.do(
        "DO $$ BEGIN FOR n IN 1.." + str(numbers) + " LOOP BEGIN INSERT INTO spent VALUES (n); "
        "EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$"
    )


def output(*command: str | Path, given: bytes = b"") -> bytes:
    """Run a program; what it printed."""
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def faults(session: Session) -> list[str]:
    """What the judge of the engine tests says, without numbers.

    It does not know that the rest of an ordered run goes back under its own numbers.
    """
    session.connection.execute(STAGE.read_bytes())
    return sorted(re.sub(r"\d+", "N", said) for (said,) in session.ask("SELECT stage.faults()"))


@dataclass
class Original:
    """The database that was dumped."""

    server: embedded.Server
    roles: bytes
    dump: bytes
    drained: dict[str, list[tuple[str, int]]]
    faults: list[str]
    held: set[str]
    token: int


QUEUES = ("q", "slow", "dlq", "line", "zigzag", "keyed")


def busy(session: Session, late: Session, never: Session) -> set[str]:
    """Traffic of all kinds; returns what is leased at its end."""
    session.ask("SELECT arvo_v1.register_queue('dlq')")
    session.ask("SELECT arvo_v1.register_queue('q', p_retry_limit => 1, p_dead_letter => 'dlq')")
    session.ask("SELECT arvo_v1.register_queue('slow', p_retry_delay => '10 minutes')")
    session.ask("SELECT arvo_v1.register_queue('line')")
    never.connection.autocommit = False
    late.connection.autocommit = False
    never.put("q", "never committed")
    late.put("q", "late")
    for n in range(20):
        session.put("q", f"q{n}", f"q{n} too")
    session.put("q", *(f"urgent{n}" for n in range(6)), priority=5)
    session.settle(session.take("q", 8), "completed")  # 6 urgent ones, q0, q0 too
    session.settle(session.take("q", 2), "rejected", error={"name": "No", "message": "no"})
    session.put("q", "put off", after="1 hour")
    session.put("slow", *(f"slow{n}" for n in range(9)))
    session.put("slow", "soon", after="1 minute")
    session.settle(session.take("slow", 3), "failed", error={"name": "E", "message": "e"})
    session.freeze("2030-01-01T00:02:00Z")
    last = session.take("q", 1)
    session.settle(last, "failed", error={"name": "E", "message": "e"}, after=0)
    late.connection.commit()
    session.put("q", "after the late one")
    for _ in range(10):  # until the one that failed comes up for its last attempt
        taken = session.take("q", 5)
        again = [t for t in taken if t[3] == 2]
        if again:
            break
        session.settle(taken, "completed")
    assert again
    held = {t[2] for t in taken} | {t[2] for t in session.take("slow", 2)}
    for n in range(30):
        session.put("q", f"new{n}")
    session.put("line", *(f"line{n}" for n in range(12)))
    session.settle(session.take("line", 5), "released")  # 0-4 stand behind 11 now
    session.settle(session.take("line", 2), "completed")
    # Keys a, b and c: the head of a has failed and is put off, b is leased, and c waits for nobody.
    session.ask("SELECT arvo_v1.register_queue('keyed', p_policy => 'ordered')")
    session.put("keyed", *(f"a{n}" for n in range(4)))
    (head, *_) = session.take("keyed", 1)
    session.settle([head], "failed", error={"name": "E", "message": "e"}, after=600)
    session.put("keyed", *(f"b{n}" for n in range(5)))
    leased = [t[2] for _ in range(3) for t in session.take("keyed", 2)]
    assert leased == ["b0", "b1"]  # the others wait in line
    session.put("keyed", *(f"c{n}" for n in range(3)), "a4", "b5")
    # Each came later than the one before it, under a lower number, as promoted ones may: more than
    # a young cluster has given numbers.
    session.ask("SELECT arvo_v1.register_queue('zigzag')")
    session.do(
        """WITH numbers AS (
               SELECT n, nextval('arvo.delivery_number') AS delivery
               FROM generate_series(1, 2000) AS n
           )
           INSERT INTO arvo.log (
               slot, lane, xid, delivery, attempt, at, subject_key, event_key, event
           )
           SELECT 0, arvo.lane_for('zigzag'), (20000 - n)::text::xid8, delivery, 1, now(), 0, 0,
                  jsonb_set(%s, '{id}', to_jsonb('z' || n))
           FROM numbers""",
        Jsonb(event("z", "zigzag")),
    )
    return held


@pytest.fixture(scope="module")
def original() -> Iterator[Original]:
    with embedded.start() as server, ExitStack() as stack:
        migrate(server.uri)
        session, late, never = (stack.enter_context(Session(server.uri)) for _ in range(3))
        spend(session, 30_000)
        held = busy(session, late, never)
        session.ask("SELECT arvo_v1.write_state('flow', '{\"n\": 1}', 0)")
        ((token,),) = session.ask("SELECT token FROM arvo_v1.acquire_lock('flow', '5 minutes')")
        roles = output(server.bin / "pg_dumpall", "--roles-only", f"--dbname={server.uri}")
        dump = output(server.bin / "pg_dump", "--format=custom", server.uri)
        session.freeze(LATER)
        yield Original(server, roles, dump, session.drain(*QUEUES), faults(session), held, token)


@pytest.fixture
def restored(original: Original) -> Iterator[Callable[[int], str]]:
    """Restore the dump into a new cluster that has used up some numbers."""
    servers = []

    def restore(numbers: int) -> str:
        server = embedded.start()
        servers.append(server)
        with Session(server.uri) as first:
            spend(first, numbers)
            first.do("CREATE DATABASE moved")
        dsn = server.uri_of("moved")
        output(server.bin / "psql", "-q", "-d", dsn, given=original.roles)
        output(
            server.bin / "pg_restore",
            *("--exit-on-error", "--single-transaction", f"--dbname={dsn}"),
            given=original.dump,
        )
        return dsn

    yield restore
    for server in servers:
        server.stop()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize(
    ("numbers", "outcome"), [(0, "rebased"), (200_000, "accepted")], ids=["behind", "ahead"]
)
def test_a_dump_goes_on_in_another_cluster(original, restored, stack, numbers, outcome):
    session = stack.enter_context(Session(restored(numbers), LATER))
    before = session.ask("SELECT * FROM arvo.log ORDER BY lane, xid, delivery")
    for call in (
        "SELECT arvo_v1.claim('{q}')",
        "SELECT arvo_v1.maintain()",
        "SELECT arvo_v1.settle('[]')",
        "SELECT arvo_v1.extend('{1}')",
        "SELECT arvo_v1.dispatch(%s)",
    ):
        with pytest.raises(psycopg.DatabaseError) as refused:
            session.connection.execute(call, [Jsonb(event("refused", "q"))] if "%s" in call else [])
        assert refused.value.sqlstate == "RV902"
        assert "call rebase()" in (refused.value.diag.message_hint or "")

    (dry,) = session.ask("SELECT * FROM arvo_v1.rebase(p_dry_run => true)")
    assert session.ask("SELECT * FROM arvo.log ORDER BY lane, xid, delivery") == before
    (real,) = session.ask("SELECT * FROM arvo_v1.rebase()")
    unreached = """SELECT count(*)
                   FROM arvo.log INNER JOIN arvo.lane ON lane.lane = log.lane AND NOT lane.retired
                   WHERE log.xid >= pg_snapshot_xmax(pg_current_snapshot())"""
    assert session.ask(unreached) == [(0,)]
    assert real == dry
    assert real[0] == outcome
    assert session.ask("SELECT outcome FROM arvo_v1.rebase()") == [("home",)]

    session.put("q", "newcomer")
    drained = session.drain(*QUEUES)
    for key in "abc":
        for done in (drained["keyed"], original.drained["keyed"]):
            line = [one for one, _ in done if one[0] == key]
            assert line == [f"{key}{n}" for n in range({"a": 5, "b": 6, "c": 3}[key])]
    assert sorted(drained.pop("keyed")) == sorted(original.drained["keyed"])
    for queue in drained:
        expected = [one for one in original.drained[queue] if one[0] not in original.held]
        found = [one for one in drained[queue] if one[0] not in original.held | {"newcomer"}]
        assert found == expected, queue
        # What was leased is charged one attempt, exactly once, as by an expiry.
        assert sorted(one for one in drained[queue] if one[0] in original.held) == sorted(
            one for one in original.drained[queue] if one[0] in original.held
        )
    assert faults(session) == original.faults
    assert [one for one in drained["q"] if one[0] == "newcomer"] == [("newcomer", 1)]
    assert session.ask("SELECT version, data FROM arvo_v1.read_state('flow')") == [(1, {"n": 1})]
    ((token,),) = session.ask("SELECT token FROM arvo_v1.acquire_lock('flow', '5 minutes')")
    assert token > original.token + 100_000
