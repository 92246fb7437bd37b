"""A settlement that was committed, whose answer got lost on the way: it counts once."""

import asyncio
import contextlib
import socket
import struct

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from arvo_plpg import (
    HandlerOptions,
    PostgresEventBroker,
    WorkerOptions,
    create_arvo_event,
    current_delivery,
)


class LosingProxy:
    """Passes bytes on, but once: what answers a message with the needle is dropped, and both ends.

    The server has been sent the whole message by then, so it commits.
    """

    def __init__(self, dsn, needle):
        self.serving = set()
        self.facts = conninfo_to_dict(dsn)
        self.needle = needle
        self.lost = 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        more = {"host": "127.0.0.1", "port": port, "sslmode": "disable", "gssencmode": "disable"}
        self.dsn = make_conninfo("", **self.facts | more)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for one in list(self.serving):
            one.cancel()
        await asyncio.gather(*self.serving, return_exceptions=True)

    async def _upstream(self):
        host, port = self.facts["host"], self.facts.get("port", "5432")
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, int(port))

    async def _serve(self, reader, writer):
        mine = asyncio.current_task()
        self.serving.add(mine)
        from_server, to_server = await self._upstream()
        try:
            await self._pass_on(reader, writer, from_server, to_server)
        finally:
            self.serving.discard(mine)
            for end in (writer, to_server):
                end.close()
            for end in (writer, to_server):
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pass_on(self, reader, writer, from_server, to_server):
        losing = asyncio.Event()

        async def ask():
            while data := await reader.read(65_536):
                if self.needle in data and not self.lost:
                    self.lost += 1
                    losing.set()
                to_server.write(data)
                await to_server.drain()

        async def answer():
            while data := await from_server.read(65_536):
                if losing.is_set():
                    return  # the server has answered: it has committed
                writer.write(data)
                await writer.drain()

        ways = [asyncio.ensure_future(ask()), asyncio.ensure_future(answer())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        if losing.is_set():  # a reset, not an orderly end
            peer = writer.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Asked:
    """A handler that emits one event for each."""

    source = "com.test.asked"

    def __init__(self):
        self.attempts = []

    async def execute(self, event):
        self.attempts.append((event.id, current_delivery().attempt))
        return [
            create_arvo_event(
                type="com.test.answered", source=self.source, subject=event.subject,
                data={"to": event.id}, to="com.test.client",
            )
        ]  # fmt: skip


@pytest.mark.timeout(120)
async def test_a_settlement_whose_answer_is_lost_counts_once(dsn, connection):
    handler, answered, done = Asked(), [], asyncio.Event()

    def hear(event):
        answered.append(event)
        done.set()

    event = create_arvo_event(
        type="com.test.asked", source="com.test.client", subject="one", data={}
    )
    async with LosingProxy(dsn, b'"outcome":"completed"') as proxy:
        broker = PostgresEventBroker(proxy.dsn)
        await broker.start()
        try:
            await broker.on_workflow_complete(source="com.test.client", listener=hear)
            await broker.register(
                handler, HandlerOptions(worker=WorkerOptions(polling_interval_seconds=0.5))
            )
            await broker.dispatch(event)
            async with asyncio.timeout(60):
                await done.wait()
        finally:
            await broker.stop()
        assert proxy.lost == 1
    assert handler.attempts == [(event.id, 1)]
    assert [one.data["to"] for one in answered] == [event.id]
    with psycopg.connect(dsn) as other:
        steps = other.execute(
            "SELECT event_type, attempt, outcome FROM arvo_v1.trace('one') ORDER BY 1, 2"
        ).fetchall()
    # What was claimed behind it, in the same round trip, is lost like any claim without an answer.
    assert steps == [
        ("com.test.answered", 1, "expired"),
        ("com.test.answered", 2, "completed"),
        ("com.test.asked", 1, "completed"),
    ]
