"""What a type checker must refuse: each error stands on its line, with mypy's code for it."""

from __future__ import annotations

from pydantic import BaseModel
from statemachine import State

from arvo_plpg import (
    ArvoStateChart,
    Completion,
    Emission,
    HandlerContext,
    ResumableContext,
    ResumableResult,
    contract_version,
    create_arvo_contract,
    create_arvo_event_factory,
    create_arvo_event_handler,
    create_arvo_orchestrator_contract,
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


V1 = contract_version("1.0.0", accepts=Greet).emitting("evt.hello.said", Said)
V2 = contract_version("2.0.0", accepts=Greet)
S1 = simple_version("1.0.0", accepts=Greet, emits=Said)
W1 = workflow_version("1.0.0", init=Greet, complete=Said)
GREET = create_arvo_contract(uri="#/hello", type="com.hello.greet", versions=[V1, V2])
WORKFLOW = create_arvo_orchestrator_contract(uri="#/flow", name="greeting", versions=[W1])


@V1.handler  # E: arg-type
async def another_input(context: HandlerContext[Said]) -> Said:
    return context.payload


@V1.handler
async def an_unknown_field(context: HandlerContext[Greet]) -> Said:
    return Said(text=context.payload.nickname)  # E: attr-defined


@V1.handler  # E: arg-type
async def what_is_not_emitted(context: HandlerContext[Greet]) -> Refused:
    return Refused(reason=context.payload.name)


@V1.handler  # E: arg-type
def not_emitted_among_others(context: HandlerContext[Greet]) -> Said | Refused:
    return Refused(reason=context.payload.name)


@V1.handler  # E: arg-type
def an_emission_of_what_is_not_emitted(context: HandlerContext[Greet]) -> Emission[Refused]:
    return Emission(type="evt.hello.said", data=Refused(reason=context.payload.name))


@V1.handler  # E: arg-type
def a_list_of_what_is_not_emitted(context: HandlerContext[Greet]) -> list[Refused]:
    return [Refused(reason=context.payload.name)]


@V1.handler  # E: arg-type
def text(context: HandlerContext[Greet]) -> str:
    return context.payload.name


@V1.handler  # E: arg-type
def untyped_data(context: HandlerContext[Greet]) -> Emission:
    return Emission(type="evt.hello.said", data={"text": context.payload.name})


@V2.handler  # E: arg-type
def nothing_is_emitted(context: HandlerContext[Greet]) -> Said:
    return Said(text=context.payload.name)


@V1.handler
async def the_wrong_model_inside(context: HandlerContext[Greet]) -> Said:
    return Refused(reason=context.payload.name)  # E: return-value


@S1.handler  # E: arg-type
def not_simply_emitted(context: HandlerContext[Greet]) -> Refused:
    return Refused(reason=context.payload.name)


@W1.resumable  # E: arg-type
async def another_init(context: ResumableContext[Said]) -> ResumableResult[Said] | None:
    return None


@W1.resumable  # E: arg-type
async def another_completion(context: ResumableContext[Greet]) -> ResumableResult[Refused]:
    return ResumableResult(output=Refused(reason="no"))


@W1.resumable
async def a_payload_that_may_be_missing(context: ResumableContext[Greet]) -> ResumableResult[Said]:
    return ResumableResult(output=Said(text=context.payload.name))  # E: union-attr


@W1.resumable
async def a_completion_of_another(context: ResumableContext[Greet]) -> ResumableResult[Said]:
    return ResumableResult(output=Completion(data=Refused(reason="no")))  # E: arg-type


@W1.resumable
async def a_service_of_text(context: ResumableContext[Greet]) -> ResumableResult[Said]:
    return ResumableResult(services=["com.hello.greet"])  # E: list-item


@W1.resumable
async def an_answer_of_another_model(context: ResumableContext[Greet]) -> ResumableResult[Said]:
    return ResumableResult(output=context.answers(Refused)[0])  # E: arg-type


@W1.resumable
async def an_answer_that_may_be_missing(context: ResumableContext[Greet]) -> ResumableResult[Said]:
    return ResumableResult(output=Said(text=context.answer(Said).text))  # E: union-attr


@W1.chart  # E: arg-type
class AnotherOutput(ArvoStateChart[Refused]):
    done = State(initial=True, final=True)


class ADict(ArvoStateChart[Said]):
    done = State(initial=True, final=True)

    def output(self) -> dict[str, str]:  # E: override
        return {"text": "no"}


factory = create_arvo_event_factory(GREET.version(V1))
factory.accepts(source="com.a.b", data=Said(text="no"))  # E: arg-type
factory.accepts(source="com.a.b", data={"name": "Ada"})  # E: arg-type
factory.accepts(source="com.a.b", data=Greet(name="Ada"), colour="red")  # E: call-arg
factory.emits(type="evt.hello.said", source="com.a.b", data=Greet(name="Ada"))  # E: arg-type
factory.init(source="com.a.b", data=Greet(name="Ada"))  # E: attr-defined
starter = create_arvo_event_factory(WORKFLOW.version(W1))
starter.init(source="com.a.b", data=Said(text="no"))  # E: arg-type
starter.complete(source="com.a.b", data=Greet(name="no"))  # E: arg-type

create_arvo_event_handler(contract=GREET, handler=[lambda context: None])  # E: list-item
create_arvo_contract(uri="#/x", type="com.a.b", versions=[W1])  # E: list-item
create_simple_arvo_contract(uri="#/x", type="a.b", versions=[V1])  # E: list-item
create_arvo_orchestrator_contract(uri="#/x", name="a", versions=[S1])  # E: list-item
contract_version("1.0.0", accepts=int)  # E: type-var
V1.emitting("evt.hello.number", int)  # E: type-var
