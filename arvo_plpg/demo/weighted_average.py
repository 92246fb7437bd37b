"""The weighted average, once a person approves, as a resumable workflow.

Ask the person; then all products at once; then their sum; then the sum times 1/n.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from arvo_plpg.contract import create_arvo_orchestrator_contract
from arvo_plpg.demo.calculator import ADD_CONTRACT, PRODUCT_CONTRACT
from arvo_plpg.demo.human_approval import HUMAN_APPROVAL_CONTRACT
from arvo_plpg.domain import ArvoDomain
from arvo_plpg.handlers.emission import Emission
from arvo_plpg.handlers.resumable import (
    ArvoResumable,
    ResumableContext,
    ResumableResult,
    create_arvo_resumable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.machine_memory import MachineMemory


class WeightedValue(BaseModel):
    """A value and how much it counts."""

    value: int | float
    weight: int | float


class WeightedInput(BaseModel):
    """What to average."""

    input: Annotated[list[WeightedValue], Field(min_length=1)]


class WeightedOutput(BaseModel):
    """The weighted average."""

    output: int | float


WEIGHTED_AVERAGE_CONTRACT = create_arvo_orchestrator_contract(
    uri="#/org/amas/resumable/weighted_average",
    name="weighted.average",
    versions={"1.0.0": {"init": WeightedInput, "complete": WeightedOutput}},
)

_PRODUCT = "evt.calculator.product.success"


async def _step(step: ResumableContext) -> ResumableResult | None:
    if step.input is not None:
        return _ask(step.input)
    if step.service is None or step.context is None:
        return None
    if step.service.type.startswith("sys."):
        raise RuntimeError(f"{step.service.source} failed: {step.service.data['errorMessage']}")
    match step.service.type:
        case "evt.human.approval.success":
            return _multiply(step.context, step.service)
        case "evt.calculator.product.success" if step.context["isWaitingAllProducts"]:
            return _add(step)
        case "evt.calculator.add.success":
            factors = [step.service.data["result"], 1 / len(step.context["inputItems"])]
            return ResumableResult(services=[_product(factors)])
        case _:
            return ResumableResult(output={"output": step.service.data["result"]})


def _ask(event: ArvoEvent) -> ResumableResult:
    context = {
        "currentSubject": event.subject,
        "inputItems": event.data["input"],
        "humanApproval": None,
        "isWaitingAllProducts": False,
    }
    question = Emission(
        type="com.human.approval",
        data={"prompt": "Do you approve?"},
        domain=[ArvoDomain.FROM_EVENT_CONTRACT],
    )
    return ResumableResult(context=context, services=[question])


def _multiply(context: dict[str, Any], answer: ArvoEvent) -> ResumableResult:
    if not answer.data["approval"]:
        raise PermissionError("the calculation was not approved")
    return ResumableResult(
        context={**context, "humanApproval": True, "isWaitingAllProducts": True},
        services=[_product([item["value"], item["weight"]]) for item in context["inputItems"]],
    )


def _add(step: ResumableContext) -> ResumableResult | None:
    if step.awaiting:
        return None
    results = [answer.data["result"] for answer in step.collected_events[_PRODUCT]]
    return ResumableResult(
        context={**(step.context or {}), "isWaitingAllProducts": False},
        services=[Emission(type="com.calculator.add", data={"numbers": results})],
    )


def _product(numbers: Sequence[float]) -> Emission:
    return Emission(type="com.calculator.product", data={"numbers": list(numbers)})


def create_weighted_average_workflow(memory: MachineMemory | None = None) -> ArvoResumable:
    """Make the handler ``arvo.orc.weighted.average``."""
    return create_arvo_resumable(
        contract=WEIGHTED_AVERAGE_CONTRACT,
        services={
            "approval": HUMAN_APPROVAL_CONTRACT.version("1.0.0"),
            "add": ADD_CONTRACT.version("1.0.0"),
            "product": PRODUCT_CONTRACT.version("1.0.0"),
        },
        memory=memory,
        handler={"1.0.0": _step},
    )
