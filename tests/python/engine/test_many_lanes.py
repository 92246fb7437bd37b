"""A claim over very many lanes keeps few locks: the server's lock table has room for thousands."""

from typing import Any

QUEUES = 700


def name_queues(actor: Any, first: int, last: int) -> None:
    """Dispatch one event to each of so many queues."""
    actor.ask(
        "SELECT count(*) FROM arvo_v1.dispatch_many((SELECT jsonb_agg(stage.event("
        "'e' || n, 'many.' || n)) FROM generate_series(%s::integer, %s::integer) AS n))",
        first,
        last,
    )


def locks(actor: Any) -> int:
    return int(
        actor.ask(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )[0][0]
    )


def test_idle_lanes_are_not_locked(actors):
    ann = actors()
    name_queues(ann, 1, QUEUES)
    while taken := ann.take(10_000, "many.*"):
        ann.complete(*taken)
    ann.connection.autocommit = False

    assert ann.take(10_000, "many.*") == []
    assert locks(ann) <= 33 + 1  # the promoter's, too


def test_a_claim_finds_the_one_lane_that_has_something(actors):
    ann = actors()
    name_queues(ann, 1, QUEUES)
    while taken := ann.take(10_000, "many.*"):
        ann.complete(*taken)
    ann.put("needle", "many.650")

    assert [t[2] for t in ann.take(10, "many.*")] == ["needle"]


def test_a_claim_takes_from_a_bounded_number_of_lanes_and_the_next_takes_the_rest(actors):
    ann = actors()
    name_queues(ann, 1, QUEUES)
    ann.connection.autocommit = False
    first = ann.take(10_000, "many.*")
    assert 500 < len(first) < QUEUES
    assert locks(ann) < 600
    ann.connection.commit()

    second = ann.take(10_000, "many.*")
    ann.connection.commit()
    assert len({t[2] for t in first + second}) == len(first) + len(second) == QUEUES


def test_what_was_open_when_an_idle_lane_was_read_is_found(actors):
    ann, bob = actors(), actors()
    name_queues(ann, 1, QUEUES)
    bob.connection.autocommit = False
    bob.put("late", "many.650")
    while taken := ann.take(10_000, "many.*"):
        ann.complete(*taken)
    bob.connection.commit()

    assert [t[2] for t in ann.take(10, "many.*")] == ["late"]
