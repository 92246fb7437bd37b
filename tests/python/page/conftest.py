"""The page, asked by an HTTP client without a socket; and a workflow full of evil texts."""

import contextlib
import json

import httpx
import psycopg
import pytest

from arvo_plpg.page import PageOptions, create_app

TOKEN = "0123456789abcdef-token"
EVIL = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"


@pytest.fixture
async def site(dsn):
    """Open the page: client = await site(**options). Ended with the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**options):
            app = create_app(PageOptions(**{"dsn": dsn} | options))
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app, raise_app_exceptions=True)
            return await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8321")
            )

        yield start


@pytest.fixture
async def operator(site):
    """Somebody who has signed in where actions are allowed."""
    client = await site(allow_actions=True, token=TOKEN)
    answer = await client.post("/sign-in", data={"token": TOKEN})
    assert answer.status_code == 303
    return client


@pytest.fixture
def csrf():
    """Find what the forms of a page carry."""

    def find(text):
        return text.split('name="csrf" value="')[1].split('"')[0]

    return find


@pytest.fixture
def ask(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:

        def run(query, *arguments):
            return connection.execute(query, arguments).fetchall()

        yield run


@pytest.fixture
def dispatch(ask):
    """Dispatch an event by SQL, as anybody may who is a client: dispatch(id, queue, **fields)."""

    def put(number, queue, **more):
        event = {
            "id": number,
            "source": "com.example.test",
            "type": "com.example.asked",
            "subject": "story",
            "to": queue,
            "data": {"secret": "the payload"},
        } | more
        return ask("SELECT outcome FROM arvo_v1.dispatch(%s::jsonb)", json.dumps(event))[0][0]

    return put


@pytest.fixture
def kill(ask, dispatch):
    """Make a dead letter: kill(id, queue, error=…, **fields) gives its number."""

    def make(number, queue="com.example.task", error=None, **more):
        ask("SELECT arvo_v1.register_queue(%s, p_retry_limit => 0)", queue)
        dispatch(number, queue, **more)
        ((lease, delivery),) = ask(
            "SELECT lease, delivery FROM arvo_v1.claim(ARRAY[%s], 1, %s)", queue, EVIL[:100]
        )
        error = error or {"name": "LookupError", "message": "nothing there", "stack": "line 1"}
        result = {"lease": lease, "delivery": delivery, "outcome": "failed", "error": error}
        ask("SELECT arvo_v1.settle(%s::jsonb)", json.dumps([result]))
        return ask("SELECT max(dead) FROM arvo_v1.dead_letters()")[0][0]

    return make
