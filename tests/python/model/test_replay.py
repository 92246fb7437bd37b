"""The golden runs, event by event and record by record, through the demo's workflows."""

import json

import pytest

from arvo_plpg import ArvoEvent, StatefulHandler, create_arvo_event_factory, is_stateful
from arvo_plpg.demo.human_approval import HUMAN_APPROVAL_CONTRACT
from arvo_plpg.demo.workflows import create_demo_handlers

OF_THE_MOMENT = ("time", "traceparent", "tracestate")


class Names:
    """Which of our ids stands for which golden id."""

    def __init__(self):
        self.golden = {}

    def learn(self, ours, golden):
        self.golden[ours["id"]] = golden["id"]

    def translate(self, value):
        """Write golden ids for ours, and leave out what is of the moment."""
        if isinstance(value, dict):
            return {
                self.golden.get(key, key): self.translate(item)
                for key, item in value.items()
                if not ("specversion" in value and key in OF_THE_MOMENT)
            }
        if isinstance(value, list):
            return [self.translate(item) for item in value]
        return self.golden.get(value, value) if isinstance(value, str) else value


def without_moment(value):
    return Names().translate(value)


async def replay(golden, memory):
    handlers = {handler.source: handler for handler in create_demo_handlers(memory)}
    names = Names()
    ours = {}
    delivered = 0
    for step in golden["steps"]:
        if "domained" in step:
            asked = ours[step["domained"]["id"]]
            reply = create_arvo_event_factory(HUMAN_APPROVAL_CONTRACT.version("1.0.0")).emits(
                type=step["reply"]["type"],
                source="com.test.test",
                data={"approval": True},
                subject=asked.subject,
                to=asked.source,
                parentid=asked.id,
            )
            names.learn(reply.to_dict(), step["reply"])
            ours[step["reply"]["id"]] = reply
            assert names.translate(reply.to_dict()) == without_moment(step["reply"])
            continue
        if "delivered_to" in step:
            final = ours[step["event"]["id"]]
            assert final.to == step["delivered_to"]
            assert names.translate(final.to_dict()) == without_moment(step["event"])
            delivered += 1
            continue
        event = ours.get(step["input"]["id"]) or ArvoEvent.from_dict(step["input"])
        assert names.translate(event.to_dict()) == without_moment(step["input"])
        emitted = await handlers[step["handler"]].execute(event)
        assert len(emitted) == len(step["output"])
        for made, wanted in zip(emitted, step["output"], strict=True):
            names.learn(made.to_dict(), wanted)
            ours[wanted["id"]] = made
            assert list(made.to_dict()) == list(wanted)
            assert names.translate(made.to_dict()) == without_moment(wanted)
    assert delivered == 1
    return names, handlers


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("orchestrator_run", "arvo.orc.workflow.average"),
        ("resumable_run", "arvo.orc.weighted.average"),
    ],
)
async def test_a_golden_run(sample, memory, name, source):
    golden = sample(name)
    written = []
    write = memory.write

    async def watched(subject, data, previous, metadata):
        written.append((json.loads(json.dumps(data)), previous and dict(previous)))
        await write(subject, data, previous, metadata)

    memory.write = watched
    names, handlers = await replay(golden, memory)

    workflow = handlers[source]
    assert workflow.requires_resource_locking is golden["requiresResourceLocking"]
    operations = [call for call in golden["memoryOps"] if call["op"] != "cleanup"]
    assert [call for call in memory.calls if call != "cleanup"] == [
        call["op"] for call in operations
    ]
    assert memory.calls.count("cleanup") == 1
    wanted = [call for call in operations if call["op"] == "write"]
    assert len(written) == len(wanted) > 2
    last = None
    for (record, previous), call in zip(written, wanted, strict=True):
        assert list(record) == list(call["data"])
        assert comparable(names, record) == comparable(Names(), call["data"])
        # upstream's own "prev" may already hold the new answer: it changes the state it read
        assert (previous and comparable(names, previous)) == (last and comparable(Names(), last))
        last = call["data"]


def comparable(names, record):
    """A record whose JSON texts are parsed, since their spelling is the writer's."""
    translated = names.translate(record)
    # ours: the order of the questions, which jsonb does not keep in an object's keys
    translated.get("events", {}).pop("asked", None)
    if "machineDefinition" in translated:
        translated["machineDefinition"] = json.loads(translated["machineDefinition"])
    return translated


@pytest.mark.parametrize(
    "name",
    [
        "state_record_orchestrator_first_write",
        "state_record_orchestrator_final_write",
        "state_record_resumable_first_write",
        "state_record_resumable_collecting",
        "state_record_resumable_final_write",
    ],
)
async def test_a_record_written_by_upstream_is_carried_on(sample, memory, name):
    """The golden run is continued from upstream's own record, by our handler."""
    record = sample(name)
    run = sample("orchestrator_run" if "orchestrator" in name else "resumable_run")
    memory.stored[record["subject"]] = (json.dumps(record), 1)
    consumed = [step["input"]["id"] for step in run["steps"] if "handler" in step]
    here = consumed.index(record["events"]["consumed"]["id"])
    steps = [step for step in run["steps"] if "handler" in step]
    source = steps[here]["handler"]
    following = next((step for step in steps[here + 1 :] if step["handler"] == source), None)
    handlers = {handler.source: handler for handler in create_demo_handlers(memory)}
    if following is None:
        again = ArvoEvent.from_dict(steps[here]["input"])
        assert [event.to_dict() for event in await handlers[source].execute(again)] == record[
            "events"
        ]["produced"]
        return
    emitted = await handlers[source].execute(ArvoEvent.from_dict(following["input"]))
    kept = [without_moment(event.to_dict()) | {"id": ""} for event in emitted]
    assert kept == [without_moment(event) | {"id": ""} for event in following["output"]]


def test_workflows_are_stateful_handlers():
    stateful = [handler for handler in create_demo_handlers() if is_stateful(handler)]
    assert len(stateful) == 2
    assert all(isinstance(handler, StatefulHandler) for handler in stateful)
