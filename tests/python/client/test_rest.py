"""Rest: a call ends it, whenever it comes."""

import asyncio
import time

from arvo_plpg.runtime.rest import Rest

FAR = 3600.0


async def test_a_rest_ends_when_its_time_is_over():
    await asyncio.wait_for(Rest().wait(time.monotonic() - 1), 8)


async def test_a_call_ends_the_rest_that_is_under_way_and_none_after_it():
    rest = Rest()
    waiting = asyncio.create_task(rest.wait(time.monotonic() + FAR))
    await asyncio.sleep(0)
    assert rest.until > time.monotonic()
    rest.end()
    rest.end()
    await asyncio.wait_for(waiting, 8)
    assert rest.until < 0
    again = asyncio.create_task(rest.wait(time.monotonic() + FAR))
    await asyncio.sleep(0)
    assert not again.done()
    rest.end()
    await asyncio.wait_for(again, 8)


async def test_a_call_while_nobody_rests_ends_the_next_rest_once():
    rest = Rest()
    rest.end()
    rest.end()
    await asyncio.wait_for(rest.wait(time.monotonic() + FAR), 8)
    again = asyncio.create_task(rest.wait(time.monotonic() + FAR))
    await asyncio.sleep(0)
    assert not again.done()
    rest.end()
    await asyncio.wait_for(again, 8)
