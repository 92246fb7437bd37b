"""The golden runs through our handlers and our SQL: the same events, the same state records."""

import json
from pathlib import Path

import pytest

from arvo_plpg import ArvoEvent, create_arvo_event_factory
from arvo_plpg.aio import Memory
from arvo_plpg.demo.human_approval import HUMAN_APPROVAL_CONTRACT
from arvo_plpg.demo.workflows import create_demo_handlers

SAMPLES = Path(__file__).parent.parent / "samples"
OF_THE_MOMENT = ("time", "traceparent", "tracestate")


def sample(name):
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def events_of(golden):
    """Every event of a golden run, once."""
    found = {}
    for step in golden["steps"]:
        for event in (
            *(step[key] for key in ("input", "reply", "event") if key in step),
            *step.get("output", []),
        ):
            found[event["id"]] = event
    return list(found.values())


def canonical(events):
    """Events by a name that does not depend on ids: what they say and what they answer."""
    children = {}
    for event in events:
        children.setdefault(event["parentid"], []).append(event)
    ids = {event["id"] for event in events}
    (root,) = [event for event in events if event["parentid"] not in ids]
    named = {}

    def walk(event, path):
        named[path] = event
        told = sorted(
            children.get(event["id"], []), key=lambda one: (one["type"], str(one["data"]))
        )
        for number, child in enumerate(told):
            walk(child, f"{path}/{number}")

    walk(root, "root")
    assert len(named) == len(events)
    return named


def with_names(value, names):
    """A value with names for ids, and without what is of the moment."""
    if isinstance(value, dict):
        return {
            names.get(key, key): with_names(item, names)
            for key, item in value.items()
            if not ("specversion" in value and key in OF_THE_MOMENT)
        }
    if isinstance(value, list):
        return [with_names(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def comparable(record, events):
    names = {event["id"]: path for path, event in canonical(events).items()}
    record = with_names(record, names)
    record.get("events", {}).pop("asked", None)  # see docs/deviations.md
    if "machineDefinition" in record:
        record["machineDefinition"] = json.loads(record["machineDefinition"])
    return record


def approve(asked):
    return [
        create_arvo_event_factory(HUMAN_APPROVAL_CONTRACT.version("1.0.0")).emits(
            type="evt.human.approval.success", source="com.test.test", data={"approval": True},
            subject=asked.subject, to=asked.source, parentid=asked.id,
        )
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["orchestrator_run", "resumable_run"])
async def test_a_golden_run_in_the_database(broker, name):
    golden = sample(name)
    for handler in create_demo_handlers():
        await broker.register(handler)
    await broker.on_workflow_complete(source="com.test.test")
    broker.on_domained_event(approve)
    init = ArvoEvent.from_dict(golden["steps"][0]["input"])
    await broker.dispatch(init)
    await broker.run_until_idle()

    tree = await broker.tree(init)
    ours = [node.event.to_dict() for node in tree.walk()]
    wanted = events_of(golden)
    assert all(node.outcome == "completed" for node in tree.walk())
    made, expected = canonical(ours), canonical(wanted)
    assert comparable(made, ours) == comparable(expected, wanted)
    assert all(list(made[path]) == list(expected[path]) for path in expected)
    assert [event.to_dict() for event in broker.completed] == [
        made[path] for path, event in expected.items() if event == golden["steps"][-1]["event"]
    ]

    async with broker._connection() as connection:
        state = await Memory(connection).read_state(init.subject)
    last = [call["data"] for call in golden["memoryOps"] if call["op"] == "write"][-1]
    assert comparable(state.data, ours) == comparable(last, wanted)
    writes = sum(call["op"] == "write" for call in golden["memoryOps"])
    assert state.version == writes


@pytest.mark.parametrize("name", ["orchestrator_run", "resumable_run"])
async def test_every_golden_record_and_event_is_kept_as_it_is(broker, name):
    golden = sample(name)
    async with broker._connection() as connection:
        memory = Memory(connection)
        for version, call in enumerate(
            [call for call in golden["memoryOps"] if call["op"] == "write"]
        ):
            subject = call["data"]["subject"]
            await memory.write_state(subject, call["data"], version, source="com.test.test")
            assert (await memory.read_state(subject)).data == call["data"]
    async with broker.contract() as contract:
        for event in events_of(golden):
            if not event["domain"]:
                await contract.register_queue(event["to"])
                (accepted,) = await contract.dispatch_many([ArvoEvent.from_dict(event)])
                assert accepted.queue == event["to"]
                (claimed,) = await contract.claim([event["to"]], 1)
                assert ArvoEvent.from_trusted_dict(claimed.event).to_dict() == event
