"""Two handlers with whom things go wrong: one recovers by itself, one needs help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from arvo_plpg.contract import ArvoContract, create_simple_arvo_contract
from arvo_plpg.event_factory import create_arvo_event_factory
from arvo_plpg.handlers.emission import Emission
from arvo_plpg.handlers.event_handler import HandlerContext, create_arvo_event_handler
from arvo_plpg.violation import ExecutionViolation

if TYPE_CHECKING:
    from arvo_plpg.event import ArvoEvent


class Errand(BaseModel):
    """What is asked of the service."""

    errand: str


class Done(BaseModel):
    """What it answers."""

    attempts: int


FLAKY_CONTRACT = create_simple_arvo_contract(
    uri="#/demo/flaky",
    type="demo.flaky.service",
    versions={"1.0.0": {"accepts": Errand, "emits": Done}},
)
BROKEN_CONTRACT = create_simple_arvo_contract(
    uri="#/demo/broken",
    type="demo.broken.service",
    versions={"1.0.0": {"accepts": Errand, "emits": Done}},
)
LATE_CONTRACT = create_simple_arvo_contract(
    uri="#/demo/late",
    type="demo.late.service",
    versions={"1.0.0": {"accepts": Errand, "emits": Done}},
)


class ErrandHandler:
    """Runs errands; fails by a violation while it is out of order.

    A violation makes the broker deliver the event again. Any other error would become a
    ``sys.*.error`` event, because it would be the same next time.

    Args:
        contract: whose events it takes.
        failures: how many attempts fail; None for all, until :meth:`repair`.
    """

    def __init__(self, contract: ArvoContract, *, failures: int | None = 0) -> None:
        self._contract = contract
        self._failures = failures
        self._attempts = 0
        self._handler = create_arvo_event_handler(contract=contract, handler={"1.0.0": self._run})

    @property
    def source(self) -> str:
        """The routing key."""
        return self._contract.type

    def repair(self) -> None:
        """Put it in order."""
        self._failures = 0

    async def execute(self, event: ArvoEvent) -> list[ArvoEvent]:
        """Fail, or answer to the sender."""
        return await self._handler.execute(event)

    async def _run(self, context: HandlerContext) -> Emission:
        self._attempts += 1
        if self._failures is None or self._attempts <= self._failures:
            raise ExecutionViolation(f"out of order at call {self._attempts}")
        return Emission(type=context.contract.emit_list[0].type, data={"attempts": self._attempts})


def errand(contract: ArvoContract, *, source: str, text: str) -> ArvoEvent:
    """Make the event that asks for an errand."""
    factory = create_arvo_event_factory(contract.version("1.0.0"))
    return factory.accepts(source=source, data={"errand": text}, redirectto=source)
