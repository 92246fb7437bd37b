"""ArvoMachine: one version of an orchestrator, a chart with its contracts (section 4.6)."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from statemachine.engines.async_ import AsyncEngine
from typing_extensions import TypeVar

from arvo_plpg.frozen import freeze, thaw
from arvo_plpg.handlers.chart import ArvoStateChart, ChartModel
from arvo_plpg.handlers.chart_snapshot import (
    configuration_of,
    definition_text,
    history_value,
    restore_history,
    state_ids,
    state_value,
)
from arvo_plpg.handlers.service_contracts import ServiceContracts
from arvo_plpg.payload import EventData
from arvo_plpg.runtime.thread import in_thread
from arvo_plpg.violation import ConfigViolation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arvo_plpg.contract import VersionedContract, VersionedOrchestratorContract
    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.handlers.emission import Emission


_Output = TypeVar("_Output", bound=EventData)


@dataclass(frozen=True, slots=True)
class MachineStep:
    """What one event did to a machine: the snapshot to keep, and the emissions."""

    snapshot: dict[str, Any]
    emissions: list[Emission[Any]]

    @property
    def finished(self) -> bool:
        """Whether the machine is in a final state."""
        return bool(self.snapshot["status"] == "done")


class ArvoMachine:
    """One version of an orchestrator. Make one by :func:`create_arvo_machine`.

    Attributes:
        chart: the statechart.
        contracts: own and services'.
        definition: JSON text that describes the chart.
    """

    def __init__(self, chart: type[ArvoStateChart], contracts: ServiceContracts) -> None:
        self.chart = chart
        self.contracts = contracts
        self.definition = definition_text(chart)
        self._is_async = self._check()

    @property
    def version(self) -> str:
        """The version of the own contract."""
        return self.contracts.own.version

    @property
    def requires_resource_locking(self) -> bool:
        """Whether two events of one run may usefully meet: parallel states, several answers."""
        return self.contracts.any_with_several_answers or any(
            state.parallel for state in self.chart.states_map.values()
        )

    async def start(self, event: ArvoEvent) -> MachineStep:
        """Run the machine from its initial state."""
        model = ChartModel(_json_copy(self.chart.initial_context(event)))
        if self._is_async:
            chart = self.chart(model=model, arvo_event=event)
            await _settled(chart.activate_initial_state())
        else:
            chart = await in_thread(partial(self.chart, arvo_event=event), model)
        return self._snapshot(chart, model)

    async def resume(self, snapshot: Mapping[str, Any], event: ArvoEvent) -> MachineStep:
        """Run the machine on, from a stored snapshot. A finished one stays as it is.

        Raises:
            ConfigViolation: the snapshot is not of this chart.
        """
        if snapshot.get("status") != "active":
            return MachineStep(thaw(dict(snapshot)), [])
        model = ChartModel(
            _json_copy(snapshot.get("context") or {}),
            configuration_of(self.chart, snapshot.get("value")),
        )
        chart = self.chart(model=model)
        restore_history(chart, snapshot.get("historyValue") or {})
        if self._is_async:
            await _settled(chart.send(event.type, arvo_event=event))
        else:
            await in_thread(partial(chart.send, arvo_event=event), event.type)
        return self._snapshot(chart, model)

    def _snapshot(self, chart: ArvoStateChart, model: ChartModel) -> MachineStep:
        finished = chart.is_terminated
        snapshot: dict[str, Any] = {"status": "done" if finished else "active"}
        if finished and (output := chart.output()) is not None:
            snapshot["output"] = _json_copy(output)
        snapshot["value"] = state_value(chart)
        snapshot["historyValue"] = history_value(chart)
        snapshot["context"] = _json_copy(model.context)
        snapshot["children"] = {}
        return MachineStep(snapshot, [self.contracts.typed(wish) for wish in model.emissions])

    def _check(self) -> bool:
        """Refuse what cannot outlive a step, and find out which engine the chart needs."""
        name = self.chart.__name__
        ids = state_ids(self.chart.states)
        repeated = sorted({id_ for id_ in ids if ids.count(id_) > 1})
        if repeated:
            raise ConfigViolation(
                f"Chart '{name}' has several states named {', '.join(repeated)}; "
                "python-statemachine knows a state by its name alone, so give each its own"
            )
        first = next(iter(self.chart.states_map))
        probe = self.chart(model=ChartModel({}, first))
        registry = probe._callbacks  # noqa: SLF001 - the library tells in no other way
        for state in self.chart.states_map.values():
            if state.invoke.key in registry:
                raise ConfigViolation(
                    f"State '{state.id}' of chart '{name}' invokes something; emit an event to a "
                    "service instead, nothing runs between two events"
                )
        delayed = [event.id for event in probe.events if event.delay]
        if delayed:
            raise ConfigViolation(
                f"Chart '{name}' has delayed events ({', '.join(delayed)}); dispatch a deferred "
                "event instead, nothing runs between two events"
            )
        engine: object = probe._engine  # noqa: SLF001 - as above
        return isinstance(engine, AsyncEngine)


def _json_copy(value: object) -> dict[str, Any]:
    copied: dict[str, Any] = thaw(freeze(value, "context"))
    return copied


async def _settled(result: object) -> None:
    if inspect.isawaitable(result):
        await result


def create_arvo_machine(
    *,
    chart: type[ArvoStateChart[_Output]],
    contract: VersionedOrchestratorContract[Any, _Output],
    services: Mapping[str, VersionedContract[Any, Any]],
) -> ArvoMachine:
    """Make one version of an orchestrator.

    Args:
        chart: the statechart class.
        contract: the version of the own contract that it implements.
        services: versions of the contracts of the services that it calls, by any name.

    Raises:
        ConfigViolation: the chart invokes or delays; or two services share a contract URI.
    """
    return ArvoMachine(chart, ServiceContracts(contract, services))
