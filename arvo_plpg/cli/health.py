"""Health: whether a worker lives and is ready, over HTTP, for those who watch over processes.

``GET /live`` answers while the event loop turns. ``GET /ready`` answers 200 when the worker has
begun, is not stopping, and its database answers within two seconds; else 503. ``GET /metrics`` has
what this process counts, for Prometheus, if the extra ``metrics`` is installed; the gauges of the
database are told once, by ``arvo-plpg serve``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Self

import psycopg

from arvo_plpg import telemetry
from arvo_plpg.errors import ArvoError, PackageMissing

if TYPE_CHECKING:
    from types import TracebackType

    from arvo_plpg.broker import PostgresEventBroker
    from arvo_plpg.telemetry.prometheus import Exposition

_PATIENCE_SECONDS = 2.0
_REQUEST_SECONDS = 5.0
_LONGEST_HEAD = 8192
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


_Told = dict[str, str] | tuple[str, bytes]
"""What is told: a status, or a text with its content type."""


def _written(told: _Told) -> tuple[str, bytes]:
    if isinstance(told, dict):
        return "application/json", json.dumps(told).encode() + b"\n"
    return told


class Health:
    """The endpoint. Without an address it does nothing.

    Args:
        address: host and port to listen on.
    """

    def __init__(self, address: tuple[str, int] | None) -> None:
        self._address = address
        self._server: asyncio.Server | None = None
        self._broker: PostgresEventBroker | None = None
        self._metrics: Exposition | None = None
        self._answers = {
            b"/live": self._live,
            b"/ready": self._ready,
            b"/metrics": self._figures,
        }
        self.stopping = False

    async def __aenter__(self) -> Self:
        if self._address is None:
            return self
        with contextlib.suppress(PackageMissing):
            self._metrics = telemetry.exposition()
        host, port = self._address
        try:
            self._server = await asyncio.start_server(self._answer, host, port, limit=_LONGEST_HEAD)
        except OSError as error:
            raise ArvoError(
                "the health endpoint cannot be opened",
                detail=f"{host}:{port}: {error.strerror}",
                hint="Name another port.",
            ) from error
        for socket in self._server.sockets:
            logging.getLogger("arvo_plpg").info(
                "health endpoint on %s:%d", *socket.getsockname()[:2]
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._metrics is not None:
            self._metrics.close()

    def watch(self, broker: PostgresEventBroker) -> None:
        """Be ready as long as this broker is."""
        self._broker = broker

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                code, told = await self._reply(reader)
                kind, body = _written(told)
                head = (
                    f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n"
                    "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
                writer.close()
                await writer.wait_closed()  # by then all of it is sent
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # whoever asked has gone, says nothing, or does not read
        finally:
            writer.transport.abort()

    async def _reply(self, reader: asyncio.StreamReader) -> tuple[int, _Told]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return 400, {"status": "the request is too long"}
        parts = head.split(b"\r\n", 1)[0].split()
        if len(parts) != 3:  # noqa: PLR2004
            return 400, {"status": "no HTTP"}
        method, path, _ = parts
        answer = self._answers.get(path.split(b"?")[0])
        if answer is None:
            return 404, {"status": "ask for /live, /ready or /metrics"}
        if method != b"GET":
            return 405, {"status": "ask with GET"}
        return await answer()

    async def _live(self) -> tuple[int, _Told]:
        return 200, {"status": "live"}

    async def _figures(self) -> tuple[int, _Told]:
        if self._metrics is None:
            return 404, {"status": "install arvo-plpg[metrics]"}
        return 200, self._metrics.render()

    async def _ready(self) -> tuple[int, _Told]:
        if self.stopping:
            return 503, {"status": "stopping"}
        if self._broker is None:
            return 503, {"status": "starting"}
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS), self._broker.connection() as contract:
                await contract.about()
        except (TimeoutError, psycopg.Error, ArvoError, OSError):
            return 503, {"status": "the database does not answer"}
        return 200, {"status": "ready"}
