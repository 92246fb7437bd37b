"""Leases are kept while handlers run, and what is done under a lost one does not count."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from arvo_plpg.sync import Broker

TASK = "com.example.task"
BEATS = "SELECT count(*) FROM arvo.lease WHERE carried"


def steal(connection, frozen):
    """Take every delivery over, as if an hour had passed without a heartbeat."""
    frozen(connection, datetime.now(UTC) + timedelta(hours=1))
    healed = [m.touched for m in Broker(connection).maintain() if m.task == "healed"]
    frozen(connection, None)
    return healed


async def test_a_handler_may_run_longer_than_its_lease(
    broker_on, event, recorder, until, ask, story
):
    broker = await broker_on(lease_seconds=1)

    async def work(_):
        # Four beats a second: after nine of them the first lease has lapsed twice.
        await until(lambda: ask(BEATS) >= [(9,)])
        return []

    handler = recorder(action=work)
    await broker.register(handler)
    asked = event()
    await broker.dispatch(asked)
    await until(lambda: story(asked) == [(TASK, 1, "completed")])
    assert len(handler.seen) == 1


async def test_a_blocked_event_loop_does_not_lose_the_lease(
    broker_on, event, recorder, until, ask, story, connection
):
    broker = await broker_on(lease_seconds=1)
    thief = Broker(connection)
    stolen = []

    async def block(_):
        while ask(BEATS) < [(9,)]:
            stolen.extend(thief.claim([TASK], 10))
        return []

    handler = recorder(action=block)
    await broker.register(handler)
    asked = event()
    await broker.dispatch(asked)
    await until(lambda: story(asked) == [(TASK, 1, "completed")])
    assert stolen == []


async def test_a_lost_lease_cancels_the_handler_and_its_result_is_dropped(
    broker_on, event, recorder, until, story, connection, frozen, log
):
    broker = await broker_on(lease_seconds=1)
    answers, cancelled = [], []

    async def work(asked):
        if len(handler.seen) > 1:
            return [event(to="com.example.client", number=2)]
        steal(connection, frozen)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(asked)
            return [event(to="com.example.client", number=1)]  # in vain

    handler = recorder(action=work)
    await broker.register(handler)
    await broker.on_workflow_complete(source="com.example.client", listener=answers.append)
    asked = event()
    await broker.dispatch(asked)
    await until(lambda: answers)
    assert cancelled == [asked]
    assert "its lease is lost; the handler is cancelled" in log.text
    assert story(asked) == [(TASK, 1, "expired"), (TASK, 2, "completed")]
    assert [found.data["number"] for found in answers] == [2]


@pytest.mark.parametrize("stateful", [False, True])
async def test_a_result_under_a_lost_lease_is_refused(
    broker_on, event, recorder, stateful_recorder, until, story, connection, frozen, log, stateful
):
    """The handler returns before any heartbeat could notice the loss."""
    broker = await broker_on(lease_seconds=60)
    answers = []

    async def work(_, memory=None):
        if len(handler.seen) > 1:
            return []
        steal(connection, frozen)
        return [event(to="com.example.client")]

    handler = (stateful_recorder if stateful else recorder)(action=work)
    await broker.register(handler)
    await broker.on_workflow_complete(source="com.example.client", listener=answers.append)
    asked = event()
    await broker.dispatch(asked)
    await until(lambda: story(asked) == [(TASK, 1, "expired"), (TASK, 2, "completed")])
    await until(lambda: "is not held under lease" in log.text)
    assert answers == []


async def test_the_time_of_silence_is_the_leases(broker_on, event, recorder, until, ask):
    broker = await broker_on(lease_seconds=7)
    await broker.register(recorder())
    await broker.dispatch(event())
    lasting = "SELECT expires_at - leased_at FROM arvo.lease WHERE token <> 0"
    await until(lambda: ask(lasting) == [(timedelta(seconds=7),)])


async def test_one_of_several_in_a_lease_is_cancelled_and_the_others_go_on(
    broker_on, event, recorder, until, ask, worker_options
):
    gate, cancelled, done = asyncio.Event(), [], []

    async def wait(asked):
        try:
            await gate.wait()
        except asyncio.CancelledError:
            cancelled.append(asked.data["number"])
            raise
        done.append(asked.data["number"])
        return []

    broker = await broker_on(lease_seconds=1)
    task = recorder("com.example.task", wait)
    answers = await broker.dispatch_many([event(number=n) for n in range(3)])
    await broker.register(task, worker_options(concurrency=3))
    await until(lambda: len(task.seen) == 3)
    assert ask("SELECT count(DISTINCT token) FROM arvo.lease WHERE token <> 0") == [(1,)]
    async with broker.connection() as contract:
        await contract.cancel([answers[1].delivery], include_running=True)
    await until(lambda: cancelled == [1])
    gate.set()
    await until(lambda: sorted(done) == [0, 2])
    await until(lambda: ask("SELECT count(*) FROM arvo.log WHERE attempt > 1") == [(0,)])
