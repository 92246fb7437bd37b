"""The traps of an engine of windows: each scenario holds, and falls when its trap is back.

A mutant is a function whose text has been changed in the test's own database: here those of
tests/mutants that name a scenario. It must then fail; one that passes on a mutant tests nothing.
"""

from collections.abc import Callable
from typing import Any

import mutant
import psycopg
import pytest

Actors = Callable[[], Any]
SOON = "2030-01-01T00:00:10Z"
EDGE = "2030-01-01T00:00:30Z"
LATER = "2030-01-01T00:01:00Z"


def own_transaction(actors: Actors) -> None:
    """A transaction that claims and then dispatches into the same lane gets that event later."""
    ann, bob = actors(), actors()
    ann.register()
    ann.put("first")
    taken = ann.take()
    with ann.connection.transaction():
        ann.complete(*taken)
        bob.put("between")
        assert [t[2] for t in ann.take()] == ["between"]
        ann.put("own")
    assert bob.drain() == ["own"]
    assert bob.faults() == []


def own_transaction_deferred(actors: Actors) -> None:
    """The same for what a transaction defers after it has promoted."""
    ann, bob = actors(), actors()
    ann.register()
    with ann.connection.transaction():
        ann.put("x", after="5 seconds")
        bob.put("between")
        ann.freeze(SOON)
        ann.take()
        ann.freeze("2030-01-01T00:00:00Z")
        ann.put("own", after="6 seconds")
    bob.freeze(SOON)
    assert sorted(bob.drain() + bob.drain()) == ["own", "x"]
    assert bob.faults() == []


def full_window(actors: Actors) -> None:
    """A window that ends exactly at the limit does not stop the lane."""
    ann = actors()
    ann.register()
    for name in ("a", "b"):
        ann.put(name)
    assert len(ann.take(2)) == 2
    ann.put("c")
    assert [t[2] for t in ann.take(2)] == ["c"]


def claim_blocks(actors: Actors, history: int, *, late: bool = False) -> int:
    """Blocks that a claim of one event reads in a lane with a history."""
    ann, bob = actors(), actors()
    ann.register()
    ann.drain()
    for _ in range(history // 1000):
        ann.put_many(1000)
        assert len(ann.take(1000)) == 1000
    with bob.connection.transaction():
        if late:
            bob.put("late")
        ann.put("quick")
        assert len(ann.take(1)) == 1
    if not late:
        bob.put("late")
    return int(ann.blocks("SELECT * FROM arvo_v1.claim(ARRAY['q'], 1)"))


def flat_claim(actors: Actors) -> None:
    """A claim does not read more as history grows."""
    small = claim_blocks(actors, 1000)
    assert claim_blocks(actors, 20000) < 2 * small + 20


def flat_late_claim(actors: Actors) -> None:
    """Nor does a claim of what a transaction committed late."""
    small = claim_blocks(actors, 1000, late=True)
    assert claim_blocks(actors, 20000, late=True) < 2 * small + 20


def late_commit(actors: Actors) -> None:
    """What a transaction commits late is found, all of it, in any portions."""
    ann, bob = actors(), actors()
    ann.register()
    with bob.connection.transaction():
        for name in ("l1", "l2", "l3"):
            bob.put(name)
        ann.put("a")
        assert [t[2] for t in ann.take(1)] == ["a"]
    assert ann.drain(limit=1) == ["l1", "l2", "l3"]
    assert ann.faults() == []


def named_twice(actors: Actors) -> None:
    """A delivery that one call names twice is judged once."""
    ann = actors()
    ann.register(retry_limit=5)
    ann.put("e")
    lease, delivery, *_ = ann.take()[0]
    item = {"lease": lease, "delivery": delivery, "outcome": "failed"}
    padded = {"lease": f"0{lease}", "delivery": f"00{delivery}", "outcome": "completed"}
    assert ann.settle(item, dict(item), padded) == [
        ("retried", None),
        ("refused", "RV006"),
        ("refused", "RV006"),
    ]
    assert ann.drain() == ["e"]
    assert ann.faults() == []


def stale_view(actors: Actors) -> None:
    """Whoever would read a stale ledger, under REPEATABLE READ, is refused."""
    ann, bob = actors(), actors()
    ann.register()
    bob.connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    item = {"lease": 1, "delivery": 1, "outcome": "completed"}
    for call in (
        bob.take,
        lambda: bob.settle(item),
        lambda: bob.extend(1),
        lambda: bob.ask("SELECT * FROM arvo_v1.maintain()"),
        lambda: bob.ask("SELECT * FROM arvo_v1.redrive('q')"),
    ):
        ann.put("e")
        with bob.connection.transaction(force_rollback=True):
            bob.ask("SELECT 1")
            ann.drain()
            with pytest.raises(psycopg.Error) as refused:
                call()
        assert refused.value.sqlstate == "RV005"
    assert ann.faults() == []


def sweep_blocks(actors: Actors, queue: str, rounds: int) -> int:
    """Blocks of a claim that looks for expired leases, behind a ledger of closed ones."""
    ann = actors()
    ann.register(queue)
    for second in range(rounds):
        minute, rest = divmod(second, 60)
        ann.freeze(f"2030-01-01T01:{minute:02}:{rest:02}Z")
        for _ in range(20):
            ann.put("e", queue)
            ann.complete(*ann.take(1, queue, lease="1 second"))
    ann.freeze("2030-01-01T03:00:00Z")
    ann.put("e", queue)
    ann.take(1, queue, lease="1 second")
    ann.freeze("2030-01-01T03:00:10Z")
    return int(ann.blocks("SELECT * FROM arvo_v1.claim(ARRAY[%s], 1)", queue))


def flat_sweep(actors: Actors) -> None:
    """Looking for expired leases reads the open tail of the ledger, not its history."""
    small = sweep_blocks(actors, "small", 5)
    assert sweep_blocks(actors, "large", 60) < 2 * small + 20


def rare_sweep(actors: Actors) -> None:
    """It is done at most twice a second, however many leases lapse meanwhile."""
    ann = actors()
    ann.register()
    for millisecond in range(0, 300, 10):
        ann.freeze(f"2030-01-01T00:00:00.{millisecond:03}Z")
        ann.put("e")
        ann.take(1, lease="1 second")
    ann.ask("SELECT set_config('track_functions', 'pl', false)")
    with ann.connection.transaction():
        for millisecond in range(0, 300, 10):
            ann.freeze(f"2030-01-01T00:00:01.{millisecond:03}Z")
            ann.take(1, lease="1 second")
        sweeps = ann.ask("SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'sweep'")
    assert sweeps == [(1,)]


def edge_of_expiry(actors: Actors) -> None:
    """A lease is held before its last moment and lapses at it."""
    ann = actors()
    ann.register()
    ann.put("e")
    taken = ann.take()
    ann.freeze("2030-01-01T00:00:29.999Z")
    assert ann.take() == ann.take() == []
    ann.freeze(EDGE)
    ann.take()
    assert ann.settle({"lease": taken[0][0], "delivery": taken[0][1], "outcome": "completed"}) == [
        ("refused", "RV301")
    ]
    assert [t[2:] for t in ann.take()] == [("e", 2)]


def settle_against_expiry(actors: Actors) -> None:
    """While somebody settles a lapsed lease, nobody takes it back, in either order."""
    ann, bob = actors(), actors()
    ann.register()
    ann.put("e")
    taken = ann.take()
    ann.freeze(LATER)
    bob.freeze(LATER)
    with ann.connection.transaction():
        assert ann.complete(*taken) == ["completed"]
        assert bob.take() == []
    assert bob.take() == []
    ann.put("f")
    taken = ann.take()
    ann.freeze("2030-01-01T00:02:00Z")
    bob.freeze("2030-01-01T00:02:00Z")
    with ann.connection.transaction(force_rollback=True):
        assert ann.complete(*taken) == ["completed"]
        assert bob.take() == []
    bob.freeze("2030-01-01T00:02:01Z")
    bob.take()
    assert [t[2:] for t in bob.take()] == [("f", 2)]
    assert bob.faults() == []


def extend_against_expiry(actors: Actors) -> None:
    """A heartbeat keeps a lease beyond its first expiry."""
    ann = actors()
    ann.register()
    ann.put("e")
    ann.put("f")
    taken = ann.take()
    ann.freeze(SOON)
    ann.complete(taken[0])
    assert ann.extend(taken[0][0]) == [True]
    ann.freeze("2030-01-01T00:00:35Z")
    assert ann.take() == ann.take() == []
    assert ann.complete(taken[1]) == ["completed"]
    assert ann.faults() == []


def plans_of_empty_tables(actors: Actors) -> None:
    """A session that first called the functions on tiny tables reads no table whole later."""
    ann, bob = actors(), actors()
    bob.register()
    bob.put("first")
    bob.drain()
    bob.connection.execute("VACUUM ANALYZE arvo.log, arvo.lease, arvo.closure")
    ann.put("retried")
    lease, delivery, *_ = ann.take()[0]
    ann.settle({"lease": lease, "delivery": delivery, "outcome": "failed"})
    ann.drain()
    for _ in range(10):
        ann.put_many(5000)
        assert len(ann.take(5000)) == 5000
    ann.put_many(20)
    with ann.connection.transaction():
        before = ann.fetched()
        taken = ann.take(5)
        assert len(taken) == 5
        ann.complete(*taken)
        lease, delivery, *_ = ann.take(1)[0]
        ann.settle({"lease": lease, "delivery": delivery, "outcome": "failed"})
        after = ann.fetched()
    assert after[0] == before[0]
    assert after[1] - before[1] < 1000


def order_of_transactions(actors: Actors) -> None:
    """Within a window the order is by transaction, then by delivery, and no portion loses any."""
    ann, bob = actors(), actors()
    ann.register()
    with ann.connection.transaction():
        ann.put("a1")
        bob.put("b1")
        ann.put("a2")
    assert bob.drain(limit=2) == ["a1", "a2", "b1"]
    assert bob.faults() == []


def savepoints(actors: Actors) -> None:
    """Rows bear the number of the top-level transaction, inside savepoints too."""
    ann, bob = actors(), actors()
    ann.register()
    with ann.connection.transaction():
        ann.put("outer")
        with ann.connection.transaction():
            ann.put("inner")
        bob.put("b")
        assert bob.drain() == ["b"]
    assert bob.drain() == ["outer", "inner"]
    assert bob.faults() == []


def number_given_twice(actors: Actors) -> None:
    """A lease number that comes again after a crash gives its old holder nothing."""
    ann, bob = actors(), actors()
    ann.register()
    ann.register("r")
    ann.put("e")
    ann.put("f", "r")
    number = ann.ask("SELECT last_value FROM arvo.lease_number")[0][0]
    ann.ask("SELECT setseed(0.1)")
    bob.ask("SELECT setseed(0.9)")
    with ann.connection.transaction(force_rollback=True):
        lost = ann.take(queue="r")[0]
    ann.ask("SELECT setval('arvo.lease_number', %s, false)", number)
    found = bob.take(queue="r")[0]
    assert found[0] >> 12 == lost[0] >> 12
    assert ann.complete(lost) == ["refused"]
    assert bob.complete(found) == ["completed"]


def written_into_the_past(actors: Actors) -> None:
    """What becomes due before the promotion's cursor is promoted too, whenever it commits."""
    ann, bob, eve = actors(), actors(), actors()
    ann.register()
    eve.freeze(LATER)
    with ann.connection.transaction():
        ann.put("open", after="1 second")
        ann.put("next", after="2 minutes")
        bob.put("x", after="2 seconds")
        assert eve.ask("SELECT arvo.promote()") == [(1,)]
        bob.put("past", after="3 seconds")
        assert eve.ask("SELECT arvo.promote()") == [(1,)]
    eve.freeze("2030-01-01T00:03:00Z")
    assert eve.ask("SELECT arvo.promote()") == [(2,)]
    assert eve.ask("SELECT arvo.promote()") == [(0,)]
    eve.ask("SELECT * FROM arvo_v1.maintain()")
    assert sorted(eve.drain()) == ["next", "open", "past", "x"]
    assert eve.faults() == []


def two_promoters(actors: Actors) -> None:
    """Two promotions at once: one works, the other does not wait, and none is promoted twice."""
    ann, bob = actors(), actors()
    ann.register()
    ann.put("x", after="1 second")
    ann.freeze(LATER)
    bob.freeze(LATER)
    bob.ask("SELECT set_config('lock_timeout', '1s', false)")
    with ann.connection.transaction():
        assert ann.ask("SELECT arvo.promote()") == [(1,)]
        try:
            assert bob.ask("SELECT arvo.promote()") == [(0,)]
        except psycopg.errors.LockNotAvailable:
            pytest.fail("the second promoter waited")
    assert bob.drain() == ["x"]
    assert bob.faults() == []


def promotion_in_portions(actors: Actors) -> None:
    """A promotion that its limit cuts, also between equal times, goes on where it stopped."""
    ann = actors()
    ann.register()
    for number in range(5):
        ann.put(f"e{number}", after="1 second")
    ann.freeze(LATER)
    assert [ann.ask("SELECT arvo.promote(2)")[0][0] for _ in range(4)] == [2, 2, 1, 0]
    assert sorted(ann.drain()) == [f"e{number}" for number in range(5)]
    assert ann.faults() == []


def late_within_a_window(actors: Actors) -> None:
    """What commits while its window is being read in portions comes with the next one, once."""
    ann, bob = actors(), actors()
    ann.register()
    ann.put("a")
    with bob.connection.transaction():
        bob.put("late")
        ann.put("b")
        assert [t[2] for t in ann.take(1)] == ["a"]
    assert ann.drain(limit=1) == ["b", "late"]
    assert ann.faults() == []


def late_in_claims(actors: Actors) -> None:
    """A claim sees that something committed late is due, though nothing else is."""
    ann, bob = actors(), actors()
    ann.register()
    bob.freeze(LATER)
    with ann.connection.transaction():
        ann.put("late", after="1 second")
        actors().put("x", after="2 seconds")
        assert bob.take() == []
    assert [[t[2] for t in bob.take()] for _ in range(2)] == [["x"], ["late"]]
    assert bob.faults() == []


def swept_before_promotion(actors: Actors) -> None:
    """The sweep of what was promoted leaves what committed since the promotion."""
    ann, bob, eve = actors(), actors(), actors()
    ann.register()
    eve.freeze(LATER)
    with ann.connection.transaction():
        ann.put("late", after="1 second")
        bob.put("x", after="2 seconds")
        assert eve.ask("SELECT arvo.promote()") == [(1,)]
    assert eve.ask("SELECT arvo.sweep_deferred(100)") == [(1,)]
    assert eve.ask("SELECT arvo.promote()") == [(1,)]
    assert sorted(eve.drain()) == ["late", "x"]
    assert eve.faults() == []


TRAPS = {
    "1": own_transaction,
    "1 and 17": own_transaction_deferred,
    "2": full_window,
    "3": flat_claim,
    "4: cost": flat_late_claim,
    "4": late_commit,
    "4: portions": late_within_a_window,
    "5": named_twice,
    "6": stale_view,
    "7: cost": flat_sweep,
    "7: frequency": rare_sweep,
    "7: edge": edge_of_expiry,
    "14: settle against expiry": settle_against_expiry,
    "14: extend against expiry": extend_against_expiry,
    "14: numbers": number_given_twice,
    "8": plans_of_empty_tables,
    "9": order_of_transactions,
    "10": savepoints,
    "17: late": written_into_the_past,
    "17: claims": late_in_claims,
    "17: sweep": swept_before_promotion,
    "17: two": two_promoters,
    "17: portions": promotion_in_portions,
}
MUTANTS = [one for one in mutant.load() if one.scenario]


@pytest.mark.parametrize("scenario", TRAPS.values(), ids=TRAPS.keys())
def test_the_scenario_holds(scenario, actors):
    scenario(actors)


@pytest.mark.parametrize("one", MUTANTS, ids=[f"{one.scenario}: {one.name}" for one in MUTANTS])
def test_the_scenario_falls_when_the_trap_is_back(one, stage, actors):
    stage.execute(one.statement())
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        TRAPS[one.scenario](actors)


def test_every_scenario_has_a_mutant():
    assert {one.scenario for one in MUTANTS} == TRAPS.keys()
