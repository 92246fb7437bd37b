"""What a type checker must accept: nothing in this file is an error."""

from __future__ import annotations

from typing import assert_type

from pydantic import BaseModel, TypeAdapter
from statemachine import State
from typing_extensions import TypedDict

from arvo_plpg import (
    ArvoEvent,
    ArvoEventFactory,
    ArvoOrchestratorEventFactory,
    ArvoStateChart,
    Completion,
    Emission,
    HandlerContext,
    ResumableContext,
    ResumableResult,
    VersionedContract,
    VersionedOrchestratorContract,
    contract_version,
    create_arvo_contract,
    create_arvo_event_factory,
    create_arvo_event_handler,
    create_arvo_machine,
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


class Line(TypedDict):
    cents: int


V1 = contract_version("1.0.0", accepts=Greet).emitting("evt.hello.said", Said)
V2 = (
    contract_version("2.0.0", accepts=Greet)
    .emitting("evt.hello.said", Said)
    .emitting("evt.hello.refused", Refused)
)
SILENT = contract_version("3.0.0", accepts=TypeAdapter(Line))
GREET = create_arvo_contract(uri="#/hello", type="com.hello.greet", versions=[V1, V2, SILENT])


@V1.handler
async def asynchronous(context: HandlerContext[Greet]) -> Said:
    assert_type(context.payload, Greet)
    return Said(text=context.payload.name)


@V2.handler
def plain(context: HandlerContext[Greet]) -> Said | Refused:
    return Said(text=context.payload.name) if context.payload.name else Refused(reason="who?")


@V2.handler
def with_options(context: HandlerContext[Greet]) -> Emission[Said]:
    return Emission(data=Said(text=context.payload.name), to="com.some.body")


@V2.handler
async def several(context: HandlerContext[Greet]) -> list[Said | Emission[Refused]]:
    return [Said(text=context.payload.name), Emission(data=Refused(reason="twice"))]


@V2.handler
async def sometimes(context: HandlerContext[Greet]) -> Said | None:
    return Said(text=context.payload.name) if context.payload.name else None


@SILENT.handler
async def silent(context: HandlerContext[Line]) -> None:
    assert_type(context.payload["cents"], int)


@V1.handler
async def untyped(context: HandlerContext) -> Emission[Said]:
    """A context without parameter is one of anything."""
    return Emission(type="evt.hello.said", data=Said(text=context.payload.whatever))


create_arvo_event_handler(contract=GREET, handler=[asynchronous, plain, silent])
create_arvo_event_handler(
    contract=GREET, handler={"1.0.0": asynchronous, "2.0.0": plain, "3.0.0": silent}
)


async def old(context: HandlerContext) -> Emission:
    return Emission(type="evt.hello.said", data={"text": context.payload.name})


create_arvo_event_handler(contract=GREET, handler={"1.0.0": old, "2.0.0": old, "3.0.0": old})

assert_type(GREET.version(V1), VersionedContract[Greet, Said])
assert_type(GREET.version(V2), VersionedContract[Greet, Said | Refused])
factory = create_arvo_event_factory(GREET.version(V2))
assert_type(factory, ArvoEventFactory[Greet, Said | Refused])
assert_type(factory.accepts(source="com.a.b", data=Greet(name="Ada")), ArvoEvent)
factory.emits(type="evt.hello.refused", source="com.a.b", data=Refused(reason="no"))
create_arvo_event_factory(GREET.version("1.0.0")).accepts(source="com.a.b", data={"name": "Ada"})
forgotten: VersionedContract = GREET.version(V1)

S1 = simple_version("1.0.0", accepts=Greet, emits=Said)
SIMPLE = create_simple_arvo_contract(uri="#/simple", type="hello.greet", versions=[S1])


@S1.handler
def simple(context: HandlerContext[Greet]) -> Said:
    return Said(text=context.payload.name)


create_arvo_event_handler(contract=SIMPLE, handler=[simple])

W1 = workflow_version("1.0.0", init=Greet, complete=Said)
WORKFLOW = create_arvo_orchestrator_contract(uri="#/flow", name="greeting", versions=[W1])


@W1.resumable
async def step(context: ResumableContext[Greet]) -> ResumableResult[Said] | None:
    assert_type(context.payload, Greet | None)
    if context.payload is not None:
        return ResumableResult(services=[Greet(name=context.payload.name)])
    if context.awaiting:
        return None
    return ResumableResult(output=Completion(data=Said(text="done"), executionunits=1))


@W1.resumable
def at_once(context: ResumableContext[Greet]) -> ResumableResult[Said]:
    return ResumableResult(output=Said(text=str(context.payload)))


def old_step(context: ResumableContext) -> ResumableResult:
    return ResumableResult(
        context={"seen": context.awaiting},
        output={"text": "done"},
        services=[Emission(type="com.hello.greet", data={"name": "Ada"})],
    )


@W1.resumable
async def with_answers(context: ResumableContext[Greet]) -> ResumableResult[Said] | None:
    assert_type(context.answer(Said), Said | None)
    assert_type(context.answers(Said), list[Said])
    return ResumableResult(output=Said(text=" ".join(s.text for s in context.answers(Said))))


@W1.chart
class Chart(ArvoStateChart[Said]):
    asked = State(initial=True)
    done = State(final=True)

    asked.to(done, event="evt.hello.said", on="keep")

    def on_enter_asked(self) -> None:
        self.emit(Greet(name="Ada"))

    def keep(self, arvo_event: ArvoEvent) -> None:
        self.context["text"] = arvo_event.data["text"]

    def output(self) -> Said:
        return Said(text=self.context["text"])


class OldChart(ArvoStateChart):
    done = State(initial=True, final=True)

    def output(self) -> dict[str, str]:
        return {"text": "done"}


services = {"greet": GREET.version(V1)}
create_arvo_machine(chart=Chart, contract=WORKFLOW.version(W1), services=services)
create_arvo_machine(chart=OldChart, contract=WORKFLOW.version("1.0.0"), services=services)
create_arvo_resumable(contract=WORKFLOW, services=services, handler=[step])
create_arvo_resumable(contract=WORKFLOW, services=services, handler={"1.0.0": old_step})
assert_type(WORKFLOW.version(W1), VersionedOrchestratorContract[Greet, Said])
starter = create_arvo_event_factory(WORKFLOW.version(W1))
assert_type(starter, ArvoOrchestratorEventFactory[Greet, Said])
starter.init(source="com.a.b", data=Greet(name="Ada"))
starter.complete(source="com.a.b", data=Said(text="done"))
