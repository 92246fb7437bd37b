"""Versions told in models: what their decorators make of functions."""

import asyncio
import inspect
from dataclasses import FrozenInstanceError

import pytest
from pydantic import BaseModel, Field
from statemachine import State

from arvo_plpg import (
    ArvoOrchestrationSubject,
    ArvoStateChart,
    Completion,
    ContractViolation,
    Emission,
    HandlerContext,
    InvalidContractError,
    ResumableContext,
    ResumableResult,
    contract_version,
    create_arvo_contract,
    create_arvo_event_factory,
    create_arvo_event_handler,
    create_arvo_machine,
    create_arvo_orchestrator,
    create_arvo_orchestrator_contract,
    create_arvo_resumable,
    create_simple_arvo_contract,
    simple_version,
    workflow_version,
)


class Greet(BaseModel):
    name: str


class Said(BaseModel):
    text: str


class Refused(BaseModel):
    reason: str


class Stranger(BaseModel):
    text: str = "?"


V1 = contract_version("1.0.0", accepts=Greet).emitting("evt.hello.said", Said)
V2 = V1.__class__("2.0.0", V1.accepts, V1.emits).emitting("evt.hello.refused", Refused)
GREET = create_arvo_contract(uri="#/hello", type="com.hello.greet", versions=[V1, V2])
ADA = Greet(name="Ada")


@V1.handler
async def greet(context: HandlerContext[Greet]) -> Said:
    """Says hello."""
    return Said(text=f"Hello, {context.payload.name}")


@V2.handler
def greet_or_not(context: HandlerContext[Greet]) -> list[Said | Emission[Refused]]:
    return [
        Said(text=context.payload.name),
        Emission(data=Refused(reason="twice"), to="com.some.body"),
    ]


def init(version=V1, data=ADA, **more):
    factory = create_arvo_event_factory(GREET.version(version))
    return factory.accepts(source="com.test.client", data=data, **more)


HANDLER = create_arvo_event_handler(contract=GREET, handler=[greet, greet_or_not])


async def test_a_model_is_emitted_as_the_type_that_it_is_the_model_of():
    (said,) = await HANDLER.execute(init())
    assert (said.type, said.data) == ("evt.hello.said", {"text": "Hello, Ada"})
    assert said.dataschema == "#/hello/1.0.0"


async def test_models_and_emissions_of_models_may_be_mixed():
    said, refused = await HANDLER.execute(init(V2))
    assert (said.type, said.to) == ("evt.hello.said", "com.test.client")
    assert (refused.type, refused.to) == ("evt.hello.refused", "com.some.body")


async def test_a_mapping_takes_decorated_functions_too():
    mixed = create_arvo_event_handler(
        contract=GREET, handler={"1.0.0": greet, "2.0.0": lambda context: context.payload and None}
    )
    assert (await mixed.execute(init()))[0].data == {"text": "Hello, Ada"}
    assert await mixed.execute(init(V2)) == []


async def test_a_decorated_function_can_be_called_and_looked_at():
    context = HandlerContext(
        event=init(), payload=ADA, source="", contract=GREET.version(V1), self_domain=None,
        event_domain=None, span=None, headers=None,
    )  # fmt: skip
    assert await greet(context) == Said(text="Hello, Ada")
    assert (greet.__doc__, greet.version) == ("Says hello.", V1)
    assert inspect.iscoroutinefunction(greet.function)


async def test_an_async_function_stays_in_the_event_loop_although_it_is_decorated():
    loops = []

    @S1.handler
    async def where(context):
        loops.append(asyncio.get_running_loop())
        return Said(text="here")

    handler = create_arvo_event_handler(contract=SIMPLE, handler=[where])
    event = create_arvo_event_factory(SIMPLE.version(S1)).accepts(source="com.a.b", data=ADA)
    assert (await handler.execute(event))[0].type == "evt.hello.greet.success"
    assert loops == [asyncio.get_running_loop()]


S1 = simple_version("1.0.0", accepts=Greet, emits=Said)
SIMPLE = create_simple_arvo_contract(uri="#/simple", type="hello.greet", versions=[S1])


@pytest.mark.parametrize(
    "result",
    [
        Stranger(),
        [Said(text="x"), Stranger()],
        Emission(data=Stranger()),
        Emission(data={"text": "x"}),
        Emission(type="evt.hello.refused", data=Refused(reason="of the other version")),
        Emission(type="evt.hello.said", data=Stranger(text="x" * 5), to="\udc80"),
        Emission(type="evt.hello.said", data={"text": 5}),
        Emission(type="evt.never.heard", data=Said(text="x")),
    ],
)
async def test_what_a_version_does_not_emit_is_a_violation(result):
    handler = create_arvo_event_handler(
        contract=GREET, handler={"1.0.0": lambda _: result, "2.0.0": greet_or_not}
    )
    with pytest.raises(ContractViolation, match="Emit validation failed"):
        await handler.execute(init())


async def test_a_model_of_two_types_does_not_say_which():
    both = contract_version("1.0.0", accepts=Greet)
    both = both.emitting("evt.hello.one", Said).emitting("evt.hello.two", Said)
    contract = create_arvo_contract(uri="#/both", type="com.hello.both", versions=[both])
    event = create_arvo_event_factory(contract.version(both)).accepts(source="com.a.b", data=ADA)
    vague = create_arvo_event_handler(
        contract=contract, handler=[both.handler(lambda _: Said(text="x"))]
    )
    with pytest.raises(ContractViolation, match=r"no single type.*Said"):
        await vague.execute(event)
    clear = create_arvo_event_handler(
        contract=contract,
        handler=[both.handler(lambda _: Emission(type="evt.hello.two", data=Said(text="x")))],
    )
    assert (await clear.execute(event))[0].type == "evt.hello.two"


@pytest.mark.parametrize(
    ("functions", "words"),
    [
        ([greet], "version 2.0.0"),
        ([greet, greet, greet_or_not], "two functions of one version"),
        ([greet, lambda _: None], "holds decorated ones, not function"),
        ({"1.0.0": greet_or_not, "2.0.0": greet_or_not}, "given for version 1.0.0 is of"),
        ([greet, S1.handler(lambda _: None)], "two functions|not made of"),
        ([S1.handler(lambda _: None), greet_or_not], "not made of this version 1.0.0"),
    ],
)
def test_functions_and_versions_must_fit(functions, words):
    with pytest.raises(InvalidContractError, match=words):
        create_arvo_event_handler(contract=GREET, handler=functions)


def test_versions_of_a_contract_are_distinct_and_its_own():
    with pytest.raises(InvalidContractError, match="distinct"):
        create_arvo_contract(uri="#/x", type="com.a.b", versions=[V1, V1])
    with pytest.raises(InvalidContractError, match="at least one version"):
        create_arvo_contract(uri="#/x", type="com.a.b", versions=[])
    wild = contract_version("0.0.0", accepts=Greet)
    with pytest.raises(InvalidContractError, match="reserved"):
        create_arvo_contract(uri="#/x", type="com.a.b", versions=[wild])
    with pytest.raises(InvalidContractError, match="not made of"):
        GREET.version(contract_version("1.0.0", accepts=Greet))
    assert GREET.version(V1) is GREET.version("1.0.0") is GREET.version("oldest")
    assert repr(V1) == "<ContractVersion 1.0.0>"


W1 = workflow_version("1.0.0", init=Greet, complete=Said)
FLOW = create_arvo_orchestrator_contract(uri="#/flow", name="greeting", versions=[W1])


class ChildInit(BaseModel):
    number: int = Field(alias="the-number")


C1 = workflow_version("1.0.0", init=ChildInit, complete=Said)
CHILD = create_arvo_orchestrator_contract(uri="#/child", name="child", versions=[C1])
SERVICES = {"greet": GREET.version(V1), "child": CHILD.version(C1)}


def start(**more):
    return create_arvo_event_factory(FLOW.version(W1)).init(
        source="com.test.client", data=ADA, **more
    )


def resumable(function):
    return create_arvo_resumable(contract=FLOW, services=SERVICES, handler=[W1.resumable(function)])


async def test_a_resumable_gets_its_init_and_asks_in_models(memory):
    seen = []

    async def step(context: ResumableContext[Greet]) -> ResumableResult[Said]:
        seen.append(context.payload)
        if context.payload is not None:
            return ResumableResult(services=[context.payload])
        return ResumableResult(output=Said(text="done"))

    workflow = resumable(step)
    event = start()
    (asked,) = await workflow.execute(event, memory=memory)
    assert (asked.type, asked.data) == ("com.hello.greet", {"name": "Ada"})
    (said,) = await HANDLER.execute(asked)
    (done,) = await workflow.execute(said, memory=memory)
    assert (done.type, done.data) == ("arvo.orc.greeting.done", {"text": "done"})
    assert seen == [ADA, None]


async def test_a_model_starts_a_child_of_the_workflow(memory):
    event = start()
    child = ChildInit(**{"the-number": 5})
    (asked,) = await resumable(lambda _: ResumableResult(services=[child])).execute(
        event, memory=memory
    )
    assert asked.type == "arvo.orc.child"
    assert asked.data == {"parentSubject$$": event.subject, "the-number": 5}
    assert ArvoOrchestrationSubject.parse(asked.subject).execution.initiator == "arvo.orc.greeting"


@pytest.mark.parametrize("wish", [Stranger(), Emission(data=Said(text="x"))])
async def test_a_model_that_no_service_accepts_is_a_violation(memory, wish):
    with pytest.raises(ContractViolation, match="no single service accepts"):
        await resumable(lambda _: ResumableResult(services=[wish])).execute(start(), memory=memory)
    assert memory.stored == {}


async def test_what_is_neither_model_nor_emission_ends_a_workflow(memory):
    workflow = resumable(lambda _: ResumableResult(services=["com.hello.greet"]))
    (error,) = await workflow.execute(start(), memory=memory)
    assert error.data["errorName"] == "TypeError"
    assert "models or Emission" in error.data["errorMessage"]


def test_a_workflow_is_started_below_another_by_an_argument():
    parent = start().subject
    child = start(parent_subject=parent)
    assert child.data == {"parentSubject$$": parent, "name": "Ada"}
    assert ArvoOrchestrationSubject.parse(child.subject).execution.initiator == "arvo.orc.greeting"
    root = start()
    assert root.data["parentSubject$$"] is None


async def test_a_chart_emits_models_too(memory):
    class Chart(ArvoStateChart):
        asking = State(initial=True)
        done = State(final=True)
        asking.to(done, event="evt.hello.said")

        def on_enter_asking(self):
            self.emit(ADA)

        def output(self):
            return Said(text="done")

    machine = create_arvo_machine(chart=Chart, contract=FLOW.version(W1), services=SERVICES)
    workflow = create_arvo_orchestrator(contract=FLOW, machines=[machine])
    (asked,) = await workflow.execute(start(), memory=memory)
    assert (asked.type, asked.data) == ("com.hello.greet", {"name": "Ada"})
    (said,) = await HANDLER.execute(asked)
    (done,) = await workflow.execute(said, memory=memory)
    assert (done.type, done.data) == ("arvo.orc.greeting.done", {"text": "done"})


def test_what_is_generic_can_be_made_with_its_parameter():
    """A dataclass with slots could not, in Python 3.11."""
    emission = Emission[Said](data=Said(text="x"))
    assert emission == Emission(data=Said(text="x"))
    assert Completion[Said](data=Said(text="x")).data == Said(text="x")
    assert ResumableResult[Said](output=Said(text="x")).output == Said(text="x")
    with pytest.raises(FrozenInstanceError):
        emission.to = "com.some.body"
