"""What is wrong in any way ends in a typed error that says so, and nothing is lost."""

import base64
import json
import zlib

import pytest
from pydantic import BaseModel

from arvo_plpg import (
    ArvoEvent,
    ArvoOrchestrationSubject,
    Emission,
    HandlerOptions,
    MemoryMetadata,
    ResumableResult,
    WorkerOptions,
    contract_version,
    create_arvo_contract,
    create_arvo_event_factory,
    create_arvo_event_handler,
    create_arvo_orchestrator_contract,
    create_arvo_resumable,
    workflow_version,
)

CLIENT = "com.test.client"


class Greet(BaseModel):
    name: str


class Said(BaseModel):
    text: str


GREET_1 = contract_version("1.0.0", accepts=Greet).emitting("evt.hello.said", Said)
GREET = create_arvo_contract(uri="#/hello", type="com.hello.greet", versions=[GREET_1])
FLOW_1 = workflow_version("1.0.0", init=Greet, complete=Said)
FLOW = create_arvo_orchestrator_contract(uri="#/flow", name="greeting", versions=[FLOW_1])
ASK = create_arvo_event_factory(GREET.version(GREET_1))
INIT = create_arvo_event_factory(FLOW.version(FLOW_1))
ONCE_MORE = HandlerOptions(worker=WorkerOptions(retry_limit=1))


def ask(**changes):
    good = ASK.accepts(source=CLIENT, data=Greet(name="Ada")).to_dict()
    return ArvoEvent.from_dict(good | changes)


def start(**changes):
    good = INIT.init(source=CLIENT, data=Greet(name="Ada")).to_dict()
    return ArvoEvent.from_dict(good | changes)


def greeter(result=None):
    return create_arvo_event_handler(contract=GREET, handler={"1.0.0": lambda _: result})


def workflow(result=None):
    return create_arvo_resumable(
        contract=FLOW, services={"greet": GREET.version(GREET_1)},
        handler={"1.0.0": lambda _: result},
    )  # fmt: skip


def packed(content):
    return base64.b64encode(zlib.compress(content)).decode()


BOMB = packed(b" " * 10_000_000)
OF_ANOTHER_VERSION = ArvoOrchestrationSubject.new(
    orchestrator=FLOW.type, version="9.0.0", initiator=CLIENT
)
HALF = packed(json.dumps({"orchestrator": {"name": "arvo.orc.greeting"}}).encode())


@pytest.mark.parametrize(
    ("handler", "event", "name", "words"),
    [
        (greeter(), ask(dataschema="#/hello/9.0.0"), "Config", "Invalid contract version: 9.0.0"),
        (greeter(), ask(dataschema="#/hello/0.0.0"), "Config", "Invalid contract version: 0.0.0"),
        (greeter(), ask(dataschema="#/other/1.0.0"), "Contract", "expects '#/hello'"),
        (greeter(), ask(type="com.hello.other"), "Config", "Received 'com.hello.other'"),
        (greeter(), ask(data={}), "Contract", "name: Field required"),
        (greeter(), ask(data={"name": [7]}), "Contract", "name: Input should be a valid string"),
        (greeter(Emission(type="evt.not.mine", data={})), ask(), "Contract", "evt.not.mine"),
        (greeter(Emission(type="evt.hello.said", data={})), ask(), "Contract", "text: Field"),
        (greeter(Greet(name="x")), ask(), "Contract", "has the model Greet"),
        (greeter(Emission(data=Said(text="x\0"))), ask(), "Contract", "NUL"),
        (greeter(Emission(data=Said(text="x"), to="\ud800")), ask(), "Contract", "surrogate"),
        (greeter(Emission(data=Said(text="x"), id="")), ask(), None, None),
        (workflow(), start(subject="order-1"), "Execution", "received 'order-1'"),
        (workflow(), start(subject="####"), "Execution", "subject format"),
        (workflow(), start(subject=BOMB), "Execution", "subject format"),
        (workflow(), start(subject=HALF), "Execution", "subject format"),
        (workflow(), start(subject=OF_ANOTHER_VERSION), "Config", "version 9.0.0"),
        (workflow(), start(dataschema="#/other/1.0.0"), "Contract", "'#/other'"),
        (workflow(), start(dataschema=None), "Contract", "dataschema"),
        (workflow(), start(data={"name": "Ada"}), "Contract", "parentSubject$$: required"),
        (
            workflow(ResumableResult(services=[Emission(type="com.hello.greet", data={})])),
            start(), "Contract", "name: Field required",
        ),
        (workflow(ResumableResult(output={"text": 5})), start(), "Contract", "text: Input"),
        (
            workflow(ResumableResult(services=[Emission(type="not a type", data={})])),
            start(), "Contract", "type must be",
        ),
    ],
)  # fmt: skip
async def test_it_is_delivered_again_and_then_dead_with_the_reason(
    broker, handler, event, name, words
):
    event = ArvoEvent.from_dict(event.to_dict() | {"to": handler.source})
    await broker.register(handler, ONCE_MORE)
    await broker.dispatch(event)
    await broker.run_until_idle()
    letters = await broker.dead_letters()
    if name is None:
        assert letters == []
        return
    (letter,) = letters
    assert letter.event_id == event.id
    assert (letter.reason, letter.attempts) == ("failed", 2)
    assert letter.error["name"] in {f"{name}Violation", f"ViolationError<{name}>"}
    assert words in letter.error["message"]
    assert letter.event == event.to_dict()
    assert [node.type for node in (await broker.tree(event)).walk()] == [event.type]


class Rogue:
    """A handler that gives what no handler may."""

    source = "com.test.rogue"

    def __init__(self, answer):
        self.answer = answer

    async def execute(self, event):
        return self.answer


@pytest.mark.parametrize("answer", [None, 5, "text", {"type": "x"}, [None], [{"id": "1"}]])
async def test_a_handler_that_gives_no_events_is_at_fault(broker, answer):
    await broker.register(Rogue(answer), ONCE_MORE)
    event = ask(to="com.test.rogue")
    await broker.dispatch(event)
    await broker.run_until_idle()
    (letter,) = await broker.dead_letters()
    assert letter.error["name"] == "TypeError"
    assert "must return a list of ArvoEvent" in letter.error["message"]
    assert letter.event == event.to_dict()


NOT_JSON = [
    {"a": {1, 2}},
    {"a": object()},
    {"a": float("nan")},
    {"a": float("inf")},
    {"a": b"bytes"},
    {1: "a"},
]
NOT_STORABLE = [{"a": "\ud800"}, {"a": "\0"}]  # JSON, but not to PostgreSQL


@pytest.mark.parametrize("context", [*NOT_JSON, "text", [1], 5])
async def test_a_context_that_is_no_json_object_fails_the_workflow(broker, context):
    await broker.register(workflow(ResumableResult(context=context)), ONCE_MORE)
    await broker.on_workflow_complete(source=CLIENT)
    event = start()
    await broker.dispatch(event)
    await broker.run_until_idle()
    (failed,) = broker.completed
    assert failed.type == "sys.arvo.orc.greeting.error"
    assert failed.data["errorName"] in {"JsonValueError", "TypeError"}
    assert "context" in failed.data["errorMessage"]
    assert await broker.dead_letters() == []


@pytest.mark.parametrize("context", NOT_STORABLE)
async def test_a_context_that_cannot_be_stored_is_dead_with_the_reason(broker, context):
    await broker.register(workflow(ResumableResult(context=context)), ONCE_MORE)
    event = start()
    await broker.dispatch(event)
    await broker.run_until_idle()
    (letter,) = await broker.dead_letters()
    assert letter.error["name"] == "TransactionViolation"
    assert "WRITE_MACHINE_MEMORY_FAILURE" in letter.error["message"]
    assert "cannot be stored as JSON" in letter.error["message"]
    assert letter.event == event.to_dict()


class Hoarder:
    """A stateful handler of somebody's own."""

    source = "com.test.hoarder"
    stateful = True

    def __init__(self, state):
        self.state = state

    async def execute(self, event, *, memory):
        await memory.write(
            event.subject,
            self.state,
            await memory.read(event.subject),
            MemoryMetadata(event.subject, None, None, self.source),
        )
        return []


@pytest.mark.parametrize("state", [*NOT_JSON, *NOT_STORABLE])
async def test_a_handler_of_ones_own_with_such_a_state_is_refused_by_name(broker, state):
    await broker.register(Hoarder(state), ONCE_MORE)
    event = ask(to="com.test.hoarder")
    await broker.dispatch(event)
    await broker.run_until_idle()
    letters = await broker.dead_letters()
    if state == {1: "a"}:  # JSON has only text for keys, and json.dumps makes it
        assert letters == []
        return
    (letter,) = letters
    assert letter.error["name"] == "InvalidArgument"
    assert "cannot be stored as JSON" in letter.error["message"]
    assert letter.event == event.to_dict()
