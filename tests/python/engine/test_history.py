"""History is emptied by generations; what was not run is never lost with it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from tests.python.engine.conftest import Actor

Actors = Callable[[], Actor]
DAY_0 = datetime(2030, 1, 1, tzinfo=UTC)


class House:
    """A database whose clock goes by days, and what has been seen there."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.now = DAY_0
        self.runs: dict[str, list[timedelta]] = {}
        self.set_clock(timedelta())
        self.actor.connection.execute("UPDATE arvo.generation SET opened_at = arvo.clock()")
        self.actor.connection.execute("UPDATE arvo.event_key_generation SET opened_at = arvo.clock()")

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
            if touched != 0
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
                " FROM arvo.log WHERE event IS NOT NULL) AS told"
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
        actor.put(f"done-{day}")
        if day == 0:
            actor.put("far", "q")
            taken = {t[2]: t for t in actor.take(10)}
            lease, delivery, _, _ = taken.pop("far")
            actor.settle(
                {"lease": lease, "delivery": delivery, "outcome": "failed", "after": 40 * 86400}
            )
            assert actor.complete(*taken.values()) == ["completed"]
            house.runs["done-0"] = [house.age]
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
            assert house.pins() == {("unclaimed", "slow"), ("unclaimed", "nobody"), ("parked", "line")}
        known = house.known()
        unknown |= set(told) - known
        for event_id, since in told.items():
            assert event_id in known or house.age - since >= days(9), f"{event_id} on day {day}"
        told |= {e: house.age for e in house.runs if e.startswith("done") and e not in told}

    assert [runs for e, runs in house.runs.items() if e.startswith("done")] == [
        [days(day)] for day in range(60)
    ]
    assert house.runs["far"] == [days(40)]
    assert house.runs["later"] == [days(31)]
    assert house.runs["holder"] == [days(2), days(22)]
    assert "behind" not in house.runs
    assert house.runs["stays"] == [days(14)], "from its dead-letter queue, the day after it died"
    assert house.dead() == {"lost": ("retention", 0), "behind": ("retention", 0)}
    assert house.generations() >= 8
    assert emptied >= 6
    # the last days only, and no more than a turn longer than promised
    assert {e for e in told if e not in unknown} <= {f"done-{day}" for day in range(60 - 17, 60)}
