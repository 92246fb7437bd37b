"""History is emptied by generations; what was not run is never lost with it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.python.engine.conftest import Actor

Actors = Callable[[], Actor]
ASTRAY = (
    "INSERT INTO arvo.log (slot, lane, delivery, attempt, at, subject_key, event_key, event)"
    " SELECT 0, lane"
)
DAY_0 = datetime(2030, 1, 1, tzinfo=UTC)


class House:
    """A database whose clock goes by days, and what has been seen there."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.now = DAY_0
        self.runs: dict[str, list[timedelta]] = {}
        self.set_clock(timedelta())
        self.actor.connection.execute("UPDATE arvo.generation SET opened_at = arvo.clock()")

    def set_clock(self, age: timedelta) -> None:
        self.now = DAY_0 + age
        self.actor.freeze(self.now.isoformat())

    @property
    def age(self) -> timedelta:
        return self.now - DAY_0

    def maintain(self) -> dict[str, int | None]:
        """What it did, without the tasks that had nothing to do."""
        return {
            task: touched
            for task, touched in self.actor.ask("SELECT task, touched FROM arvo_v1.maintain()")
            if touched != 0 and task != "tallied"
        }

    def work(self, queue: str, outcome: str = "completed", **more: Any) -> list[str]:
        """Claim everything and give each the same outcome; the ids of the events."""
        ids = []
        while taken := self.actor.take(100, queue):
            for lease, delivery, event_id, _ in taken:
                item = {"lease": lease, "delivery": delivery, "outcome": outcome, **more}
                assert self.actor.settle(item)[0][1] is None
                ids.append(event_id)
                self.runs.setdefault(event_id, []).append(self.age)
        return ids

    def slots(self) -> dict[int, int]:
        """Rows of log, lease and closure in each slot that has any."""
        return dict(
            self.actor.ask(
                "SELECT slot, count(*) FROM (SELECT slot FROM arvo.log UNION ALL"
                " SELECT slot FROM arvo.lease UNION ALL SELECT slot FROM arvo.closure) AS every"
                " GROUP BY slot"
            )
        )

    def generations(self) -> int:
        return int(self.actor.ask("SELECT max(number) FROM arvo.generation")[0][0])

    def pins(self) -> set[tuple[str, str]]:
        return set(self.actor.ask("SELECT kind, queue FROM arvo.generation_pins()"))

    def known(self) -> set[str]:
        """Events that trace() tells of."""
        return {
            event_id
            for (event_id,) in self.actor.ask(
                "SELECT DISTINCT step.event_id FROM (SELECT DISTINCT event ->> 'subject' AS subject"
                " FROM arvo.log WHERE event IS NOT NULL AND lane > 0) AS told"
                " CROSS JOIN LATERAL arvo_v1.trace(told.subject) AS step"
            )
        }

    def dead(self) -> dict[str, tuple[str, int]]:
        return {
            event_id: (reason, attempts)
            for event_id, reason, attempts in self.actor.ask(
                "SELECT event_id, reason, attempts FROM arvo.dead WHERE resolution IS NULL"
            )
        }


@pytest.fixture
def house(actors: Actors) -> House:
    return House(actors())


def days(count: float) -> timedelta:
    return timedelta(days=count)


def test_many_generations_lose_nothing(house: House) -> None:
    """Sixty days of traffic, with everything that can stand in the way of emptying."""
    actor = house.actor
    actor.register("q", delete_after="9 days", retention="12 days")
    actor.register("slow", delete_after="1 day", retention="12 days", dead_letter="morgue")
    actor.register("morgue")
    actor.register("line", policy="ordered", key_from="type", retention="14 days")
    told: dict[str, timedelta] = {}
    unknown: set[str] = set()
    emptied = 0
    for day in range(60):
        house.set_clock(days(day))
        if day == 0:
            actor.put("far")
            assert house.work("q", "failed", after=40 * 86400) == ["far"]
        actor.put(f"done-{day}")
        if day == 1:
            actor.put("later", after="30 days")
            actor.put("stays", "slow")
            actor.put("lost", "nobody")
        if day == 2:
            actor.put("holder", "line")
            assert house.work("line", "failed", after=20 * 86400) == ["holder"]
            actor.put("behind", "line")
            assert house.work("line") == []
        house.work("q")
        if day >= 2:
            house.work("line")
            house.work("morgue")
        for hour in (1, 9, 17):
            house.set_clock(days(day) + timedelta(hours=hour))
            emptied += house.maintain().get("emptied", 0) or 0
        # the dead letter that was consumed on day 14 is forgotten before the delivery that died is
        forgotten = ["is dead and has 0 successors"] if day >= 14 + 9 else []
        assert [f.split(" ", 2)[2] for f in actor.faults()] in ([], forgotten)
        if day == 10:
            assert house.pins() == {
                ("unclaimed", "slow"),
                ("unclaimed", "nobody"),
                ("parked", "line"),
            }
        known = house.known()
        unknown |= set(told) - known
        for event_id, since in told.items():
            assert event_id in known or house.age - since >= days(9), f"{event_id} on day {day}"
        told |= {e: house.age for e in house.runs if e.startswith("done") and e not in told}

    assert [runs for e, runs in house.runs.items() if e.startswith("done")] == [
        [days(day)] for day in range(60)
    ]
    assert house.runs["far"] == [days(0), days(40)]
    assert house.runs["later"] == [days(31)]
    assert house.runs["holder"] == [days(2), days(22)]
    assert "behind" not in house.runs
    assert house.runs["stays"] == [days(14)], "from its dead-letter queue, the day after it died"
    assert house.dead() == {"lost": ("retention", 0), "behind": ("retention", 0)}
    assert house.generations() >= 8
    assert emptied >= 6
    # the last days only, and no more than a turn longer than promised
    assert {e for e in told if e not in unknown} <= {f"done-{day}" for day in range(60 - 17, 60)}


def ready(house: House, *, delete_after: str = "3 days") -> None:
    """Generation 1 is finished and old enough; generation 2 is in use."""
    house.actor.register("q", delete_after=delete_after, retention="30 days")
    house.actor.put("old")
    assert house.work("q") == ["old"]
    house.set_clock(days(1))
    assert house.maintain() == {"healed": 1, "opened": 1}
    assert house.maintain() == {"finished": 1}
    house.set_clock(days(4) - timedelta(microseconds=1))
    assert house.maintain() == {}
    house.set_clock(days(4))


def test_a_generation_is_emptied_when_its_time_has_come(house: House) -> None:
    ready(house)
    assert house.slots() == {0: 5}
    assert house.maintain() == {"emptied": 1}
    assert house.slots() == {1: 1}, "the lane's cursor moved on"
    assert house.maintain() == {}
    house.actor.put("new")
    assert house.work("q") == ["new"]
    assert house.actor.faults() == []


def test_whoever_writes_into_another_generation_does_not_hinder(
    house: House, actors: Actors
) -> None:
    ready(house)
    ann = actors()
    with ann.connection.transaction():
        ann.put("open")
        assert house.maintain() == {"emptied": 1}
    assert house.work("q") == ["open"]


@pytest.mark.parametrize(
    ("statement", "done"),
    [
        ("SELECT count(*) FROM arvo.log", {"promoted": 1, "swept": 1, "opened": 1}),
        ("SELECT * FROM arvo_v1.claim('{q}')", {}),  # it is promoting
        (
            f"{ASTRAY}, 999, 1, arvo.clock(), 0, 0, stage.event('late', 'q') FROM arvo.lane",
            {"promoted": 1, "swept": 1, "opened": 1},
        ),
    ],
    ids=["a reader", "a claim", "a writer from long ago"],
)
def test_a_lock_that_cannot_be_had_leaves_everything_else_done(
    house: House, actors: Actors, statement: str, done: dict[str, int]
) -> None:
    ready(house)
    house.actor.put("due", after="1 hour")
    house.set_clock(days(4) + timedelta(hours=1))
    ann = actors()
    before = house.slots()
    with ann.connection.transaction(force_rollback=True):
        ann.connection.execute(statement)
        assert house.maintain() == done
        assert house.slots()[0] == before[0]
        assert "old" in house.known()
    assert house.maintain()["emptied"] == 1
    assert 0 not in house.slots()
    assert house.work("q") == ["due"]


def test_what_turns_up_late_in_an_old_generation_is_delivered(house: House, actors: Actors) -> None:
    """A transaction that began to write when generation 1 was in use, and commits days later."""
    house.actor.register("q", delete_after="3 days", retention="30 days")
    ann = actors()
    with ann.connection.transaction():
        ann.put("late")
        house.actor.put("old")
        assert house.work("q") == ["old"]
        house.set_clock(days(1))
        house.maintain()
        assert house.maintain() == {"finished": 1}
        house.set_clock(days(4))
        assert house.maintain() == {}, "its lock on the partition"
    assert house.maintain() == {}
    assert house.pins() == {("unclaimed", "q")}
    house.set_clock(days(5))
    assert house.work("q") == ["late"]
    house.set_clock(days(6))
    house.maintain()
    assert house.maintain() == {"finished": 1} or house.pins() == set()
    house.set_clock(days(8))
    assert "late" in house.known()
    house.set_clock(days(9) + timedelta(hours=1))
    house.maintain()
    assert "late" not in house.known()
    assert house.actor.faults() == []


def test_a_writer_that_knows_only_the_number_of_an_emptied_slot_loses_nothing(
    house: House,
) -> None:
    ready(house)
    assert house.maintain() == {"emptied": 1}
    house.actor.connection.execute(
        f"{ASTRAY}, nextval('arvo.delivery_number'), 1, arvo.clock(), 0, 0,"
        " stage.event('astray', 'q') FROM arvo.lane"
    )
    for day in range(5, 30):
        house.set_clock(days(day))
        house.actor.put(f"e{day}")
        if day == 25:
            assert "astray" in house.work("q")
        house.maintain()
        house.maintain()
    assert house.actor.faults() == []


@pytest.mark.parametrize("standing", ["unclaimed", "leased"])
def test_what_is_needed_keeps_its_generation(house: House, standing: str) -> None:
    """Also what is in somebody's hands for days."""
    actor = house.actor
    actor.register("q", delete_after="3 days", retention="30 days", retry_limit=9)
    actor.put("needed")
    held = actor.take(1, lease="5 minutes") if standing == "leased" else []
    house.set_clock(timedelta(minutes=4))
    for minute in range(4, 8 * 24 * 60, 4):
        house.set_clock(timedelta(minutes=minute))
        if held:
            assert actor.extend(held[0][0], lasts="5 minutes") == [True]
        if minute % 720 == 0:
            house.maintain()
            assert 0 in house.slots()
    assert house.pins() == {(standing, "q")}
    if standing == "unclaimed":
        held = actor.take(1)
    assert actor.complete(*held) == ["completed"]
    house.set_clock(days(8) + timedelta(minutes=6))
    house.maintain()
    house.maintain()
    assert house.pins() == set()
    house.set_clock(days(11))
    house.maintain()
    assert "needed" in house.known(), "it was completed less than three days ago"
    house.set_clock(days(11) + timedelta(minutes=7))
    house.maintain()
    assert "needed" not in house.known()


def test_an_idle_house_does_not_turn(house: House) -> None:
    ready(house)
    assert house.maintain() == {"emptied": 1}
    for day in range(5, 40):
        house.set_clock(days(day))
        assert house.maintain() == {}
    assert house.generations() == 2


def test_a_task_that_fails_spoils_no_other(house: House) -> None:
    ready(house)
    house.actor.put("due", after="1 hour")
    house.set_clock(days(4) + timedelta(hours=1))
    house.actor.connection.execute(
        "CREATE OR REPLACE FUNCTION arvo.sweep_notes(p_limit integer) RETURNS integer"
        " LANGUAGE plpgsql AS 'BEGIN RETURN 1 / 0; END'"
    )
    warnings: list[str | None] = []
    house.actor.connection.add_notice_handler(lambda said: warnings.append(said.message_primary))
    assert house.maintain() == {"promoted": 1, "swept": 1, "notes": None, "opened": 1, "emptied": 1}
    assert warnings == ["maintenance task notes failed: 22012 division by zero"]


def test_events_follow_their_deliveries_through_generations(house: House) -> None:
    """A delivery that is retried for ever: one event, written once in each generation."""
    house.actor.register("q", delete_after="3 days", retention="30 days", retry_limit=99)
    house.actor.put("e")
    for step in range(60):
        house.set_clock(days(step / 4))
        house.maintain()
        assert house.work("q", "failed", after=3600 if step % 2 else 1) == ["e"]
        assert (
            house.actor.ask(
                "SELECT delivery FROM arvo.log WHERE event IS NULL AND NOT EXISTS ("
                "SELECT FROM arvo.log AS origin WHERE origin.delivery = log.origin_delivery"
                " AND origin.slot = log.slot AND origin.event IS NOT NULL)"
            )
            == []
        )
    house.set_clock(days(15))
    house.maintain()
    assert house.work("q") == ["e"]
    assert house.generations() >= 8
    assert len(house.slots()) <= 4
    first = house.actor.ask("SELECT DISTINCT arvo.first_of(log) FROM arvo.log")
    assert first == [(1,)], "it still names its first delivery"
    assert house.actor.faults() == []
