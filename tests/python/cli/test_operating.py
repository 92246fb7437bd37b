"""pause, resume, drain, purge, recreate, drop, cancel, retry, move, schedule."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import timedelta

import pytest

from arvo_plpg.cli import intervene, purge
from arvo_plpg.rows import Fire, Intervention, Purged, Schedule, Switched

QUEUE = "com.example.task"


def names(row):
    return {field.name for field in fields(row)}


@pytest.fixture
def filled(calls, event):
    """A queue with five deliveries that wait and two that are due later."""
    calls.register_queue(QUEUE)
    calls.dispatch_many([event(QUEUE, id=f"now{n}", number=n) for n in range(5)])
    later = [event(QUEUE, id=f"later{n}") for n in range(2)]
    calls.dispatch_many(later, start_after=timedelta(hours=1))


def test_pause_resume_drain(arvo, calls, filled):
    told = arvo("pause", QUEUE, "--json").json["queues"]
    assert [set(one) for one in told] == [names(Switched)]
    assert told[0]["change"] == "paused"
    assert calls.claim([QUEUE]) == []
    ran = arvo("resume", "com.example.*")
    assert "resumed" in ran.out
    assert arvo("drain", QUEUE, "--json").json["queues"][0]["draining"] is True
    assert arvo("resume", QUEUE).code == 0
    assert arvo("pause", "nobody").code == 1


def test_purge(arvo, calls, filled, monkeypatch):
    monkeypatch.setattr(purge, "BATCH", 2)
    told = arvo("purge", QUEUE, "--dry-run", "--json").json
    assert told["dry_run"] is True
    assert [set(one) for one in told["places"]] == [names(Purged)] * 4
    assert {one["place"]: one["removed"] for one in told["places"]} == {
        "queued": 5, "parked": 0, "deferred": 2, "leased": 0
    }  # fmt: skip
    ran = arvo("purge", QUEUE)
    assert (ran.code, "Cancel 7 deliveries in com.example.task?" in ran.err) == (1, True)
    assert calls.queue_stats(QUEUE)[0].queued_count == 5
    told = arvo("purge", QUEUE, "--yes", "--json").json
    assert sum(one["removed"] for one in told["places"]) == 7
    stats = calls.queue_stats(QUEUE)[0]
    assert (stats.queued_count, stats.deferred_count) == (0, 0)


def test_recreate_and_drop(arvo, calls, filled):
    calls.register_queue(QUEUE, retry_limit=9)
    assert arvo("recreate", QUEUE).code == 1
    assert arvo("recreate", QUEUE, "--yes").code == 0
    assert calls.queue_stats(QUEUE)[0].retry_limit == 2
    assert arvo("drop", QUEUE, "--dry-run").code == 0
    assert arvo("drop", QUEUE, "--yes", "--purge", "--json").json["queue"] == QUEUE
    assert calls.queue_stats(QUEUE)[0].registered is False


def test_drop_refuses_what_is_not_empty(arvo, calls, filled):
    ran = arvo("drop", QUEUE, "--yes")
    assert ran.code == 1
    assert "queue is not empty" in ran.err


def test_cancel(arvo, calls, filled, monkeypatch):
    monkeypatch.setattr(intervene, "BATCH", 2)
    told = arvo("cancel", "--queue", QUEUE, "--dry-run", "--json").json
    assert (told["dry_run"], told["whole"], len(told["deliveries"])) == (True, True, 7)
    assert [set(one) for one in told["deliveries"]] == [names(Intervention)] * 7
    ran = arvo("cancel", "--queue", QUEUE)
    assert (ran.code, "Cancel 7 deliveries?" in ran.err) == (1, True)
    ran = arvo("cancel", "--path", "$.data ? (@.number > 1)", "--yes", "--reason", "enough")
    assert ran.code == 0
    assert ran.out.count("cancelled") == 3
    assert calls.queue_stats(QUEUE)[0].queued_count == 2
    (done, *_) = calls.operations()
    assert (done.verb, done.details["reason"]) == ("cancel", "enough")


def test_cancel_what_runs(arvo, calls, filled):
    (held,) = calls.claim([QUEUE], 1)
    assert "left" in arvo("cancel", held.delivery, "--yes").out
    assert "cancelled" in arvo("cancel", held.delivery, "--yes", "--include-running").out


def test_retry(arvo, calls, filled):
    told = arvo("retry", "--queue", QUEUE, "--dry-run", "--json").json
    assert len(told["deliveries"]) == 2
    assert arvo("retry", "--event", "later0").out.count("due") == 1
    assert calls.queue_stats(QUEUE)[0].deferred_count == 1


def test_move(arvo, calls, filled):
    calls.register_queue("com.example.slow")
    told = arvo("move", "--to", "com.example.slow", "--queue", QUEUE, "--limit", 3, "--json").json
    assert (told["whole"], len(told["deliveries"])) == (False, 3)
    assert all(one["successor"] for one in told["deliveries"])
    assert calls.queue_stats("com.example.slow")[0].queued_count == 3


@pytest.mark.parametrize("words", [["cancel", "--yes"], ["retry"], ["move", "--to", "x"]])
def test_not_everything_by_mistake(arvo, words, filled):
    ran = arvo(*words)
    assert (ran.code, "numbers or a filter" in ran.err) == (2, True)


@pytest.fixture
def nightly(tmp_path):
    """The file of an event for a schedule."""
    file = tmp_path / "event.json"
    told = {"source": "com.example.clock", "type": "com.example.night.fell", "subject": "night"}
    file.write_text(json.dumps({**told, "to": QUEUE, "data": {}}))
    return file


def test_a_schedule_from_its_beginning_to_its_end(arvo, calls, nightly):
    adding = ["schedule", "add", "nightly", "0 3 * * *", nightly, "--time-zone", "Europe/Berlin"]
    told = arvo(*adding, "--missed", "all", "--grace", "5m", "--json").json["schedules"]
    assert [set(one) for one in told] == [names(Schedule)]
    assert (told[0]["change"], told[0]["grace"]) == ("created", 300.0)
    assert "unchanged" in arvo(*adding, "--missed", "all", "--grace", "5m").out
    assert len(arvo("schedule", "list", "--json").json["schedules"]) == 1
    assert "paused by" in arvo("schedule", "pause", "nightly").out
    assert arvo("schedule", "resume", "nightly").code == 0
    ran = arvo("schedule", "remove", "nightly")
    assert (ran.code, "Remove 1 schedule?" in ran.err) == (1, True)
    assert arvo("schedule", "remove", "nightly", "--dry-run", "--json").json["dry_run"] is True
    assert len(calls.schedules()) == 1
    assert arvo("schedule", "remove", "nightly", "--yes").code == 0
    assert calls.schedules() == []
    assert arvo("schedule", "pause", "nightly").code == 1
    assert arvo("schedule", "list").out == "There are no schedules that fit.\n"


def test_next_fires_across_a_change_of_clocks(arvo):
    words = ["--time-zone", "Europe/Berlin", "--count", 2, "--from", "2030-03-30T00:00:00Z"]
    told = arvo("schedule", "next", "30 2 * * *", *words, "--json").json["fires"]
    assert [set(one) for one in told] == [names(Fire)] * 2
    assert [one["local_time"] for one in told] == ["2030-03-30T02:30:00", "2030-03-31T03:00:00"]
    assert [one["utc_offset"] for one in told] == [3600.0, 7200.0]
    assert len(arvo("schedule", "next", "@daily").out.splitlines()) == 10
    assert arvo("schedule", "next", "0 0 30 2 *").out == "It never fires.\n"
    assert arvo("schedule", "next", "nonsense").code == 1


def test_an_event_that_cannot_be_read(arvo, tmp_path):
    ran = arvo("schedule", "add", "x", "@daily", tmp_path / "none.json")
    assert (ran.code, "the event cannot be read" in ran.err) == (1, True)
    ran = arvo("schedule", "add", "x", "@daily", "-", stdin="[]")
    assert (ran.code, "not a JSON object" in ran.err) == (1, True)
