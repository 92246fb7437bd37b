"""Proxy: a TCP proxy that reads PostgreSQL's protocol, and has faults happen at the right moment.

It passes whole messages. A trap names a call of the contract and a moment of it: ``sent``, when the
client has sent it and the server has not got it, or ``answered``, when the server has done it and
the client does not know yet. There the connection stands still while the fault happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Moment = Literal["sent", "answered"]
Call = Literal["claim", "settle", "heartbeat", "commit", "doze"]

_CALLS: Final[dict[bytes, Call]] = {
    b"look": "claim",
    b"claim": "claim",
    b"work": "settle",
    b"settle": "settle",
    b"extend": "heartbeat",
    b"doze": "doze",
}
_FUNCTION = re.compile(rb'"arvo_v1"\."(\w+)"')
_CANCEL, _SSL, _GSS = 80877102, 80877103, 80877104
_HEAD = struct.Struct("!I")
_END_OF_BATCH = b"SQ"
_LOOK_SECONDS = 0.01


@dataclass
class Trap:
    """Where a fault is to happen, once.

    Attributes:
        call: of what.
        moment: when in it.
        fault: what happens, in a thread; the connection stands still until it returns.
        holds: bytes that the answer must contain, such as ``claimed``.
        fired: set when the fault has happened.
    """

    call: Call
    moment: Moment
    fault: Callable[[Passing], None]
    holds: bytes = b""
    fired: threading.Event = field(default_factory=threading.Event)
    taken: bool = False

    def spring(self, passing: Passing) -> None:
        """Have it happen. The client's end may end the wait for it, but not the fault itself."""
        try:
            self.fault(passing)
        finally:
            self.fired.set()


class Passing:
    """One connection that passes.

    Attributes:
        pid: of the server's process, when it is known.
    """

    def __init__(self, proxy: Proxy, client: asyncio.StreamWriter) -> None:
        self.pid: int | None = None
        self._proxy = proxy
        self._client = client
        self._server: asyncio.StreamWriter | None = None
        self._statements: dict[bytes, bytes] = {}
        self._asked: deque[Call | None] = deque()

    def cut(self) -> None:
        """Reset both sides. May be called from any thread."""
        self._proxy.call(self._reset)

    def _reset(self) -> None:
        for writer in (self._client, self._server):
            if writer is not None:
                plug: socket.socket | None = writer.get_extra_info("socket")
                if plug is not None:
                    with contextlib.suppress(OSError):
                        linger = struct.pack("ii", 1, 0)
                        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()

    async def run(self, reader: asyncio.StreamReader, place: tuple[str, int]) -> None:
        """Pass everything on until one side ends."""
        try:
            start = await self._start(reader)
            await self._proxy.open()
            answers, self._server = await asyncio.open_connection(*place)
            self._server.write(start)
            if _HEAD.unpack_from(start, 4)[0] == _CANCEL:
                return
            pumps = [
                asyncio.ensure_future(self._requests(reader, self._server)),
                asyncio.ensure_future(self._answers(answers)),
            ]
            _, left = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in left:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for writer in (self._client, self._server):
                if writer is not None:
                    writer.close()

    async def _start(self, reader: asyncio.StreamReader) -> bytes:
        """Read the first message; nobody encrypts here."""
        while True:
            head = await reader.readexactly(4)
            message = head + await reader.readexactly(_HEAD.unpack(head)[0] - 4)
            if _HEAD.unpack_from(message, 4)[0] not in {_SSL, _GSS}:
                return message
            self._client.write(b"N")

    async def _requests(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        gathered, call = bytearray(), None
        while True:
            kind, message = await _read(reader)
            gathered += message
            call = self._call_of(kind, message[5:]) or call
            if kind in _END_OF_BATCH:
                await self._proxy.spring(self, call, "sent", b"")
                self._asked.append(call)
                call = None
            elif kind in b"PBDCE":
                continue  # comes with the rest of its batch
            await self._proxy.open()
            server.write(bytes(gathered))
            gathered.clear()
            await server.drain()

    async def _answers(self, reader: asyncio.StreamReader) -> None:
        gathered = bytearray()
        try:
            while True:
                kind, message = await _read(reader)
                gathered += message
                if kind == b"K":
                    self.pid = _HEAD.unpack_from(message, 5)[0]
                if kind == b"Z" and self._asked:
                    answer = bytes(gathered)
                    await self._proxy.spring(self, self._asked.popleft(), "answered", answer)
                elif self._asked and kind not in b"EGHW":  # an error, or a turn of COPY
                    continue  # the answer is held until it is whole
                await self._proxy.open()
                self._client.write(bytes(gathered))
                gathered.clear()
                await self._client.drain()
        finally:
            if gathered:
                self._client.write(bytes(gathered))

    def _call_of(self, kind: bytes, body: bytes) -> Call | None:
        if kind == b"P":
            name, query, *_ = body.split(b"\0")
            self._statements[name] = query
        elif kind == b"B":
            name = body.split(b"\0")[1]
            query = self._statements.get(name, name)
        elif kind == b"Q":
            query = body.rstrip(b"\0")
        else:
            return None
        if query.upper() == b"COMMIT":
            return "commit"
        function = _FUNCTION.search(query)
        return _CALLS.get(query if function is None else function[1])


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    return head[:1], head + await reader.readexactly(_HEAD.unpack_from(head, 1)[0] - 4)


class Proxy:
    """Listens on a port of its own, in a thread of its own.

    Args:
        port: of the server, on this machine.

    Attributes:
        port: its own.
        upstream: the server's; another one may be set at any time, for new connections.
        blackhole: whether nothing passes any more.
        refuses: whether new connections are reset.
    """

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.port = 0
        self.blackhole = False
        self.refuses = False
        self._trap: Trap | None = None
        self._passing: set[Passing] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.call(self._stop.set)
        self._thread.join()

    def set(self, trap: Trap | None) -> None:
        """Set a trap, in the place of the one before."""
        self._trap = trap

    def drop(self) -> None:
        """Reset every connection. May be called from any thread."""
        for passing in list(self._passing):
            passing.cut()

    def pids(self) -> list[int]:
        """Give the server's processes behind the connections that pass now."""
        return [passing.pid for passing in list(self._passing) if passing.pid is not None]

    def call(self, action: Callable[[], None]) -> None:
        """Have something done in the proxy's loop."""
        with contextlib.suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(action)

    async def open(self) -> None:
        """Wait until things pass."""
        while self.blackhole:  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(_LOOK_SECONDS)

    async def spring(
        self, passing: Passing, call: Call | None, moment: Moment, answer: bytes
    ) -> None:
        """Let the fault of the trap happen, if this is its call and its moment."""
        trap = self._trap
        if trap is None or trap.taken or (trap.call, trap.moment) != (call, moment):
            return
        if trap.holds not in answer:
            return
        trap.taken = True
        await asyncio.to_thread(trap.spring, passing)
        await asyncio.sleep(0)  # a reset that was asked for happens before anything passes

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for passing in list(self._passing):
            passing.cut()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=1)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing = Passing(self, writer)
        if self.refuses:
            passing.cut()
            return
        self._passing.add(passing)
        try:
            await passing.run(reader, ("127.0.0.1", self.upstream))
        finally:
            self._passing.discard(passing)
