"""ArvoOrchestrator: a workflow written as statecharts, one for each version (section 4.6)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from arvo_plpg.handlers.emission import Emission
from arvo_plpg.handlers.emission_builder import EmissionDomains
from arvo_plpg.handlers.workflow_handler import Step, StepOutcome, WorkflowHandler
from arvo_plpg.model_error import InvalidContractError
from arvo_plpg.violation import ConfigViolation, ExecutionViolation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arvo_plpg.contract import ArvoOrchestratorContract
    from arvo_plpg.handlers.machine import ArvoMachine
    from arvo_plpg.machine_memory import MachineMemory


class ArvoOrchestrator(WorkflowHandler):
    """A state-machine workflow. Make one by :func:`create_arvo_orchestrator`."""

    kind: ClassVar[str] = "orchestrator"

    def __init__(
        self,
        *,
        contract: ArvoOrchestratorContract,
        machines: Sequence[ArvoMachine],
        memory: MachineMemory | None,
        executionunits: float,
        requires_resource_locking: bool | None,
        domains: EmissionDomains,
        span_name: str | None,
    ) -> None:
        by_version = {machine.version: machine for machine in machines}
        if not machines or len(by_version) != len(machines):
            raise InvalidContractError(
                f"orchestrator '{contract.type}' needs machines of distinct versions, "
                f"not {[machine.version for machine in machines]}"
            )
        strangers = [machine.version for machine in machines if _uri(machine) != contract.uri]
        if strangers:
            raise ConfigViolation(
                f"The machines of '{contract.type}' must share its contract; "
                f"versions {strangers} have another"
            )
        super().__init__(
            contract=contract,
            memory=memory,
            executionunits=executionunits,
            requires_resource_locking=(
                any(machine.requires_resource_locking for machine in machines)
                if requires_resource_locking is None
                else requires_resource_locking
            ),
            domains=domains,
            span_name=span_name,
        )
        self._machines = by_version

    async def _run_step(self, step: Step) -> StepOutcome:
        version = step.subject.orchestrator.version
        machine = self._machines.get(version)
        if machine is None:
            raise ConfigViolation(
                f"No machine found for orchestrator '{self.source}' version {version}; it has "
                f"{', '.join(self._machines)}"
            )
        step.span.set_attribute("arvo.contract.version", version)
        machine.contracts.check_input(step.event)
        before: Mapping[str, Any] = (step.state.get("state") if step.state else None) or {}
        if step.state is None:
            if step.event.type != self.source:
                raise ExecutionViolation(
                    f"'{self.source}' cannot start with an event of type '{step.event.type}'"
                )
            ran = await machine.start(step.event)
        else:
            ran = await machine.resume(before, step.event)
        emissions = list(ran.emissions)
        output = ran.snapshot.get("output")
        if output is not None and _text(output) != _text(before.get("output")):
            emissions.append(Emission(type=machine.contracts.own.complete.type, data=output))
        events = self._builder(step, machine.contracts).build(emissions)
        record = {
            "executionStatus": "normal",
            "initEventId": step.init_event_id,
            "subject": step.event.subject,
            "parentSubject": step.parent_subject,
            "status": ran.snapshot["status"],
            "value": ran.snapshot["value"],
            "state": ran.snapshot,
            "events": {
                "consumed": step.event.to_dict(),
                "produced": [event.to_dict() for event in events],
            },
            "machineDefinition": machine.definition,
        }
        return StepOutcome(record, events, finished=ran.finished)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _uri(machine: ArvoMachine) -> str:
    return machine.contracts.own.uri


def create_arvo_orchestrator(
    *,
    contract: ArvoOrchestratorContract,
    machines: Sequence[ArvoMachine],
    memory: MachineMemory | None = None,
    executionunits: float = 0,
    requires_resource_locking: bool | None = None,
    domains: EmissionDomains | None = None,
    span_name: str | None = None,
) -> ArvoOrchestrator:
    """Make a state-machine workflow.

    Args:
        contract: its own contract.
        machines: a machine for each version that it shall run.
        memory: where the state lives; a worker binds its own.
        executionunits: default cost of what it emits.
        requires_resource_locking: by default, whether a machine has parallel states or a service
            with more than one answer.
        domains: default domains of what it emits.
        span_name: name of its spans.

    Raises:
        InvalidContractError: there is no machine, or two of one version.
        ConfigViolation: a machine has another contract.
    """
    return ArvoOrchestrator(
        contract=contract,
        machines=machines,
        memory=memory,
        executionunits=executionunits,
        requires_resource_locking=requires_resource_locking,
        domains=domains or EmissionDomains(),
        span_name=span_name,
    )
