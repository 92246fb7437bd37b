"""ArvoStateChart: a statechart of python-statemachine that runs on events.

Transitions are triggered by event types. Their names have dots, so name them with ``event=``, and
name actions with ``on=``; python-statemachine's convention ``on_<event>`` cannot spell them.
A transition for ``evt.a.b`` is also taken for ``evt.a.b.c`` (the SCXML rule)::

    class Payment(ArvoStateChart[Receipt]):
        charge = State(initial=True)
        paid = State(final=True)

        charge.to(paid, event="evt.card.charge.success", on="keep_receipt")

        def on_enter_charge(self) -> None:
            self.emit(Emission(type="com.card.charge", data={"cents": self.context["cents"]}))

        def keep_receipt(self, arvo_event: ArvoEvent) -> None:
            self.context["receipt"] = arvo_event.data["receipt"]

        def output(self) -> Receipt:
            return Receipt(number=self.context["receipt"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

from pydantic import BaseModel
from statemachine import StateChart
from typing_extensions import TypeVar

from arvo_plpg.handlers.emission import Emission
from arvo_plpg.payload import EventData

if TYPE_CHECKING:
    from arvo_plpg.event import ArvoEvent

_Output_co = TypeVar("_Output_co", covariant=True, default=EventData)


class ChartModel:
    """What a chart remembers and produces; python-statemachine keeps the active states here.

    Attributes:
        state: the active state or states; None before the start.
        context: extended state, a JSON object.
        emissions: what was emitted in this step.
    """

    def __init__(self, context: dict[str, Any], state: Any = None) -> None:  # noqa: ANN401
        self.state = state
        self.context = context
        self.emissions: list[Emission[Any]] = []


class ArvoStateChart(StateChart[ChartModel], Generic[_Output_co]):
    """Base of the charts of orchestrators; ``ArvoStateChart[Model]`` if its output is a model.

    Callbacks may be ``async`` or plain; charts with only plain ones run in a thread. Errors of
    callbacks end the workflow. Invocations and delays are refused: nothing may go on between two
    events. Callbacks get the consumed event as ``arvo_event``.
    """

    catch_errors_as_events = False

    @classmethod
    def initial_context(cls, event: ArvoEvent) -> dict[str, Any]:
        """Make the context of a new run from its init event; by default empty."""
        del event
        return {}

    @property
    def context(self) -> dict[str, Any]:
        """The extended state; change it freely, it is kept as JSON."""
        return self.model.context

    def emit(self, emission: Emission[Any] | BaseModel) -> None:
        """Emit an event when the step is over: an emission, or a model that a service accepts."""
        self.model.emissions.append(
            Emission(data=emission) if isinstance(emission, BaseModel) else emission
        )

    def output(self) -> _Output_co | None:
        """Give the data of the completion event; asked when a top-level final state is reached."""
        return None
