"""One worker for two hundred queues, one of which is never empty: all come to their turn."""

import asyncio
from collections import Counter

import pytest
from psycopg.types.json import Jsonb

from arvo_plpg import HandlerOptions, WorkerOptions

QUEUES = 200
WAVES = 3
NOISE = 300
SECONDS = 90
DISPATCH = "SELECT outcome, count(*)::int FROM arvo_v1.dispatch_many(%s) GROUP BY outcome"


class Endless:
    """A handler whose every event is followed by another one: its queue has NOISE for ever."""

    def __init__(self, event, **attributes):
        self.source = attributes.get("to", "com.example.noisy")
        self.runs = 0
        self._make = lambda: event(**attributes)

    async def execute(self, _):
        self.runs += 1
        await asyncio.sleep(0)
        return [self._make()]


def wave(event, number, places):
    """An event for each place, which is its attributes."""
    return Jsonb([event(number=number, **place).to_dict() for place in places])


async def calm(ask, until, noisy, ran, event, places):
    """Send wave after wave into the noise; each comes to its end while the noise goes on."""
    for number in range(WAVES):
        before = noisy.runs
        assert sum(count for _, count in ask(DISPATCH, wave(event, number, places))) == QUEUES
        await until(lambda: ran.total() >= QUEUES * (number + 1), seconds=SECONDS)  # noqa: B023
        # Nobody was left for the next wave, and the noisy one was not kept waiting, either.
        assert set(ran.values()) == {number + 1}
        await until(lambda: noisy.runs > before + NOISE, seconds=SECONDS)  # noqa: B023


@pytest.mark.timeout(4 * SECONDS)
async def test_two_hundred_queues_beside_a_noisy_one(broker_on, event, recorder, until, ask):
    broker = await broker_on()
    ran = Counter()
    noisy = Endless(event, to="com.example.noisy")
    places = [{"to": f"com.example.quiet{number}"} for number in range(QUEUES)]

    async def count(seen):
        ran[seen.to] += 1
        return []

    for place in places:
        await broker.register(recorder(place["to"], count))
    ask(DISPATCH, wave(event, 0, [{"to": noisy.source}] * NOISE))
    await broker.register(noisy, HandlerOptions(worker=WorkerOptions(concurrency=10)))
    await calm(ask, until, noisy, ran, event, places)
    assert ask("SELECT count(*) FROM arvo_v1.dead_letters()") == [(0,)]


@pytest.mark.timeout(4 * SECONDS)
async def test_a_route_that_matches_two_hundred_queues_one_of_them_noisy(
    broker_on, event, until, ask
):
    broker = await broker_on()
    ran = Counter()
    loud = {"to": "com.example.loud", "domain": "loud"}
    noisy = Endless(event, **loud)
    places = [{"domain": f"quiet{number}"} for number in range(QUEUES)]

    async def listen(seen):
        if seen.domain == "loud":
            return await noisy.execute(seen)
        ran[seen.domain] += 1
        return []

    ask(DISPATCH, wave(event, 0, [loud] * NOISE))
    broker.on_domained_event(listen, HandlerOptions(worker=WorkerOptions(concurrency=10)))
    await calm(ask, until, noisy, ran, event, places)
    assert ask("SELECT count(*) FROM arvo_v1.dead_letters()") == [(0,)]
