"""Slots: deliveries that share a task share nothing else, and each has its own deadline."""

import asyncio
import contextvars
import itertools
import time

import pytest

from arvo_plpg import current_delivery

TASK = "com.example.task"
OTHER = "com.example.other"
VARIABLE = contextvars.ContextVar("VARIABLE", default="untouched")


def idle(ask):
    return ask(
        "SELECT count(*) FROM arvo_v1.queue_stats()"
        " WHERE queued_count + active_count + deferred_count > 0"
    ) == [(0,)]


async def letters(broker):
    async with broker.connection() as contract:
        return await contract.dead_letters()


@pytest.mark.parametrize("waits", [0, 3])
async def test_each_delivery_has_a_context_of_its_own(
    broker, event, recorder, until, ask, worker_options, waits
):
    found, tasks = [], set()

    async def work(asked):
        before = VARIABLE.get()
        VARIABLE.set(asked.id)
        tasks.add(asyncio.current_task())
        for _ in range(waits):
            await asyncio.sleep(0)
        found.append((before, VARIABLE.get() == asked.id, current_delivery().event is asked))
        return []

    await broker.dispatch_many([event(TASK, number=n) for n in range(200)])
    await broker.register(recorder(TASK, work), worker_options(concurrency=3))
    await until(lambda: idle(ask))
    assert found == [("untouched", True, True)] * 200
    assert VARIABLE.get() == "untouched"
    assert current_delivery() is None
    assert len(tasks) < 100, "or this has tested nothing: they did not share tasks"


async def test_what_a_handler_starts_has_the_handlers_context(broker, event, recorder, until):
    found = []

    async def beside():
        found.append((VARIABLE.get(), current_delivery().event.id))

    async def work(asked):
        VARIABLE.set("mine")
        await asyncio.gather(beside(), asyncio.create_task(beside()))
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            group.create_task(beside())
        return []

    handler = recorder(TASK, work)
    await broker.register(handler)
    asked = event(TASK)
    await broker.dispatch(asked)
    await until(lambda: len(found) == 3)
    assert found == [("mine", asked.id)] * 3


async def test_deadlines_are_kept_to_the_moment_whatever_else_runs(
    broker, event, recorder, until, worker_options
):
    """A short one that begins after a long one, several together, and quick ones all the time.

    How late the event loop is anyway is seen by timers of its own.
    """
    lasted = []

    async def hang(asked):
        began, fired = time.monotonic(), []
        seconds = 1 if asked.to == TASK else 2
        loop = asyncio.get_running_loop()
        loop.call_at(began + seconds, lambda: fired.append(time.monotonic()))
        try:
            await asyncio.Event().wait()
        finally:
            ended = time.monotonic()
            late = ended - fired[0] if fired else 0.0
            lasted.append((ended - began - seconds, late))

    for queue, seconds in ((OTHER, 2), (TASK, 1)):
        options = worker_options(concurrency=3, retry_limit=0, expire_in_seconds=seconds)
        await broker.register(recorder(queue, hang), options)
    quick = recorder("com.example.quick")
    await broker.register(quick, worker_options(expire_in_seconds=1))
    await broker.dispatch_many([event(queue) for queue in (OTHER, TASK, TASK, TASK, OTHER)])
    while len(lasted) < 5:
        await broker.dispatch(event(quick.source))
    for over, late in lasted:
        assert over > -0.01, lasted
        assert late < 0.05, lasted
    found = await until(lambda: letters(broker))
    await until(lambda: quick.seen)
    assert {letter.error["name"] for letter in found} == {"DeadlineExceeded"}


async def test_a_handler_that_answers_although_its_time_is_up_has_answered(
    broker, event, recorder, until, story, worker_options
):
    async def work(_):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return []

    handler = recorder(TASK, work)
    await broker.register(handler, worker_options(expire_in_seconds=1, concurrency=1))
    asked, quick = event(TASK), event(TASK)
    await broker.dispatch(asked)
    await until(lambda: story(asked) == [(TASK, 1, "completed")])
    handler._action = None
    await broker.dispatch(quick)
    await until(lambda: story(quick) == [(TASK, 1, "completed")])


@pytest.mark.parametrize("waits", [False, True])
async def test_a_handler_that_cancels_its_task_harms_no_other(
    broker, event, recorder, until, ask, worker_options, waits
):
    async def work(asked):
        if asked.data["number"] == 5:
            asyncio.current_task().cancel()
            if waits:
                await asyncio.sleep(0)
        elif asked.data["number"] > 5:
            await asyncio.sleep(0)
        return []

    handler = recorder(TASK, work)
    await broker.dispatch_many([event(TASK, number=n) for n in range(20)])
    await broker.register(handler, worker_options(retry_limit=0))
    await until(lambda: idle(ask))
    dead = await letters(broker)
    assert [letter.event["data"]["number"] for letter in dead] == ([5] if waits else [])
    assert len(handler.seen) == 20


async def test_handlers_that_never_wait_leave_time_for_others(
    broker, event, recorder, until, ask, worker_options
):
    """Four hundred, of half a millisecond each, in one queue: somebody else has his turn."""
    looks = []

    async def spin(_):
        until_then = time.monotonic() + 0.0005
        while time.monotonic() < until_then:
            pass
        return []

    async def look():
        while True:
            looks.append(len(handler.seen))
            await asyncio.sleep(0)

    handler = recorder(TASK, spin)
    await broker.dispatch_many([event(TASK, number=n) for n in range(400)])
    looking = asyncio.create_task(look())
    await broker.register(handler, worker_options(concurrency=10))
    await until(lambda: len(handler.seen) == 400)
    looking.cancel()
    gaps = [after - before for before, after in itertools.pairwise(looks)]
    assert max(gaps) <= 8, "two slots, at most a millisecond and a handler each"
    await until(lambda: idle(ask))


async def test_a_blocking_handler_is_no_reason_to_lose_what_is_behind_it(
    broker_on, event, recorder, until, ask, worker_options
):
    """It blocks the loop for longer than buffered deliveries may wait and leases last."""
    broker = await broker_on(lease_seconds=1)

    async def work(asked):
        if asked.data["number"] == 300:
            time.sleep(1.5)  # noqa: ASYNC251
        return []

    handler = recorder(TASK, work)
    await broker.dispatch_many([event(TASK, number=n) for n in range(500)])
    await broker.register(handler, worker_options(concurrency=3))
    await until(lambda: idle(ask))
    assert sorted(found.data["number"] for found in handler.seen) == list(range(500))
    assert ask("SELECT max(attempt) FROM arvo.log") == [(1,)]
