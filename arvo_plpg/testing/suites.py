"""Suites: tables of what a handler answers, step by step.

A step gives a handler one event, made of what the step before emitted, and judges the answer. There
is no broker between the steps; a workflow's state lives in the database of the test::

    GREETING = Suite(
        handler=greet,
        cases=[Case(name="greets", steps=[Step(input=ask, events=lambda events: …)])],
    )

    @in_suites(GREETING)
    async def test_greeting(suite, case, broker):
        await run_case(suite, case, broker)
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arvo_plpg.event import ArvoEvent
from arvo_plpg.handler import (
    AnyHandler,
    BatchHandler,
    Handler,
    StatefulHandler,
    is_batched,
    is_stateful,
)
from arvo_plpg.memory import MemoryConfig, connect_postgres_machine_memory

if TYPE_CHECKING:
    import pytest

    from arvo_plpg.machine_memory import MachineMemory
    from arvo_plpg.testing.broker import TestBroker

Judge = Callable[[Any], bool | Awaitable[bool] | None]
"""Looks at an answer: it fails if it gives False or raises."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One event for the handler, and what it must lead to.

    Attributes:
        input: the event, or a function that makes it of what the step before emitted.
        events: judges the list of emitted events; None expects an answer and looks no further.
        error: the class of the error that is expected, or a judge of it.
    """

    input: ArvoEvent | Callable[[list[ArvoEvent]], ArvoEvent]
    events: Judge | None = None
    error: type[Exception] | Judge | None = None

    def __post_init__(self) -> None:
        if self.events is not None and self.error is not None:
            raise ValueError("a step leads either to events or to an error")


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """How often a case runs, for what does not always succeed.

    Attributes:
        times: how often.
        success_threshold: percentage of the runs that must succeed.
    """

    times: int
    success_threshold: float = 100.0


@dataclass(frozen=True, kw_only=True)
class Case:
    """Steps that follow each other.

    Attributes:
        name: for the report.
        steps: in order.
        repeat: None for once.
    """

    name: str
    steps: Sequence[Step]
    repeat: Repeat | None = None


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The cases of one handler.

    Attributes:
        handler: the handler, or a function that makes one for each run of a case.
        cases: the cases.
        name: for the report; the handler's source by default.
    """

    handler: AnyHandler | Callable[[], AnyHandler]
    cases: Sequence[Case]
    name: str | None = None

    def make_handler(self) -> AnyHandler:
        """Give the handler of one run."""
        handler = self.handler
        if isinstance(handler, Handler | StatefulHandler | BatchHandler) and not isinstance(
            handler, type
        ):
            return handler
        return handler()


def in_suites(*suites: Suite) -> pytest.MarkDecorator:
    """Run a test, which takes ``suite`` and ``case``, for each case of the suites."""
    import pytest  # noqa: PLC0415 - only who tests has it

    return pytest.mark.parametrize(
        ("suite", "case"),
        [
            pytest.param(
                suite, case, id=f"{suite.name or suite.make_handler().source}: {case.name}"
            )
            for suite in suites
            for case in suite.cases
        ],
    )


async def run_case(suite: Suite, case: Case, broker: TestBroker) -> None:
    """Run one case.

    Raises:
        AssertionError: a step, or too many of the repetitions, did not lead to what is expected.
    """
    if case.repeat is None:
        await _run_once(suite, case, broker)
        return
    failures: list[Exception] = []
    for _ in range(case.repeat.times):
        try:
            await _run_once(suite, case, broker)
        except Exception as error:  # noqa: BLE001 - it is counted, and told below
            failures.append(error)
    succeeded = 100 * (case.repeat.times - len(failures)) / case.repeat.times
    if succeeded < case.repeat.success_threshold:
        raise AssertionError(
            f"{case.name!r} succeeded in {succeeded:g} % of {case.repeat.times} runs, not in "
            f"{case.repeat.success_threshold:g} %; the last failure: {failures[-1]!r}"
        ) from failures[-1]


async def _run_once(suite: Suite, case: Case, broker: TestBroker) -> None:
    handler = suite.make_handler()
    if not is_stateful(handler):
        await _steps(handler, case, {})
        return
    memory = await connect_postgres_machine_memory(
        config=MemoryConfig(connection_string=broker.dsn, max=1, schema_name=broker.schema)
    )
    try:
        await _steps(handler, case, {"memory": memory})
    finally:
        await memory.close()


async def _answer(
    handler: AnyHandler, event: ArvoEvent, given: dict[str, MachineMemory]
) -> list[ArvoEvent]:
    if is_batched(handler):
        outcome = (await handler.execute_many([event]))[0]
        if isinstance(outcome, Exception):
            raise outcome
        return list(outcome)
    return list(await handler.execute(event, **given))


async def _steps(handler: AnyHandler, case: Case, given: dict[str, MachineMemory]) -> None:
    events: list[ArvoEvent] = []
    for number, step in enumerate(case.steps, 1):
        where = f"step {number} of {case.name!r}"
        event = step.input if isinstance(step.input, ArvoEvent) else step.input(events)
        try:
            events = await _answer(handler, event, given)
        except Exception as error:
            if step.error is None:
                error.add_note(f"in {where}")
                raise
            await _judge_error(step.error, error, where)
            events = []
            continue
        if step.error is not None:
            raise AssertionError(f"{where} emitted {_shown(events)} and no error")
        if step.events is not None and await _is_refused(step.events, events):
            raise AssertionError(f"{where} emitted {_shown(events)}, which is not what is expected")


async def _judge_error(expected: type[Exception] | Judge, error: Exception, where: str) -> None:
    if isinstance(expected, type):
        refused = not isinstance(error, expected)
    else:
        refused = await _is_refused(expected, error)
    if refused:
        raise AssertionError(f"{where} raised {error!r}, which is not what is expected") from error


async def _is_refused(judge: Judge, answer: object) -> bool:
    verdict = judge(answer)
    if inspect.isawaitable(verdict):
        verdict = await verdict
    return verdict is False


def _shown(events: Sequence[ArvoEvent]) -> str:
    return ", ".join(f"{event.type} {event.data!r:.200}" for event in events) or "nothing"
