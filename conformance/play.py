"""Play: a scenario, step by step, with a client in a database of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg

from conformance.client import Refused
from conformance.match import Names, fault, filled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conformance.client import Client
    from conformance.place import Place
    from conformance.scenario import Scenario

_PAUSE_SECONDS = 0.05
_OPTIONS = frozenset({"expect", "expect_error", "within"})
_SHAPES: dict[str, frozenset[str]] = {
    "call": frozenset({"with", "session"}) | _OPTIONS,
    "ask": frozenset({"with"}) | _OPTIONS,
    "observe": frozenset({"with", "expect", "within"}),
    "hold": frozenset({"with"}),
    "let_go": frozenset(),
    "advance": frozenset(),
    "elapse": frozenset(),
    "terminate": frozenset(),
    "notes": frozenset(),
}
"""The verbs of steps, and what may stand beside each."""

EVENT: dict[str, Any] = {
    "id": None,
    "source": "com.example.client",
    "specversion": "1.0",
    "type": "com.example.asked",
    "subject": "subject/1",
    "datacontenttype": "application/cloudevents+json;charset=UTF-8;profile=arvo",
    "dataschema": None,
    "data": {},
    "time": "2030-01-01T00:00:00.000+00:00",
    "to": "com.example.handler",
    "accesscontrol": None,
    "redirectto": None,
    "executionunits": None,
    "traceparent": None,
    "tracestate": None,
    "parentid": None,
    "domain": None,
}
"""What a scenario leaves out of an event; ``without`` names keys that it shall not have."""


class Failed(Exception):  # noqa: N818 - named for what happened
    """A step did not go as the scenario expects."""


def play(client: Client, scenario: Scenario, place: Place, patience: float = float("inf")) -> None:
    """Play a scenario.

    Args:
        client: the client under test.
        scenario: what happens.
        place: where.
        patience: seconds that a step is waited for at most, whatever its ``within`` says.

    Raises:
        Failed: a step did not go as expected.
        Misbehaved: the client does not keep the protocol.
    """
    if scenario.clock is not None:
        place.stop_clock(scenario.clock)
    client.ask("connect", dsn=place.clients_dsn)
    names: Names = {}
    for number, step in enumerate(scenario.steps, start=1):
        try:
            verb = _verb(step)
            found = _take(client, place, verb, _hastened(step, patience), names)
        except (Refused, KeyError, ValueError, psycopg.Error) as error:
            found = f"{type(error).__name__}: {error}"
        if found is not None:
            raise Failed(f"{scenario.name}, step {number} ({step}): {found}")


def _hastened(step: Mapping[str, Any], patience: float) -> dict[str, Any]:
    return {**step, "within": min(step.get("within", 0), patience)}


def _verb(step: Mapping[str, Any]) -> str:
    (verb,) = step.keys() & _SHAPES.keys()
    if unknown := step.keys() - _SHAPES[verb] - {verb}:
        raise ValueError(f"{verb} has no {sorted(unknown)}")
    return verb


def _take(
    client: Client, place: Place, verb: str, step: Mapping[str, Any], names: Names
) -> str | None:
    given = completed(filled(step.get("with", {}), names))
    match verb:
        case "call":
            session = {"session": step["session"]} if "session" in step else {}
            return _judged(
                lambda: client.ask("call", function=step["call"], arguments=given, **session),
                step,
                names,
            )
        case "ask":
            return _judged(lambda: client.ask(step["ask"], **given), step, names)
        case "observe":
            return _judged(lambda: place.observe(step["observe"], given), step, names)
        case "hold":
            place.hold(step["hold"], given)
        case "let_go":
            place.let_go()
        case "advance":
            place.advance(step["advance"])
            client.ask("connect", dsn=place.clients_dsn)
        case "elapse":
            time.sleep(step["elapse"])
        case "terminate":
            return None if place.terminate() else "there was no connection"
        case "notes":
            return fault(step["notes"], place.notes(), names)
    return None


def _judged(ask: Callable[[], Any], step: Mapping[str, Any], names: Names) -> str | None:
    deadline = time.monotonic() + step.get("within", 0)
    while True:
        attempt = dict(names)
        found = _tried(ask, step, attempt)
        if found is None:
            names.update(attempt)
            return None
        if time.monotonic() >= deadline:
            return found
        time.sleep(_PAUSE_SECONDS)


def _tried(ask: Callable[[], Any], step: Mapping[str, Any], names: Names) -> str | None:
    try:
        answer = ask()
    except Refused as refused:
        if "expect_error" not in step:
            return f"refused: {refused.error}"
        return fault(step["expect_error"], refused.error, names, "error")
    if "expect_error" in step:
        return f"answered {answer!r}, where an error was expected"
    if "expect" not in step:
        return None
    return fault(step["expect"], answer, names)


def completed(given: Any) -> Any:  # noqa: ANN401 - any JSON
    """Give what a step says, with every event in it whole."""
    if isinstance(given, list):
        return [completed(item) for item in given]
    if not isinstance(given, dict):
        return given
    whole: dict[str, Any] = {}
    for key, value in given.items():
        if key == "event" and isinstance(value, dict):
            whole[key] = _event(value)
        elif key in {"events", "emit"} and isinstance(value, list):
            whole[key] = [_event(item) if isinstance(item, dict) else item for item in value]
        else:
            whole[key] = completed(value)
    return whole


def _event(given: Mapping[str, Any]) -> dict[str, Any]:
    core, arvo = list(EVENT)[:9], list(EVENT)[9:]
    own = {key: value for key, value in given.items() if key not in EVENT and key != "without"}
    whole = {key: given.get(key, EVENT[key]) for key in core} | own
    whole |= {key: given.get(key, EVENT[key]) for key in arvo}
    return {key: value for key, value in whole.items() if key not in given.get("without", ())}
