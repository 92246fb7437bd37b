"""Many sessions fire the same schedules, while somebody makes them again.

ARVO_STRESS_SEED sets what each of them does.
"""

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor

SEED = int(os.environ.get("ARVO_STRESS_SEED", "1"))
MINUTES = 60
SCHEDULES = {"every": 1, "second": 2, "seventh": 7}


def at(minute, second=0):
    return f"2030-01-01T{minute // 60:02}:{minute % 60:02}:{second:02}Z"


def make(actor, name):
    actor.ask(
        "SELECT arvo_v1.schedule(%s, %s, stage.tick(%s), p_missed => 'all')",
        name,
        f"*/{SCHEDULES[name]} * * * *",
        name,
    )


def fire(actor, chance):
    """Fire what is due, and undo it one time in four."""
    with actor.connection.transaction(force_rollback=chance.random() < 0.25):
        actor.ask(chance.choice(["SELECT arvo.fire_schedules()", "SELECT arvo.promote()"]))


def remake(actor, chance):
    """Make schedules again, just as they are: a rolling deployment."""
    for name in chance.sample(sorted(SCHEDULES), k=2):
        make(actor, name)


def live(actor, number, barrier):
    """Go through the minutes, each at a pace of its own, never more than five apart."""
    chance = random.Random(SEED * 100 + number)
    try:
        for minute in range(1, MINUTES + 1):
            if minute % 5 == 0:
                barrier.wait()
            actor.freeze(at(minute, chance.randrange(60)))
            (remake if number == 0 else fire)(actor, chance)
    except BaseException:
        barrier.abort()
        raise


def test_every_fire_is_dispatched_once_whoever_comes_first(actors):
    judge = actors()
    for name in SCHEDULES:
        make(judge, name)
    barrier = threading.Barrier(6, timeout=60)
    with ThreadPoolExecutor(6) as pool:
        lives = [pool.submit(live, actors(), number, barrier) for number in range(6)]
        for one in lives:
            one.result()
    judge.freeze(at(MINUTES, 59))
    judge.ask("SELECT arvo.fire_schedules()")

    dispatched = 0
    for name, step in SCHEDULES.items():
        fires = [
            time
            for (time,) in judge.ask(
                "SELECT event ->> 'firetime' FROM arvo.log WHERE event ->> 'schedulename' = %s",
                name,
            )
        ]
        dispatched += len(fires)
        # every seven minutes begins again at each full hour
        expected = [at(minute) for minute in range(1, MINUTES + 1) if minute % 60 % step == 0]
        assert sorted(fires) == expected
    assert judge.ask("SELECT sum(fires)::integer, sum(failures)::integer FROM arvo.schedule") == [
        (dispatched, 0)
    ]
    assert judge.faults() == []
