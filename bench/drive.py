"""Drive: the half of a driver that is the same for every Python peer.

A driver is a program that the harness starts with a connection string and settings. It takes
commands as lines of JSON on standard input and answers each with one line; between the answers it
says how many handlers have run. ``drive.mjs`` is the same for Node.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from bench.document import Document, document, following
from bench.tally import Tally

_SAY_SECONDS = 0.01


class Job:
    """What a handler does here, in every peer: note that it ran, and name the next event.

    Args:
        hops: how many events make a chain.
        pause: seconds that a handler takes.
        journal: file to which each run is appended at once, so that it survives a SIGKILL.
        failing: every so many-th event fails the first time.
    """

    def __init__(self, hops: int, pause: float, journal: str | None, failing: int) -> None:
        self.tally = Tally()
        self._hops = hops
        self._pause = pause
        self._journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if journal else -1
        self._failing = failing
        self._failed: set[int] = set()
        self._saying = False

    async def run(self, given: Document) -> Document | None:
        """Handle one document and give the next of its chain, if there is one.

        Raises:
            RuntimeError: it is the turn of this one to fail.
        """
        data = given["data"]
        number, hop = data["number"], data["hop"]
        if self._pause:
            await asyncio.sleep(self._pause)
        if self._failing and number % self._failing == 0 and number not in self._failed:
            self._failed.add(number)
            raise RuntimeError("this one fails the first time")
        slot = number * self._hops + hop
        now = time.monotonic()
        self.tally.add(slot, now)
        if self._journal >= 0:
            os.write(self._journal, struct.pack("<dd", slot, now))
        if not self._saying:
            self._saying = True
            asyncio.get_running_loop().call_later(_SAY_SECONDS, self._say)
        return following(given) if hop + 1 < self._hops else None

    def run_all(self, given: list[Document]) -> None:
        """Handle many that are no chains and do not fail, as a handler of lists does."""
        for one in given:
            self.tally.add(one["data"]["number"], time.monotonic())
        if not self._saying:
            self._saying = True
            asyncio.get_running_loop().call_later(_SAY_SECONDS, self._say)

    def _say(self) -> None:
        self._saying = False
        _print({"count": len(self.tally)})


class Driver(ABC):
    """One peer's public API behind five methods.

    Args:
        dsn: the database, which is this run's own.
        settings: of the peer's configuration.
    """

    def __init__(self, dsn: str, settings: dict[str, Any]) -> None:
        self.dsn = dsn
        self.settings = settings

    @abstractmethod
    async def setup(self) -> None:
        """Install the peer into the empty database, and make its queue."""

    @abstractmethod
    async def open(self, connections: int) -> None:
        """Connect for producing."""

    @abstractmethod
    async def send(self, lane: int, given: Document) -> None:
        """Enqueue one; ``lane`` is the connection's number."""

    @abstractmethod
    async def send_many(self, lane: int, given: list[Document]) -> None:
        """Enqueue many, as fast as the configuration's API allows."""

    @abstractmethod
    async def work(self, concurrency: int, job: Job) -> None:
        """Start working; return when handlers can run."""

    @abstractmethod
    async def close(self) -> None:
        """Settle what is finished, stop and disconnect."""

    async def other(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do something that only this peer can."""
        raise NotImplementedError(command["do"])


class _Program:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._job: Job | None = None
        self._lanes = 0

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["do"]:
            case "ready":
                return {}
            case "setup":
                await self._driver.setup()
                return {}
            case "work":
                self._job = Job(
                    command.get("hops", 1),
                    command.get("pause", 0.0),
                    command.get("journal"),
                    command.get("failing", 0),
                )
                await self._driver.work(command["concurrency"], self._job)
                return {}
            case "send":
                return await self._send(command)
            case "stop":
                await self._driver.close()
                if self._job is not None and "tally" in command:
                    self._job.tally.write(Path(command["tally"]))
                return {"count": len(self._job.tally) if self._job else 0}
            case _:
                return await self._driver.other(command)

    async def _send(self, command: dict[str, Any]) -> dict[str, Any]:
        lanes = command.get("connections", 1)
        if lanes > self._lanes:
            await self._driver.open(lanes)
            self._lanes = lanes
        sent = Tally()
        first, count, batch = command["first"], command["count"], command["batch"]
        rate, seconds = command.get("rate"), command.get("seconds")
        numbers = iter(range(first, first + count, batch))
        began = time.monotonic()

        async def produce(lane: int) -> None:
            for start in numbers:
                now = time.monotonic()
                if seconds is not None and now - began >= seconds:
                    return
                if rate is not None and (wait := began + (start - first) / rate - now) > 0:
                    await asyncio.sleep(wait)
                stop = min(start + batch, first + count)
                given = [document(number) for number in range(start, stop)]
                now = time.monotonic()
                for number in range(start, stop):
                    sent.add(number, now)
                if batch == 1:
                    await self._driver.send(lane, given[0])
                else:
                    await self._driver.send_many(lane, given)

        await asyncio.gather(*(produce(lane) for lane in range(lanes)))
        took = time.monotonic() - began
        if "tally" in command:
            sent.write(Path(command["tally"]))
        return {
            "count": len(sent),
            "seconds": took,
            "began": sent.times[0] if sent.times else began,
        }


def _print(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def _serve(driver: Driver) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    program = _Program(driver)
    while line := await reader.readline():
        command = json.loads(line)
        try:
            answer = await program.obey(command)
        except Exception as error:  # noqa: BLE001 - whatever it is, the harness reports it
            answer = {"error": f"{type(error).__name__}: {error}"}
        _print({"reply": answer})
        if command["do"] == "stop":
            return


def main(driver: type[Driver]) -> None:
    """Run a driver: ``driver DSN SETTINGS``."""
    dsn, settings = sys.argv[1], json.loads(sys.argv[2])
    runner = asyncio.run
    if settings.get("uvloop"):
        with contextlib.suppress(ImportError):
            import uvloop  # noqa: PLC0415 - of the peer's environment, and only when asked for

            runner = uvloop.run
    runner(_serve(driver(dsn, settings)))
    os._exit(0)  # whatever threads a peer has left behind
