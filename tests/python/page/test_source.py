"""What the page asks a database for that is in trouble, or large."""

import asyncio
import time

import psycopg
import pytest

from arvo_plpg.page import source as module
from arvo_plpg.page.options import PageOptions
from arvo_plpg.page.source import Source


@pytest.fixture
def owner(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


async def eventually(client, status):
    deadline = time.monotonic() + 20
    while (await client.get("/healthz")).status_code != status:
        assert time.monotonic() < deadline, status
        await asyncio.sleep(0.02)


async def test_what_the_database_refuses_for_a_while_is_asked_for_again(site, owner):
    """While the contract is away, say: the samples go on when it is back."""
    client = await site(sample_seconds=0.05)
    await eventually(client, 200)
    owner.execute("ALTER SCHEMA arvo_v1 RENAME TO away")
    await eventually(client, 503)
    owner.execute("ALTER SCHEMA away RENAME TO arvo_v1")
    await eventually(client, 200)


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER SCHEMA arvo_v1 RENAME TO away",
        "ALTER FUNCTION arvo_v1.queue_stats(text) RENAME TO away",
        "ALTER TYPE arvo_v1.queue_stats RENAME ATTRIBUTE wait_p95 TO away",
    ],
    ids=["missing", "too-old", "lacks-a-column"],
)
async def test_an_installation_that_does_not_fit_is_no_fault_of_whoever_asks(site, owner, damage):
    """Nor does he learn of it from a number alone."""
    owner.execute(damage)
    client = await site(sample_seconds=0.05)
    page = await client.get("/")
    assert page.status_code == 503
    assert "arvo-plpg migrate" in page.text
    deadline = time.monotonic() + 20
    while "arvo-plpg migrate" not in (health := await client.get("/healthz")).text:
        assert time.monotonic() < deadline, health.text
        await asyncio.sleep(0.02)
    assert health.status_code == 503


async def test_all_who_wait_for_figures_wait_for_one_call(site, dsn, monkeypatch):
    """A server that does not answer in time is not asked once for each browser, one by one."""
    monkeypatch.setattr(module, "STATEMENT_MILLISECONDS", 500)
    with psycopg.connect(dsn) as holder:
        holder.execute("LOCK arvo.queue IN ACCESS EXCLUSIVE MODE")
        client = await site()
        began = time.monotonic()
        answers = await asyncio.gather(*(client.get("/") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {503}
        assert time.monotonic() - began < 5, "twenty times half a second, if each asks"
    await eventually(client, 200)
    assert (await client.get("/")).status_code == 200


async def test_figures_that_take_long_are_asked_for_less_often(dsn, monkeypatch):
    """Of thousands of queues they take seconds: the server is to have other things to do."""
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(module, "RESTS_PER_CALL", 10**6)
    source = Source(PageOptions(dsn, sample_seconds=3600))
    async with source.open():
        first = await source.stats()
        assert await source.stats() is first
