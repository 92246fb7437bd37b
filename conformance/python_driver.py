"""The Python client as the suite drives it: ``python -m conformance.python_driver``."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import sys
from contextvars import Context, copy_context
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from arvo_plpg import (
    ArvoError,
    ArvoEvent,
    HandlerOptions,
    LockConfig,
    MemoryConfig,
    MemoryMetadata,
    PostgresEventBroker,
    WorkerOptions,
    connect_postgres_machine_memory,
)
from arvo_plpg.aio import Broker, Memory
from arvo_plpg.runtime.delivery import current_delivery

if TYPE_CHECKING:
    from collections.abc import Callable

    from arvo_plpg import MachineMemory, PostgresMachineMemory, StateRecord

Answer = Any
Arguments = dict[str, Any]


class Handler:
    """A handler that does what a script says.

    Args:
        given: ``queue``, ``stateful`` and ``script`` as in the protocol.
        gates: events by name, on which a script waits.
        runs: where each run is written down.
    """

    def __init__(
        self, given: Arguments, gates: dict[str, asyncio.Event], runs: list[Arguments]
    ) -> None:
        self.source: str = given["queue"]
        self.stateful: bool = given.get("stateful", False)
        self._script: list[Arguments] = given.get("script", [])
        self._gates = gates
        self._runs = runs

    async def execute(
        self, event: ArvoEvent, *, memory: MachineMemory | None = None
    ) -> list[ArvoEvent]:
        """Do what the first rule says that fits the event."""
        delivery = current_delivery()
        attempt = delivery.attempt if delivery else 0
        run = {"queue": self.source, "id": event.id, "attempt": attempt, "ended": "not yet"}
        self._runs.append(run)
        try:
            events = await self._follow(event, attempt, memory)
        except asyncio.CancelledError:
            run["ended"] = "cancelled"
            raise
        except BaseException:
            run["ended"] = "raised"
            raise
        run["ended"] = "returned"
        return events

    async def _follow(
        self, event: ArvoEvent, attempt: int, memory: MachineMemory | None
    ) -> list[ArvoEvent]:
        emitted: list[ArvoEvent] = []
        for action in self._actions(event, attempt):
            if "hold" in action:
                await self._gates.setdefault(action["hold"], asyncio.Event()).wait()
            if "remember" in action and memory is not None:
                state = await memory.read(event.subject)
                seen = [*(state["seen"] if state else []), event.id]
                metadata = MemoryMetadata(event.subject, None, event.source, self.source)
                await memory.write(event.subject, {"seen": seen}, state, metadata)
            for flat in action.get("emit", ()):
                named = {"id": flat["id"].replace("{id}", event.id), "subject": event.subject}
                emitted.append(ArvoEvent.from_dict(flat | named))
            if "fail" in action:
                kind = type(action["fail"]["name"], (Exception,), {})
                raise kind(action["fail"]["message"])
        return emitted

    def _actions(self, event: ArvoEvent, attempt: int) -> list[Arguments]:
        for rule in self._script:
            if rule.get("attempt", attempt) == attempt and rule.get("id", event.id) == event.id:
                actions: list[Arguments] = rule["do"]
                return actions
        return []


class Driver:
    """What the protocol asks for, one method for each op."""

    def __init__(self) -> None:
        self._dsn = ""
        self._sessions: dict[str, psycopg.AsyncConnection[Any]] = {}
        self._memory: PostgresMachineMemory | None = None
        self._contexts: dict[str, Context] = {}
        self._read: dict[tuple[str, str], StateRecord | None] = {}
        self._workers: dict[str, PostgresEventBroker] = {}
        self._runs: dict[str, list[Arguments]] = {}
        self._gates: dict[str, asyncio.Event] = {}

    async def connect(self, dsn: str) -> Answer:
        """Use this database from now on."""
        await self.disconnect()
        self._dsn = dsn

    async def disconnect(self) -> Answer:
        """Close all connections and stop all workers."""
        for name in list(self._workers):
            await self.worker_stop(name, 0)
        for session in self._sessions.values():
            await session.close()
        if self._memory is not None:
            await self._memory.close()
        self._sessions, self._memory, self._gates = {}, None, {}
        self._contexts, self._read, self._runs = {}, {}, {}

    async def begin(self, session: str) -> Answer:
        """Begin a transaction of the user's own."""
        await (await self._session(session)).execute("BEGIN")

    async def commit(self, session: str) -> Answer:
        """Commit it."""
        await (await self._session(session)).execute("COMMIT")

    async def rollback(self, session: str) -> Answer:
        """Roll it back."""
        await (await self._session(session)).execute("ROLLBACK")

    async def note(self, session: str, text: str) -> Answer:
        """Write something of the user's own, in the session's transaction."""
        query = "INSERT INTO public.conformance_note (note) VALUES (%s)"
        await (await self._session(session)).execute(query, [text])

    async def call(self, function: str, arguments: Arguments, session: str = "") -> Answer:
        """Call a function of the contract."""
        connection = await self._session(session)
        for kind in (Broker, Memory):
            method = getattr(kind(connection), function, None)
            if method is not None:
                return await method(**_arguments(method, arguments))
        raise ValueError(f"the client has no method {function}")

    async def canonical(self, event: Arguments) -> Answer:
        """Give the JSON text of an event."""
        return ArvoEvent.from_dict(event).to_json()

    async def memory(self, method: str, subject: str, **given: Any) -> Answer:  # noqa: ANN401
        """Call the memory adapter, in a context of its own for each ``as``."""
        if self._memory is None:
            config = MemoryConfig(
                connection_string=self._dsn,
                lock_config=LockConfig(max_retries=1, initial_delay_ms=10),
                enable_cleanup=True,
            )
            self._memory = await connect_postgres_machine_memory(config=config)
        context = self._contexts.setdefault(given["as"], copy_context())
        doing = self._remember(self._memory, method, subject, given)
        return await asyncio.get_running_loop().create_task(doing, context=context)

    async def _remember(
        self, memory: PostgresMachineMemory, method: str, subject: str, given: Arguments
    ) -> Answer:
        place = (given["as"], subject)
        if method == "write":
            before = self._read.get(place) if given["based_on"] == "read" else None
            metadata = MemoryMetadata(subject, given.get("parent"), "com.example.client", "flow")
            return await memory.write(subject, given["data"], before, metadata)
        answer = await getattr(memory, method)(subject)
        if method == "read":
            self._read[place] = answer
        return answer

    async def worker_start(self, name: str, handlers: list[Arguments], lease: float = 8) -> Answer:
        """Start a worker with scripted handlers."""
        worker = PostgresEventBroker(self._dsn, name=name, lease_seconds=lease)
        runs = self._runs.setdefault(name, [])
        self._workers[name] = worker
        await worker.start()
        for given in handlers:
            options = WorkerOptions(
                concurrency=given.get("concurrency", 1),
                polling_interval_seconds=given.get("poll", 2),
            )
            handler = Handler(given, self._gates, runs)
            if given["queue"] == "arvo.domain.*":
                worker.on_domained_event(handler.execute, HandlerOptions(worker=options))
            else:
                await worker.register(handler, HandlerOptions(worker=options))

    async def worker_open(self, gate: str) -> Answer:
        """Let those go on that wait at a gate."""
        self._gates.setdefault(gate, asyncio.Event()).set()

    async def worker_stop(self, name: str, grace: float) -> Answer:
        """Stop a worker."""
        await self._workers.pop(name).stop(grace)

    async def worker_ran(self, name: str) -> Answer:
        """Tell what its handlers ran, in order."""
        return self._runs[name]

    async def _session(self, name: str) -> psycopg.AsyncConnection[Any]:
        session = self._sessions.get(name)
        if session is None or session.broken:
            session = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
            self._sessions[name] = session
        return session


def _arguments(method: Callable[..., Any], given: Arguments) -> Arguments:
    """Make Python's values of JSON's, as the method's annotations ask for them."""
    made = {}
    for name, parameter in inspect.signature(method).parameters.items():
        plain = name.rstrip("_")
        if plain not in given:
            continue
        value, kind = given[plain], str(parameter.annotation)
        if "timedelta" in kind and value is not None:
            value = timedelta(seconds=value)
        elif kind == "ArvoEvent":
            value = ArvoEvent.from_dict(value)
        elif kind == "Sequence[ArvoEvent]":
            value = [ArvoEvent.from_dict(one) for one in value]
        made[name] = value
    if unknown := given.keys() - {name.rstrip("_") for name in made}:
        raise ValueError(f"the method has no parameters {sorted(unknown)}")
    return made


def _json(value: Any) -> Any:  # noqa: ANN401 - any row, any JSON
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value):
        return {field.name: _json(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "_asdict"):  # a named tuple
        return {name: _json(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    return [_json(item) for item in value] if isinstance(value, list | tuple) else value


def _error(error: BaseException) -> Arguments:
    if isinstance(error, psycopg.Error):
        return {"code": error.sqlstate, "message": str(error)}
    if isinstance(error, ArvoError):
        return {"code": error.sqlstate, "field": error.field, "message": str(error)}
    return {"code": None, "message": f"{type(error).__name__}: {error}"}


async def answer(driver: Driver, line: str) -> str:
    """Answer one line with another."""
    question = json.loads(line)
    number, op = question.pop("id"), question.pop("op")
    try:
        done = await getattr(driver, op.replace(".", "_"))(**question)
        return json.dumps({"id": number, "ok": _json(done)})
    except Exception as error:  # noqa: BLE001 - told to the runner
        return json.dumps({"id": number, "error": _error(error)})


async def main() -> None:
    """Answer until there is no more input."""
    driver = Driver()
    while line := await asyncio.to_thread(sys.stdin.readline):
        sys.stdout.write(await answer(driver, line) + "\n")
        sys.stdout.flush()
    await driver.disconnect()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    asyncio.run(main())
