"""Tables of what handlers answer."""

import itertools

import pytest
from pydantic import BaseModel

from arvo_plpg import (
    ArvoEvent,
    ConfigViolation,
    ContractViolation,
    ResumableResult,
    create_arvo_contract,
    create_arvo_event_factory,
    create_arvo_event_handler,
    create_arvo_orchestrator_contract,
    create_arvo_resumable,
    workflow_version,
)
from arvo_plpg.contract_version import contract_version
from arvo_plpg.testing import Case, Repeat, Step, Suite, in_suites, run_case


class Number(BaseModel):
    n: int


DOUBLE_1 = contract_version("1.0.0", accepts=Number).emitting("evt.number.doubled", Number)
DOUBLE = create_arvo_contract(uri="#/double", type="com.number.double", versions=[DOUBLE_1])
FLOW_1 = workflow_version("1.0.0", init=Number, complete=Number)
FLOW = create_arvo_orchestrator_contract(uri="#/flow", name="doubling", versions=[FLOW_1])
ASK = create_arvo_event_factory(DOUBLE.version(DOUBLE_1))
INIT = create_arvo_event_factory(FLOW.version(FLOW_1))


@DOUBLE_1.handler
def double(context):
    return Number(n=context.payload.n * 2)


@FLOW_1.resumable
def flow(context):
    if context.payload is not None:
        return ResumableResult(context={"n": context.payload.n}, services=[context.payload])
    return ResumableResult(output=Number(n=context.context["n"] + context.service.data["n"]))


doubler = create_arvo_event_handler(contract=DOUBLE, handler=[double])


def doubling():
    return create_arvo_resumable(
        contract=FLOW, services={"double": DOUBLE.version(DOUBLE_1)}, handler=[flow]
    )


def ask(n=1, **more):
    return ASK.accepts(source="com.test.client", data=Number(n=n), **more)


def foreign():
    return ArvoEvent.from_dict(ask().to_dict() | {"dataschema": "#/other/1.0.0"})


def answer(events):
    (asked,) = events
    return ASK.emits(
        type="evt.number.doubled", source=DOUBLE.type, data=Number(n=asked.data["n"] * 2),
        subject=asked.subject, parentid=asked.id, to=FLOW.type,
    )  # fmt: skip


def numbers(*wanted):
    return lambda events: [event.data["n"] for event in events] == list(wanted)


PLAIN = Suite(
    handler=doubler,
    cases=[
        Case(name="doubles", steps=[Step(input=ask(2), events=numbers(4))]),
        Case(
            name="doubles again what it gave",
            steps=[
                Step(input=ask(2)),
                Step(input=lambda events: ask(events[0].data["n"]), events=numbers(8)),
            ],
        ),
        Case(
            name="refuses another contract",
            steps=[
                Step(
                    input=INIT.init(source="com.test.client", data=Number(n=1)),
                    error=ConfigViolation,
                )
            ],
        ),
        Case(
            name="many times", steps=[Step(input=ask(), events=numbers(2))], repeat=Repeat(times=5)
        ),
    ],
)
STATEFUL = Suite(
    name="workflow",
    handler=doubling,
    cases=[
        Case(
            name="adds",
            steps=[
                Step(
                    input=lambda _: INIT.init(source="com.test.client", data=Number(n=5)),
                    events=numbers(5),
                ),
                Step(input=answer, events=numbers(15)),
            ],
            repeat=Repeat(times=2),
        )
    ],
)


@in_suites(PLAIN, STATEFUL)
async def test_suites(suite, case, broker):
    await run_case(suite, case, broker)


def test_cases_are_named_for_the_report():
    mark = in_suites(PLAIN, STATEFUL)
    assert mark.name == "parametrize"
    assert [param.id for param in mark.args[1]] == [
        "com.number.double: doubles",
        "com.number.double: doubles again what it gave",
        "com.number.double: refuses another contract",
        "com.number.double: many times",
        "workflow: adds",
    ]


async def later(verdict):
    return verdict


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (
            Step(input=ask(), events=numbers(3)),
            r"step 1 of 'x' emitted evt.number.doubled .*2.*not",
        ),
        (Step(input=ask(), events=lambda _: later(False)), "not what is expected"),
        (Step(input=ask(), error=ValueError), r"emitted evt.number.doubled .* and no error"),
        (
            Step(input=foreign(), error=ConfigViolation),
            "raised ContractViolation.*not what is expected",
        ),
        (
            Step(input=foreign(), error=lambda error: "moon" in str(error)),
            "raised ContractViolation",
        ),
    ],
)
async def test_what_is_not_expected_fails(step, words):
    with pytest.raises(AssertionError, match=words):
        await run_case(Suite(handler=doubler, cases=[]), Case(name="x", steps=[step]), None)


async def test_judges_may_assert_and_may_be_asynchronous():
    def insist(events):
        assert events[0].data["n"] == 2

    steps = [
        Step(input=ask(), events=insist),
        Step(input=ask(), events=lambda events: later(len(events) == 1)),
        Step(input=ask(), events=lambda events: None),
    ]
    await run_case(Suite(handler=doubler, cases=[]), Case(name="x", steps=steps), None)


async def test_an_error_that_nobody_expects_comes_through():
    case = Case(name="x", steps=[Step(input=ask()), Step(input=foreign())])
    with pytest.raises(ContractViolation) as caught:
        await run_case(Suite(handler=doubler, cases=[]), case, None)
    assert caught.value.__notes__ == ["in step 2 of 'x'"]


@pytest.mark.parametrize(("threshold", "succeeds"), [(50, True), (51, False)])
async def test_a_case_may_fail_now_and_then(threshold, succeeds):
    turns = itertools.count()
    case = Case(
        name="x",
        steps=[Step(input=ask(), events=lambda _: next(turns) % 2 == 0)],
        repeat=Repeat(times=4, success_threshold=threshold),
    )
    suite = Suite(handler=doubler, cases=[case])
    if succeeds:
        await run_case(suite, case, None)
        return
    with pytest.raises(AssertionError, match="50 % of 4 runs, not in 51 %"):
        await run_case(suite, case, None)


def test_a_step_leads_to_one_thing():
    with pytest.raises(ValueError, match="either"):
        Step(input=ask(), events=numbers(), error=ValueError)


def test_a_class_of_handlers_makes_one_for_each_run():
    class Silent:
        source = "com.number.silent"

        async def execute(self, event):
            return []

    suite = Suite(handler=Silent, cases=[])
    assert isinstance(suite.make_handler(), Silent)
    assert suite.make_handler() is not suite.make_handler()
