"""The average of some numbers, as a state machine: add them up, multiply by 1/n."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field
from statemachine import State

from arvo_plpg.contract import create_arvo_orchestrator_contract
from arvo_plpg.demo.calculator import ADD_CONTRACT, PRODUCT_CONTRACT
from arvo_plpg.handlers.chart import ArvoStateChart
from arvo_plpg.handlers.emission import Emission
from arvo_plpg.handlers.machine import create_arvo_machine
from arvo_plpg.handlers.orchestrator import ArvoOrchestrator, create_arvo_orchestrator
from arvo_plpg.payload import SystemErrorData

if TYPE_CHECKING:
    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.machine_memory import MachineMemory


class AverageInput(BaseModel):
    """The numbers to average."""

    numbers: Annotated[list[int | float], Field(min_length=2)]


class AverageOutput(BaseModel):
    """The average, or the errors that kept us from it."""

    success: bool
    average: int | float | None
    errors: list[SystemErrorData] | None


AVERAGE_CONTRACT = create_arvo_orchestrator_contract(
    uri="#/org/amas/calculator/average",
    name="workflow.average",
    versions={"1.0.0": {"init": AverageInput, "complete": AverageOutput}},
)


class AverageChart(ArvoStateChart):
    """add → divide → done, or error."""

    add = State(initial=True)
    divide = State()
    done = State(final=True)
    error = State(final=True)

    add.to(divide, event="evt.calculator.add.success", on="keep_sum")
    add.to(error, event="sys.com.calculator.add.error", on="keep_error")
    divide.to(done, event="evt.calculator.product.success", on="keep_average")
    divide.to(error, event="sys.com.calculator.product.error", on="keep_error")

    @classmethod
    def initial_context(cls, event: ArvoEvent) -> dict[str, Any]:
        """Remember the numbers."""
        return {"numbers": event.data["numbers"], "sum": None, "average": None, "errors": []}

    def on_enter_add(self) -> None:
        """Ask for the sum."""
        self.emit(Emission(type="com.calculator.add", data={"numbers": self.context["numbers"]}))

    def keep_sum(self, arvo_event: ArvoEvent) -> None:
        """Remember the sum."""
        self.context["sum"] = arvo_event.data["result"]

    def on_enter_divide(self) -> None:
        """Ask for the sum times 1/n."""
        factors = [self.context["sum"], 1 / len(self.context["numbers"])]
        self.emit(Emission(type="com.calculator.product", data={"numbers": factors}))

    def keep_average(self, arvo_event: ArvoEvent) -> None:
        """Remember the average."""
        self.context["average"] = arvo_event.data["result"]

    def keep_error(self, arvo_event: ArvoEvent) -> None:
        """Remember why it failed."""
        self.context["errors"].append(arvo_event.data)

    def output(self) -> dict[str, Any]:
        """Tell the average, or the errors."""
        errors = self.context["errors"]
        return {
            "average": self.context["average"],
            "errors": errors or None,
            "success": not errors,
        }


def create_average_workflow(memory: MachineMemory | None = None) -> ArvoOrchestrator:
    """Make the handler ``arvo.orc.workflow.average``."""
    return create_arvo_orchestrator(
        contract=AVERAGE_CONTRACT,
        memory=memory,
        machines=[
            create_arvo_machine(
                chart=AverageChart,
                contract=AVERAGE_CONTRACT.version("1.0.0"),
                services={
                    "add": ADD_CONTRACT.version("1.0.0"),
                    "product": PRODUCT_CONTRACT.version("1.0.0"),
                },
            )
        ],
    )
