"""Arguments that make sense, by their names: what is hostile gets far only beside these."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

QUEUES = (
    "plain", "ordered", "short", "stately", "exclusive", "singleton", "limited", "dying", "morgue",
    "late", "arvo.unroutable", "arvo.domain.human", "nobody",
)  # fmt: skip
CRONS = ("* * * * *", "0 2 * * *", "*/5 * * * * *", "@daily", "30 2 29 2 *", "0 0 1 1 1")


class Sense:
    """What is known of the database: names that were made, numbers that were answered.

    Args:
        chance: where choices come from.
    """

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.count = 0
        self.held: deque[tuple[int, int]] = deque(maxlen=40)
        self.numbers: dict[str, deque[int]] = {
            name: deque([1], maxlen=40) for name in ("delivery", "lease", "dead", "token")
        }

    def learn(self, row: dict[str, Any]) -> None:
        """Remember the numbers that a row answers."""
        for name, known in self.numbers.items():
            if isinstance(row.get(name), int):
                known.append(row[name])
        if row.get("event") is not None and row.get("lease") is not None:
            self.held.append((row["lease"], row["delivery"]))

    def subject(self) -> str:
        """A workflow, one of a few."""
        return f"order/{self.chance.randint(1, 6)}"

    def event(self) -> dict[str, Any]:
        """An event that is let in."""
        self.count += 1
        event: dict[str, Any] = {
            "id": f"e{self.count if self.chance.random() < 0.8 else self.chance.randint(1, 50)}",
            "source": "com.fuzz.source",
            "type": self.chance.choice(("com.fuzz.event", "com.fuzz.other.event")),
            "specversion": "1.0",
            "subject": self.subject(),
            "to": self.chance.choice((*QUEUES, "arvo.publish")),
            "data": {"n": self.chance.randint(-3, 3), "list": [1, {"a": None}]},
        }
        if self.chance.random() < 0.3:
            event["domain"] = self.chance.choice(("human", None))
            event["parentid"] = "e1"
            event["executionunits"] = 1.5
            event["time"] = "2030-01-01T00:00:00.000+00:00"
            event["extra"] = self.chance.choice(("x", 1, True, None))
        if self.chance.random() < 0.1:  # a schedule's, which gets these when it fires
            event = {key: value for key, value in event.items() if key not in {"id", "time"}}
        return event

    def row(self) -> dict[str, Any]:
        """A state that another memory has kept."""
        return {
            "subject": f"old/{self.chance.randint(1, 9)}",
            "version": self.chance.randint(1, 4),
            "data": {"executionStatus": "normal"},
            "parent_subject": self.chance.choice((None, self.subject())),
            "locked_for": self.chance.choice((None, 0, 1)),
        }

    def result(self) -> dict[str, Any]:
        """A result of something that is held, or was."""
        known = self.held[-1] if self.held and self.chance.random() < 0.8 else (1, 1)
        lease, delivery = self.chance.choice((known, *self.held)) if self.held else known
        outcome = self.chance.choice(
            ("completed", "completed", "failed", "released", "snoozed", "rejected")
        )
        result: dict[str, Any] = {"lease": lease, "delivery": delivery, "outcome": outcome}
        if outcome == "completed" and self.chance.random() < 0.5:
            result["events"] = [self.event() for _ in range(self.chance.randint(0, 2))]
        if outcome == "completed" and self.chance.random() < 0.4:
            result["state"] = {
                "subject": self.subject(),
                "data": {"executionStatus": "normal"},
                "expected_version": self.chance.randint(0, 3),
                "parent_subject": self.chance.choice((None, self.subject())),
            }
        if outcome in {"failed", "rejected"}:
            result["error"] = {"name": "Error", "message": "m", "stack": "s"}
        if outcome in {"failed", "snoozed"}:
            result["after"] = self.chance.choice((0, 1, 0.5))
        if self.chance.random() < 0.3:
            result["run_time"] = 1000
        if outcome == "completed" and self.chance.random() < 0.2:
            result = {"lease": lease, "deliveries": [delivery], "outcome": outcome}
        return result

    def document(self, name: str) -> object:
        """A document for a jsonb argument of that name."""
        many = range(self.chance.choice((0, 1, 1, 2, 5)))
        makers = {"events": self.event, "rows": self.row, "results": self.result}
        if name in makers:
            return [makers[name]() for _ in many]
        if name == "event":
            return self.event()
        if name == "options":
            choices = {
                "start_after": "1 second", "priority": 3, "singleton_key": "k",
                "singleton_for": "1 minute", "singleton_next_slot": True,
                "must_be_registered": True, "retry_limit": 0, "expire_in": 60,
            }  # fmt: skip
            return {key: choices[key] for key in self.chance.sample(list(choices), 2)}
        if name == "error_rules":
            return {"Error": self.chance.choice(("dead", {"retry_after": 1}, {"snooze": 2}))}
        return {"data": {"n": 1}, "type": "com.fuzz.event"}

    def scalar(self, name: str, kind: str) -> str | None:
        """A value for an argument of that name; None when nothing is known of it."""
        chance = self.chance
        words = {
            "queue": chance.choice(QUEUES), "to": chance.choice(QUEUES),
            "dead_letter": "morgue", "subject": self.subject(), "tree": self.subject(),
            "parent_subject": self.subject(), "event_id": f"e{chance.randint(1, 60)}",
            "source": "com.fuzz.source", "event_type": "com.fuzz.event",
            "cron": chance.choice(CRONS),
            "time_zone": chance.choice(("UTC", "Europe/Berlin")),
            "policy": chance.choice(QUEUES[1:6]),
            "key_from": chance.choice(("subject", "data.n")), "on_failure": "step_aside",
            "missed": chance.choice(("one", "all", "skip")), "gap": "shift", "overlap": "both",
            "name": f"s{chance.randint(1, 3)}", "key": chance.choice(("", "k")),
            "pattern": chance.choice(("com.**", "com.fuzz.*")),
            "worker": f"w{chance.randint(1, 3)}",
            "role": chance.choice(("arvo_worker", "public")), "locked": "carry",
            "may": chance.choice(("dispatch", "consume", "operate", "read")),
            "reason": chance.choice(("exhausted", "expired")), "text": "com", "path": "$.data.n",
        }  # fmt: skip
        if name in words:
            return words[name]
        for number in ("delivery", "lease", "dead", "token"):
            if name in {number, f"{number}s"}:
                return str(chance.choice(self.numbers[number]))
        if kind in {"integer", "bigint"}:
            return str(chance.choice((1, 1, 2, 5, 10)))
        if kind == "interval":
            return chance.choice(("1 second", "30 seconds", "1 minute"))
        if kind == "timestamp with time zone":
            return chance.choice(("2020-01-01Z", "2040-01-01Z"))
        return {"boolean": chance.choice(("true", "false")), "double precision": "10"}.get(kind)
