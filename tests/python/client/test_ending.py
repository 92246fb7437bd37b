"""A task that is to end does end, also when the first request gets lost."""

import asyncio

import pytest

from arvo_plpg.runtime import ending


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(ending, "_PATIENCE_SECONDS", 0.01)


async def test_a_task_that_loses_requests_is_asked_again():
    lost = []

    async def stubborn():
        while len(lost) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost.append(True)
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await ending.end(task)
    assert task.cancelled()
    assert len(lost) == 3


async def test_a_task_that_is_done_is_left_alone():
    async def fail():
        raise ValueError("its own")

    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    await ending.end(task)
    assert not task.cancelled()
