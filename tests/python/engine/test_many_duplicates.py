"""Many events at once, of which another session is just dispatching some."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.types.json import Jsonb

from .conftest import Actor, event

MANY = 150


def dispatch(actor: Actor, *ids: str) -> list[tuple[str, int]]:
    """Outcome and delivery of each."""
    return actor.ask(
        "SELECT outcome, delivery FROM arvo_v1.dispatch_many(%s) ORDER BY ordinal",
        Jsonb([event(one) for one in ids]),
    )


def waits(actor: Actor, pid: int) -> bool:
    return bool(actor.ask("SELECT pg_blocking_pids(%s) <> '{}'", pid)[0][0])


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_one_that_another_session_is_dispatching_is_waited_for(actors, eventually, ends):
    ann, bob, judge = actors(), actors(), actors()
    ann.register("q", deduplicate_for="1 hour")
    ann.connection.autocommit = False
    ann_ids = [f"a{n}" for n in range(MANY)]
    first = dict(zip(ann_ids, dispatch(ann, *ann_ids), strict=True))
    bob_ids = [f"b{n}" for n in range(MANY)]
    bob_ids[70:70] = ["a50", "a20", "b7"]

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(dispatch, bob, *bob_ids)
        assert eventually(lambda: waits(judge, bob.connection.info.backend_pid))
        getattr(ann.connection, ends)()
        told = found.result(timeout=20)

    duplicates = {
        bob_ids[place]: delivery
        for place, (outcome, delivery) in enumerate(told)
        if outcome == "duplicate"
    }
    expected = {"b7": told[7][1]}
    if ends == "commit":
        expected |= {name: first[name][1] for name in ("a50", "a20")}
    assert duplicates == expected
    stored = MANY + 2 if ends == "rollback" else 2 * MANY
    assert len(judge.take(10 * MANY)) == stored
    assert judge.faults() == []


def test_under_repeatable_read_one_that_came_meanwhile_is_refused(actors):
    ann, bob = actors(), actors()
    ann.register("q", deduplicate_for="1 hour")
    bob.connection.autocommit = False
    bob.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    bob.ask("SELECT 1")
    dispatch(ann, "shared")
    with pytest.raises(psycopg.errors.SerializationFailure):
        dispatch(bob, "shared", *(f"b{n}" for n in range(MANY)))
    bob.connection.rollback()
    bob.connection.autocommit = True
    assert dispatch(bob, "shared")[0][0] == "duplicate"


def test_a_window_that_is_over_lets_them_in_again(actors):
    ann = actors()
    ann.register("q", deduplicate_for="1 hour")
    ids = [f"a{n}" for n in range(MANY)]
    dispatch(ann, *ids)
    ann.freeze("2030-01-01T00:30:00Z")
    assert {outcome for outcome, _ in dispatch(ann, *ids)} == {"duplicate"}
    assert {outcome for outcome, _ in dispatch(ann, "new", *ids[:-1])} == {"queued", "duplicate"}
    ann.freeze("2030-01-01T01:00:00Z")
    told = [outcome for outcome, _ in dispatch(ann, "new", *ids)]
    assert told == ["duplicate"] + MANY * ["queued"]
