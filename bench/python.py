"""Overhead of the model in Python: ``python -m bench.python [--json] [--milliseconds 20]``.

What building and validating an event, factories and the run of a handler cost, in processor time of
this process for each call: the median of many batches, each long enough for the clock. No database,
no network; the handlers themselves do nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import time
from typing import TYPE_CHECKING, Any, Final

import pydantic
from pydantic import BaseModel

import arvo_plpg as arvo

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

BATCHES: Final = 21
CLIENT: Final = "com.bench.client"


class Line(BaseModel):
    """One of the lines of an order."""

    article: str
    number: int
    cents: int


class Order(BaseModel):
    """Some 650 bytes of JSON."""

    customer: str
    lines: list[Line]


class Receipt(BaseModel):
    """What is answered."""

    total: int


ORDER: Final = Order(
    customer="Ada Lovelace",
    lines=[Line(article=f"article-{n:04}", number=n, cents=1999) for n in range(12)],
)
ORDER_1 = arvo.contract_version("1.0.0", accepts=Order).emitting("evt.order.placed", Receipt)
CONTRACT = arvo.create_arvo_contract(uri="#/order", type="com.order.place", versions=[ORDER_1])
FLOW_1 = arvo.workflow_version("1.0.0", init=Order, complete=Receipt)
FLOW = arvo.create_arvo_orchestrator_contract(uri="#/flow", name="ordering", versions=[FLOW_1])


class Forgetful:
    """A memory that is always empty and keeps nothing: the costs of a real one are elsewhere."""

    commits_with_events = True

    async def read(self, subject: str) -> None:
        """Know nothing."""

    async def write(self, subject: str, data: Mapping[str, Any], *_: object) -> None:
        """Keep nothing."""

    async def lock(self, subject: str) -> bool:
        """Say yes."""
        return bool(subject)

    async def unlock(self, subject: str) -> bool:
        """Say yes."""
        return bool(subject)

    async def cleanup(self, subject: str) -> None:
        """Forget nothing."""


@ORDER_1.handler
async def _place(call: arvo.HandlerContext[Order]) -> Receipt:
    return Receipt(total=len(call.payload.lines))


@ORDER_1.handler
def _place_in_a_thread(call: arvo.HandlerContext[Order]) -> Receipt:
    return Receipt(total=len(call.payload.lines))


@FLOW_1.resumable
async def _flow(step: arvo.ResumableContext[Order]) -> arvo.ResumableResult[Receipt]:
    return arvo.ResumableResult(context={"step": 1}, services=[step.payload or ORDER])


def subjects() -> dict[str, Callable[[], object]]:
    """Give what is measured: a name, and the call."""
    accepts = arvo.create_arvo_event_factory(CONTRACT.version(ORDER_1)).accepts
    init = arvo.create_arvo_event_factory(FLOW.version(FLOW_1)).init
    event = accepts(source=CLIENT, data=ORDER)
    flat, text, data = event.to_dict(), event.to_json(), ORDER.model_dump()
    structured, binary = arvo.to_http_structured(event), arvo.to_http_binary(event)
    small: dict[str, Any] = {"source": CLIENT, "type": "com.order.place", "subject": "order-1"}
    return {
        "create_arvo_event, empty data": lambda: arvo.create_arvo_event(**small, data={}),
        "create_arvo_event, 650 bytes": lambda: arvo.create_arvo_event(**small, data=data),
        "ArvoEvent.from_dict": lambda: arvo.ArvoEvent.from_dict(flat),
        "ArvoEvent.from_json": lambda: arvo.ArvoEvent.from_json(text),
        "ArvoEvent.from_trusted_dict": lambda: arvo.ArvoEvent.from_trusted_dict(flat),
        "event.to_dict": event.to_dict,
        "event.to_json": event.to_json,
        "subject, new": lambda: arvo.ArvoOrchestrationSubject.new(
            orchestrator="arvo.orc.ordering", version="1.0.0", initiator=CLIENT
        ),
        "subject, parse": lambda: arvo.ArvoOrchestrationSubject.parse(event.subject),
        "factory.accepts": lambda: accepts(source=CLIENT, data=ORDER),
        "factory.accepts, subject given": lambda: accepts(
            source=CLIENT, data=ORDER, subject=event.subject
        ),
        "factory.init": lambda: init(source=CLIENT, data=ORDER),
        "to_http_structured": lambda: arvo.to_http_structured(event),
        "to_http_binary": lambda: arvo.to_http_binary(event),
        "from_http, structured": lambda: arvo.from_http(structured.headers, structured.body),
        "from_http, binary": lambda: arvo.from_http(binary.headers, binary.body),
    }


def runs() -> dict[str, Callable[[], Awaitable[object]]]:
    """Give what is measured in an event loop: the run of a handler, with its answer."""
    event = arvo.create_arvo_event_factory(CONTRACT.version(ORDER_1)).accepts(
        source=CLIENT, data=ORDER
    )
    start = arvo.create_arvo_event_factory(FLOW.version(FLOW_1)).init(source=CLIENT, data=ORDER)
    handler = arvo.create_arvo_event_handler(contract=CONTRACT, handler=[_place])
    threaded = arvo.create_arvo_event_handler(contract=CONTRACT, handler=[_place_in_a_thread])
    flow = arvo.create_arvo_resumable(
        contract=FLOW, services={"order": CONTRACT.version(ORDER_1)}, handler=[_flow]
    )
    memory = Forgetful()
    return {
        "handler, async function": lambda: handler.execute(event),
        "handler, plain function": lambda: threaded.execute(event),
        "resumable, first step": lambda: flow.execute(start, memory=memory),
    }


def _median(cost_of: Callable[[int], float], seconds: float) -> float:
    """Give the median cost of one call, of batches that take so many seconds at least."""
    calls = 1
    while (cost := cost_of(calls)) < seconds:
        calls = max(calls * 2, int(calls * seconds / cost) if cost else 0)
    return statistics.median(cost_of(calls) / calls for _ in range(BATCHES))


def _blocking(call: Callable[[], object]) -> Callable[[int], float]:
    def cost_of(calls: int) -> float:
        before = time.process_time()
        for _ in range(calls):
            call()
        return time.process_time() - before

    return cost_of


def _awaiting(call: Callable[[], Awaitable[object]]) -> Callable[[int], float]:
    async def repeat(calls: int) -> float:
        before = time.process_time()
        for _ in range(calls):
            await call()
        return time.process_time() - before

    return lambda calls: asyncio.run(repeat(calls))


def measure(seconds: float) -> dict[str, float]:
    """Measure everything; microseconds of processor time for each call, by name."""
    costs = {name: _blocking(call) for name, call in subjects().items()}
    costs |= {name: _awaiting(call) for name, call in runs().items()}
    return {name: _median(cost_of, seconds) * 1e6 for name, cost_of in costs.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bench.python", description=__doc__)
    parser.add_argument("--milliseconds", type=float, default=20, help="of each batch, at least")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    found = measure(options.milliseconds / 1000)
    about = {"python": platform.python_version(), "pydantic": pydantic.VERSION}
    if options.json:
        print(json.dumps({"about": about, "microseconds": found}, indent=2))
        return 0
    print(f"Python {about['python']}, pydantic {about['pydantic']}; medians of {BATCHES} batches\n")
    width = max(map(len, found))
    for name, microseconds in found.items():
        print(f"{name:<{width}}  {microseconds:9.1f} us")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
