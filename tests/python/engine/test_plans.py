"""Every hot call reads by index, and no more of it with a million rows in each room than with few.

Databases are filled alike, by rooms.sql: a small one; a large one, asked before and after it is
analysed; and one that grows while a session stays open whose plans were made on empty rooms.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

ROOMS = Path(__file__).with_name("rooms.sql")
FEW = 20_000
MANY = 1_000_000
GROWN = 50_000
# Two levels more of each index that a call looks into, and a page of it now and then.
SLACK = 60
REPEATS = 5
# What works off so many rows of what there is to do, and says how many at most: 200 old states;
# figures with 10001 dead letters, and as many withdrawn, of each queue.
BOUNDED = {
    "maintain": 25_000,
    "maintain, which removes old states": 100_000,
    "queue_stats of all": 130_000,
    "gauges": 100_000,
}
# What is counted whole: schedules, which somebody made one by one.
WHOLE = {"gauges": {"schedule"}}

# What does not grow with work: queues, their lanes, who subscribes, generations; locks held within
# the last hour, processes.
CONSTANT = [
    *("queue", "lane", "subscription", "generation", "origin"),
    "server_start",
    *("state_lock", "registration", "worker"),
    *("state_retention", "state_round"),
]
SCANNED = """
SELECT relname, seq_tup_read
FROM pg_stat_xact_user_tables
WHERE schemaname = 'arvo' AND relname <> ALL (%s)
"""

# Nobody keeps these indexes, nor looks into them, until they are built again.
SLOW_ROOMS = """
WITH put_off AS (
    UPDATE pg_index SET indisready = false, indisvalid = false
    FROM pg_class
    WHERE pg_class.oid = indrelid AND relnamespace = 'arvo'::regnamespace AND relkind = 'r'
    AND relname ~ '^(log_[01]|deferred|dead|omission|state|lineage|tombstone'
        '|singleton|throttle)$'
    RETURNING indrelid
)
SELECT DISTINCT indrelid::regclass::text FROM put_off ORDER BY 1
"""

Item = dict[str, Any]
Question = tuple[str, list[Any]]


class Rooms:
    """A session that asks every hot call, and says what it touched."""

    number = count(1)  # of all sessions: no name is used twice

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def event(self, to: str, subject: str | None = None, **more: Any) -> dict[str, Any]:
        return {
            "id": f"new{next(self.number)}",
            "source": "test",
            "type": "com.test.happened",
            "specversion": "1.0",
            "subject": subject or f"n{next(self.number)}",
            "to": to,
            "data": {},
            **more,
        }

    def put(self, to: str, events: int, subject: str | None = None) -> None:
        self.actor.ask(
            "SELECT count(*) FROM arvo_v1.dispatch_many(%s)",
            Jsonb([self.event(to, subject) for _ in range(events)]),
        )

    def dispatch(self, to: str, **more: Any) -> Question:
        given = "".join(f", p_{name} => %s" for name in more)
        return (
            f"SELECT * FROM arvo_v1.dispatch(%s{given})",
            [Jsonb(self.event(to)), *more.values()],
        )

    def claim(self, queue: str, limit: int) -> Question:
        return "SELECT * FROM arvo_v1.claim(%s, %s)", [[queue], limit]

    def settle(self, queue: str, limit: int, outcome: str, **more: Any) -> Question:
        taken = self.actor.take(limit, queue)
        assert taken, f"nothing to claim in {queue}"
        results = [
            {"lease": t[0], "delivery": t[1], "outcome": outcome, "run_time": 1000, **more}
            for t in taken
        ]
        return "SELECT * FROM arvo_v1.settle(%s)", [Jsonb(results)]

    def emit(self) -> Question:
        return self.settle("plain", 1, "completed", events=[self.event("plain") for _ in range(3)])

    def state(self) -> Question:
        subject = f"new{next(self.number)}"
        self.put("stated", 1, subject)
        return self.settle(
            "stated",
            1,
            "completed",
            state={
                "subject": subject,
                "data": {"executionStatus": "normal"},
                "expected_version": 0,
                "parent_subject": "s2",
            },
        )

    def run(self, outcome: str) -> Question:
        self.put("runs", 5, f"run{next(self.number)}")
        return self.settle("runs", 5, outcome)

    def one(self, queue: str, outcome: str, **more: Any) -> Question:
        self.put(queue, 1)
        return self.settle(queue, 1, outcome, **more)

    def extend(self) -> Question:
        (lease, *_), *_ = self.actor.take(10, "plain")
        return "SELECT * FROM arvo_v1.extend(%s)", [[lease]]

    def work(self) -> Question:
        (item,) = self.actor.take(1, "plain")
        result = {"lease": item[0], "delivery": item[1], "outcome": "completed"}
        return "SELECT * FROM arvo_v1.work(%s, %s, 1)", [Jsonb([result]), ["plain"]]

    def due(self) -> Question:
        self.actor.put(f"due{next(self.number)}", "plain", "1 second")
        self.actor.freeze("2030-01-01T00:00:01Z")
        return self.claim("idle", 1)

    def fire(self) -> Question:
        self.actor.freeze(f"2030-01-01T00:00:01.{next(self.number) % 1_000_000:06}Z")
        self.actor.connection.execute(
            "UPDATE arvo.schedule SET next_at = arvo.clock() WHERE name = 'hourly'"
        )
        return self.claim("idle", 1)

    def lapse(self) -> Question:
        self.put("lapsing", 3)
        self.actor.take(3, "lapsing", "1 second")
        self.actor.freeze("2030-01-01T00:00:02Z")
        return self.claim("lapsing", 1)

    def lock(self) -> Question:
        return "SELECT * FROM arvo_v1.acquire_lock(%s)", [f"mine{next(self.number)}"]

    def release(self) -> Question:
        subject = f"mine{next(self.number)}"
        ((token,),) = self.actor.ask("SELECT token FROM arvo_v1.acquire_lock(%s)", subject)
        return "SELECT arvo_v1.release_lock(%s, %s)", [subject, token]

    def write(self, version: int) -> Question:
        subject = f"fresh{next(self.number)}"
        if version:
            self.actor.ask("SELECT arvo_v1.write_state(%s, '{}')", subject)
        return "SELECT arvo_v1.write_state(%s, '{}', %s, 's2')", [subject, version]

    def calls(self) -> dict[str, Callable[[], Question]]:
        """Each call, and what prepares it."""
        day = "1 day"
        return {
            "dispatch": lambda: self.dispatch("plain"),
            "dispatch to an ordered queue": lambda: self.dispatch("line"),
            "dispatch to an exclusive queue": lambda: self.dispatch("exclusive"),
            "dispatch to a throttled queue": lambda: self.dispatch("throttled"),
            "dispatch for later": lambda: self.dispatch("plain", start_after=day),
            "dispatch of a duplicate": lambda: (
                "SELECT * FROM arvo_v1.dispatch(%s)",
                [Jsonb(self.event("plain", id="twice"))],
            ),
            "dispatch_many": lambda: (
                "SELECT * FROM arvo_v1.dispatch_many(%s)",
                [Jsonb([self.event("plain") for _ in range(100)])],
            ),
            "publish": lambda: (
                "SELECT * FROM arvo_v1.publish(%s)",
                [Jsonb(self.event("none") | {"to": None})],
            ),
            "claim": lambda: self.claim("plain", 10),
            "claim of one": lambda: self.claim("plain", 1),
            "claim from an ordered queue": lambda: self.claim("line", 10),
            "claim from a singleton queue": lambda: self.claim("single", 10),
            "claim with max_active": lambda: self.claim("capped", 10),
            "claim with a rate limit": lambda: self.claim("rated", 10),
            "claim from a group": lambda: self.claim("wild.*", 10),
            "claim that takes back": self.lapse,
            "settle completed": lambda: self.settle("plain", 10, "completed"),
            "settle failed": lambda: self.settle("plain", 3, "failed"),
            "settle rejected": lambda: self.settle("plain", 3, "rejected"),
            "settle rejected to a dead-letter queue": lambda: self.one("mortal", "rejected"),
            "settle consumed from a dead-letter queue": self.consume,
            "settle snoozed": lambda: self.settle("plain", 3, "snoozed", after=3600),
            "settle with events": self.emit,
            "settle with a state": self.state,
            "settle in a line": lambda: self.settle("line", 10, "completed"),
            "settle a run": lambda: self.run("completed"),
            "settle a run that fails": self.run_fails,
            "settle singleton": lambda: self.settle("single", 10, "completed"),
            "settle with max_active": lambda: self.settle("capped", 10, "completed"),
            "settle exclusive": lambda: self.one("exclusive", "completed"),
            "work": self.work,
            "work, idle": lambda: ("SELECT * FROM arvo_v1.work('[]', %s)", [["idle"]]),
            "extend": self.extend,
            "claim that promotes": self.due,
            "claim that fires a schedule": self.fire,
            "maintain": self.maintain,
            "maintain, which removes old states": lambda: self.maintain("1 day"),
            "read_state": lambda: ("SELECT * FROM arvo_v1.read_state('s99')", []),
            "write_state first": lambda: self.write(0),
            "write_state": lambda: self.write(1),
            "acquire_lock": self.lock,
            "release_lock": self.release,
            "lineage": lambda: ("SELECT * FROM arvo_v1.lineage('s77')", []),
            "trace": lambda: ("SELECT * FROM arvo_v1.trace('s77')", []),
            "trace of an event": lambda: ("SELECT * FROM arvo_v1.trace(NULL, 'e77')", []),
            "history": lambda: ("SELECT * FROM arvo_v1.history(p_limit => 10)", []),
            "history, a deep page": lambda: self.page(300),
            "history, a deeper page": lambda: self.page(9000),
            "history, the last page": lambda: self.page(15, "DESC"),
            "dead_letters": lambda: (
                "SELECT * FROM arvo_v1.dead_letters('plain', p_limit => 10)",
                [],
            ),
            "redrive": lambda: ("SELECT * FROM arvo_v1.redrive('plain', p_limit => 3)", []),
            "discard": lambda: ("SELECT * FROM arvo_v1.discard('plain', p_limit => 3)", []),
            "replay": self.replay,
            "queue_stats": lambda: ("SELECT * FROM arvo_v1.queue_stats('idle')", []),
            "queue_stats of all": lambda: ("SELECT * FROM arvo_v1.queue_stats()", []),
            "gauges": lambda: ("SELECT * FROM arvo_v1.gauges()", []),
            "retain_states": lambda: ("SELECT * FROM arvo_v1.retain_states('one', '2 days')", []),
            "import_states": self.take_over,
            "import_states again": lambda: self.take_over(again=True),
        }

    def page(self, row: int, order: str = "ASC") -> Question:
        """Ten behind a row of the log, counted from the first or the last one."""
        back = "DESC" if order == "ASC" else "ASC"
        ((position,),) = self.actor.ask(
            "SELECT format('%%s/%%s/%%s', lane, xid, delivery) FROM (SELECT * FROM arvo.log"
            " WHERE lane = (SELECT min(lane.lane) FROM arvo.lane"
            " INNER JOIN arvo.queue ON queue.queue = lane.queue AND queue.name = 'plain')"
            f" ORDER BY xid {order}, delivery {order} LIMIT %s) AS counted"
            f" ORDER BY xid {back}, delivery {back} LIMIT 1",
            row,
        )
        return "SELECT * FROM arvo_v1.history('plain', %s, 10)", [position]

    def take_over(self, *, again: bool = False) -> Question:
        first = next(self.number)
        rows = [
            {
                "subject": f"taken{first}/{n}",
                "data": {"executionStatus": "normal"},
                "version": 3,
                "parent_subject": "s2",
            }
            for n in range(10)
        ]
        statement = "SELECT * FROM arvo_v1.import_states(%s)"
        if again:
            self.actor.ask(statement, Jsonb(rows))
            rows = [row | {"version": 4} for row in rows]
        return statement, [Jsonb(rows)]

    def maintain(self, retain_states: str | None = None) -> Question:
        self.actor.ask("SELECT count(*) FROM arvo_v1.retain_states(NULL, %s)", retain_states)
        return "SELECT * FROM arvo_v1.maintain()", []

    def consume(self) -> Question:
        self.put("mortal", 1)
        (item,) = self.actor.take(1, "mortal")
        self.actor.settle({"lease": item[0], "delivery": item[1], "outcome": "rejected"})
        return self.settle("graves", 1, "completed")

    def replay(self) -> Question:
        event_id = f"old{next(self.number)}"
        self.actor.put(event_id, "plain")
        return "SELECT * FROM arvo_v1.replay(%s)", [event_id]

    def run_fails(self) -> Question:
        self.put("runs", 5, f"run{next(self.number)}")
        (first, *_) = self.actor.take(5, "runs")
        result = {"lease": first[0], "delivery": first[1], "outcome": "failed", "after": 3600}
        return "SELECT * FROM arvo_v1.settle(%s)", [Jsonb([result])]

    def ask(self, prepare: Callable[[], Question]) -> tuple[int, dict[str, int]]:
        """How many buffers a call touches, and which rooms it reads whole."""
        statement, arguments = prepare()
        with self.actor.connection.transaction():
            before = dict(self.actor.ask(SCANNED, CONSTANT))
            blocks = self.actor.blocks(statement, *arguments)
            after = dict(self.actor.ask(SCANNED, CONSTANT))
        self.actor.freeze("2030-01-01T00:00:00Z")
        return blocks, {
            room: rows - before.get(room, 0)
            for room, rows in after.items()
            if rows > before.get(room, 0)
        }

    def ask_all(self, repeats: int = REPEATS) -> tuple[dict[str, int], dict[str, Any]]:
        """Of each call, once its plans are made: its buffers; the rooms that it reads whole."""
        for queue in ("plain", "line", "single", "capped", "rated"):
            self.put(queue, 200)
        blocks: dict[str, int] = {}
        scans: dict[str, Any] = {}
        for name, prepare in self.calls().items():
            asked = [self.ask(prepare) for _ in range(repeats + 1)]
            blocks[name] = int(median(found for found, _ in asked[1:]))
            if any(scanned for _, scanned in asked[1:]):
                scans[name] = asked[-1][1]
        return blocks, scans


def furnish(actor: Any) -> None:
    """Queues, schedules and subscriptions: as many in every database."""
    for queue in ("plain", "other", "idle", "lapsing", "graves"):
        actor.register(queue, deduplicate_for="7 days")
    actor.register("stated", stateful="true", policy="standard")
    actor.register("line", policy="ordered")
    actor.register("runs", policy="ordered")
    actor.register("single", policy="singleton", key_from="subject")
    actor.register("capped", max_active="1000000")
    actor.register("rated", rate_limit="1000000", rate_period="1 minute")
    actor.register("exclusive", policy="exclusive", key_from="subject")
    actor.register("throttled", singleton_for="1 hour", key_from="subject")
    actor.register("mortal", dead_letter="graves")
    for n in range(20):
        actor.register(f"wild.{n}")
    actor.ask(
        "SELECT count(*) FROM generate_series(1, 100) AS n,"
        " LATERAL arvo_v1.subscribe('wild.' || n %% 20, 'com.test.t' || n) AS taken"
    )
    actor.ask("SELECT count(*) FROM arvo_v1.subscribe('wild.1', 'com.test.happened')")
    actor.ask(
        "SELECT count(*) FROM arvo_v1.schedule('hourly', '@hourly', %s)",
        Jsonb(
            {"source": "test", "type": "com.test.ticked", "subject": "x", "to": "plain", "data": {}}
        ),
    )
    # The second generation: keys are looked for in the first one as well.
    actor.ask(
        "INSERT INTO arvo.generation (slot, opened_at, horizon)"
        " VALUES (1, arvo.clock(), pg_snapshot_xmin(pg_current_snapshot())) RETURNING 1"
    )


def fill(dsn: str, many: int, *, indexes_last: bool = False) -> None:
    """Fill every room that grows.

    With ``indexes_last`` their indexes are built when the rows are there, which is many times
    faster, and makes sessions that are connected plan again.
    """
    ground, *parts = ROOMS.read_text().split("\n-- -----")
    with psycopg.connect(dsn, autocommit=True) as connection:
        ((xid, delivery, lease),) = connection.execute(
            "SELECT pg_current_xact_id()::text, nextval('arvo.delivery_number'),"
            " nextval('arvo.lease_number')"
        ).fetchall()
        connection.execute(
            f"DO $$ BEGIN FOR i IN 1..{many // 50} LOOP"
            " PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
        )
        connection.execute(
            "SELECT setval('arvo.delivery_number', %s), setval('arvo.lease_number', %s)",
            [delivery + 6 * many, lease + 6 * many],
        )
        connection.execute(ground)
        rooms = connection.execute(SLOW_ROOMS).fetchall() if indexes_last else []
    settings = {"many": many, "xid": int(xid) + 1, "delivery": delivery, "lease": lease}
    options = " ".join(f"-c rooms.{name}={value}" for name, value in settings.items())

    def fill_one(part: str) -> None:
        with psycopg.connect(dsn, autocommit=True, options=options) as connection:
            connection.execute(part.encode())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fill_one, ["-- " + part for part in parts]))
        list(pool.map(fill_one, [f"REINDEX TABLE {room}" for (room,) in rooms]))


@pytest.fixture
def place(server: Any, template: str, stage_file: Path) -> Iterator[Callable[[], str]]:
    """Makes databases with the stage and with queues, that nobody analyses; connection strings."""
    made: list[str] = []

    def another() -> str:
        made.append(server.create(template))
        dsn = server.dsn_of(made[-1])
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(stage_file.read_bytes())
            for (table,) in connection.execute(
                "SELECT oid::regclass::text FROM pg_class"
                " WHERE relnamespace = 'arvo'::regnamespace AND relkind = 'r'"
            ).fetchall():
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        return str(dsn)

    yield another
    for name in made:
        server.drop(name)


@pytest.fixture(scope="module")
def known() -> dict[str, int]:
    """What `small` has found, for the next one who asks."""
    return {}


@pytest.fixture
def small(known: dict[str, int], place: Callable[[], str], actors_on: Any) -> dict[str, int]:
    """The buffers of each call with few rows in each room."""
    if not known:
        dsn = place()
        furnish(actors_on(dsn))
        fill(dsn, FEW)
        known.update(Rooms(actors_on(dsn)).ask_all()[0])
    return known


def faults(small: dict[str, int], blocks: dict[str, int], scans: dict[str, Any]) -> str:
    """What reads a room whole, or touches more than twice as many buffers as with few rows."""
    return "\n".join(
        [
            f"{name} reads whole {rooms}"
            for name, rooms in scans.items()
            if not rooms.keys() <= WHOLE.get(name, set())
        ]
        + [
            f"{name}: {small[name]} buffers with few rows, {found} with many"
            for name, found in blocks.items()
            if found >= BOUNDED.get(name, 2 * small[name] + SLACK)
        ]
    )


@pytest.mark.timeout(400)
def test_a_million_rows_in_each_room(place, actors_on, small):
    dsn = place()
    furnish(actors_on(dsn))
    fill(dsn, MANY, indexes_last=True)
    blocks, scans = Rooms(actors_on(dsn)).ask_all()
    assert not (found := faults(small, blocks, scans)), f"not analysed:\n{found}"

    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("ANALYZE")
    blocks, scans = Rooms(actors_on(dsn)).ask_all()
    assert not (found := faults(small, blocks, scans)), f"analysed:\n{found}"


@pytest.mark.timeout(400)
def test_rooms_that_fill_after_a_session_made_its_plans(place, actors_on, small):
    dsn = place()
    furnish(actors_on(dsn))
    early = Rooms(actors_on(dsn))
    early.ask_all(1)
    early.actor.drain("plain", 100)  # the cursor of what fills it is behind everything
    fill(dsn, GROWN)
    blocks, scans = early.ask_all()
    assert not (found := faults(small, blocks, scans)), found


HELD = 5_000
BATCH = 20


@pytest.mark.timeout(200)
@pytest.mark.parametrize("policy", ["standard", "ordered", "exclusive"])
@pytest.mark.parametrize("hold", ["an old snapshot", "a transaction that writes"])
def test_a_transaction_that_stays_open_makes_no_call_read_more(actors, policy, hold):
    ann, holder = actors(), actors()
    ann.register("q", policy=policy, deduplicate_for="7 days", key_from="subject")
    rooms = Rooms(ann)
    holder.connection.autocommit = False
    if hold == "an old snapshot":
        holder.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.ask("SELECT count(*) FROM arvo.log")
    else:
        holder.put("open", "other")

    touched: dict[str, list[int]] = {"dispatch_many": [], "claim": [], "settle": [], "idle": []}
    for _ in range(HELD // BATCH):
        # The same keys every time: they are taken, and free again.
        events = [rooms.event("q", f"key{n}") for n in range(BATCH)]
        statement = "SELECT * FROM arvo_v1.dispatch_many(%s)"
        touched["dispatch_many"].append(ann.blocks(statement, Jsonb(events)))
        statement = "SELECT * FROM arvo_v1.claim(ARRAY['q'], %s)"
        touched["claim"].append(ann.blocks(statement, BATCH))
        ((lease, deliveries),) = ann.ask(
            "SELECT token, deliveries FROM arvo.lease ORDER BY token DESC LIMIT 1"
        )
        assert len(deliveries) == BATCH
        results = [
            {"lease": lease, "delivery": delivery, "outcome": "completed"}
            for delivery in deliveries
        ]
        touched["settle"].append(ann.blocks("SELECT * FROM arvo_v1.settle(%s)", Jsonb(results)))
        touched["idle"].append(ann.blocks("SELECT * FROM arvo_v1.work('[]', ARRAY['q'])"))
    holder.connection.rollback()

    assert not {
        name: (first, last)
        for name, blocks in touched.items()
        if (last := median(blocks[-20:])) >= 2 * (first := median(blocks[5:25])) + SLACK
    }


RETRIES = 240


@pytest.mark.timeout(200)
@pytest.mark.parametrize("hold", ["an old snapshot", "a transaction that writes"])
def test_retries_that_come_and_go_meanwhile_make_no_claim_read_more(actors, hold):
    """Each claim promotes what failed before, and looks for expired leases."""
    ann, holder = actors(), actors()
    ann.register("q", retry_delay="1 second", retry_limit=5)
    holder.connection.autocommit = False
    if hold == "an old snapshot":
        holder.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        holder.ask("SELECT count(*) FROM arvo.log")
    else:
        holder.put("open", "other")

    touched: list[int] = []
    for turn in range(RETRIES):
        ann.freeze(f"2030-01-01T00:{turn * 3 // 60:02}:{turn * 3 % 60:02}Z")
        ann.put_many(BATCH)
        touched.append(ann.blocks("SELECT * FROM arvo_v1.claim(ARRAY['q'], 100)"))
        ((lease, deliveries),) = ann.ask(
            "SELECT token, deliveries FROM arvo.lease ORDER BY token DESC LIMIT 1"
        )
        # What a claim promotes, the next one takes.
        assert len(deliveries) == BATCH + (1 if turn > 1 else 0)
        ann.settle(
            *({"lease": lease, "delivery": one, "outcome": "completed"} for one in deliveries[:-1]),
            {"lease": lease, "delivery": deliveries[-1], "outcome": "failed"},
        )
    holder.connection.rollback()

    # From the first minute on: leases begin to lapse, and to be swept, after half of it.
    first, last = median(touched[20:60]), median(touched[-40:])
    assert last < 1.5 * first, (first, last)
