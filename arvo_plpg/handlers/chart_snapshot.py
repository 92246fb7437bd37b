"""ChartSnapshot: a chart's configuration as the JSON that upstream's records use.

An atomic state is its id; a compound state is ``{id: child}``; the regions of a parallel state are
the keys of one object.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from statemachine.orderedset import OrderedSet

from arvo_plpg.violation import ConfigViolation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statemachine import State

    from arvo_plpg.handlers.chart import ArvoStateChart

StateValue = str | dict[str, Any]


def state_value(chart: ArvoStateChart) -> StateValue | None:
    """Give the active states of a chart as JSON; None before the start."""
    active = {state.id for state in chart.configuration}
    return _value_below(list(chart.states), active)


def _value_below(states: Iterable[State], active: set[str]) -> StateValue | None:
    for state in states:
        if state.id in active:
            return _value_of(state, active)
    return None


def _value_of(state: State, active: set[str]) -> StateValue:
    if not state.states:
        return state.id
    if state.parallel:
        return {
            state.id: {
                region.id: _inner(_value_of(region, active), region.id) for region in state.states
            }
        }
    inner = _value_below(state.states, active)
    return {state.id: {} if inner is None else inner}


def _inner(value: StateValue, region: str) -> StateValue:
    """Take the wrapping of a region's own id off: its key says it already."""
    return value[region] if isinstance(value, dict) else {}


def active_ids(value: StateValue | None) -> list[str]:
    """Give the ids of all active states in a value."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    return [id_ for key, inner in value.items() for id_ in (key, *active_ids(inner))]


def state_ids(states: Iterable[State]) -> list[str]:
    """Give the ids of states and of all states inside them."""
    return [id_ for state in states for id_ in (state.id, *state_ids(state.states))]


def configuration_of(chart: type[ArvoStateChart], value: StateValue | None) -> Any:  # noqa: ANN401
    """Give what python-statemachine keeps as the active states for a stored value.

    Raises:
        ConfigViolation: the chart has no such state: it is not the chart that wrote the value.
    """
    by_id = {state.id: key for key, state in chart.states_map.items()}
    ids = active_ids(value)
    unknown = [id_ for id_ in ids if id_ not in by_id]
    if unknown or not ids:
        raise ConfigViolation(
            f"The stored state {value!r} is none of chart '{chart.__name__}'; "
            "a changed chart needs a new contract version"
        )
    keys = [by_id[id_] for id_ in ids]
    return keys[0] if len(keys) == 1 else OrderedSet(keys)


def history_value(chart: ArvoStateChart) -> dict[str, list[str]]:
    """Give what the history states remember, as JSON."""
    return {key: [state.id for state in states] for key, states in chart.history_values.items()}


def restore_history(chart: ArvoStateChart, stored: dict[str, list[str]]) -> None:
    """Give a chart back what its history states remember.

    Raises:
        ConfigViolation: the chart has no such state.
    """
    by_id = {state.id: state for state in chart.states_map.values()}
    unknown = [id_ for ids in stored.values() for id_ in ids if id_ not in by_id]
    if unknown:
        raise ConfigViolation(f"The stored history names states that are no more: {unknown}")
    chart.history_values = {key: [by_id[id_] for id_ in ids] for key, ids in stored.items()}


def definition_text(chart: type[ArvoStateChart]) -> str:
    """Describe a chart as JSON text in the manner of upstream's ``machineDefinition``."""
    definition = {"id": "machine", **_children(list(chart.states))}
    return json.dumps(definition, ensure_ascii=False, separators=(",", ":"))


def _children(states: list[State]) -> dict[str, Any]:
    initial = next((state.id for state in states if state.initial), states[0].id)
    return {"initial": initial, "states": {state.id: _described(state) for state in states}}


def _described(state: State) -> dict[str, Any]:
    described: dict[str, Any] = {}
    if state.final:
        described["type"] = "final"
    elif state.parallel:
        described["type"] = "parallel"
    described |= _arrows(state)
    if state.states:
        inner = _children(state.states)
        if state.parallel:
            del inner["initial"]
        described |= inner
    return described


def _arrows(state: State) -> dict[str, Any]:
    """Describe the transitions out of a state: ``on`` events, and ``always``."""
    on: dict[str, Any] = {}
    always = []
    for transition in state.transitions:
        if transition.initial:
            continue
        target = transition.target
        arrow = {} if target is None else {"target": target.id}
        if transition.is_eventless:
            always.append(arrow)
        for event in str(transition.event or "").split():
            on[event] = [*_listed(on[event]), arrow] if event in on else arrow
    return ({"on": on} if on else {}) | ({"always": always} if always else {})


def _listed(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else [value]
