"""States of finished workflows go when they are as old as their handler lets them become."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from arvo_plpg import ArvoEvent, HandlerOptions, InvalidOption
from arvo_plpg.aio import Memory
from arvo_plpg.demo.workflows import create_demo_handlers

SAMPLES = Path(__file__).parent.parent / "samples"


def init_of(name):
    golden = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return ArvoEvent.from_dict(golden["steps"][0]["input"])


async def state_of(broker, event):
    async with broker._connection() as connection:
        return await Memory(connection).read_state(event.subject)


async def maintain(broker):
    async with broker.contract() as contract:
        return {done.task: done.touched for done in await contract.maintain()}


async def round_of(broker):
    """A call that goes through all states, and the one that begins the next round."""
    return sum([(await maintain(broker))["forgotten"] for _ in range(2)])


async def test_a_finished_workflow_is_kept_as_long_as_its_handler_says(broker):
    broker.freeze()
    for handler in create_demo_handlers():
        await broker.register(handler, HandlerOptions(state_retention_seconds=7 * 86_400))
    finished, waiting = init_of("orchestrator_run"), init_of("resumable_run")
    await broker.dispatch_many([finished, waiting])
    await broker.run_until_idle()
    assert (await state_of(broker, finished)).data["status"] == "done"

    broker.advance(timedelta(days=8))
    assert await round_of(broker) == 0, "its completion has not been taken by anybody"
    await broker.on_workflow_complete(source="com.test.test")
    await broker.run_until_idle()
    assert [event.subject for event in broker.completed] == [finished.subject]
    assert await round_of(broker) == 1
    assert await state_of(broker, finished) is None
    assert (await state_of(broker, waiting)).data["status"] == "active"
    assert await round_of(broker) == 0

    # What is delivered again, and late, finds no workflow, and starts none.
    events = [node.event for node in (await broker.tree(finished)).walk()]
    late = next(event for event in events if event.to == "arvo.orc.workflow.average" and
                event.parentid is not None)  # fmt: skip
    async with broker.contract() as contract:
        await contract.replay(late.id, source=late.source)
    await broker.run_until_idle()
    assert await state_of(broker, finished) is None
    assert len(broker.completed) == 1


async def test_without_a_rule_states_are_kept_for_ever(broker):
    broker.freeze()
    for handler in create_demo_handlers():
        await broker.register(handler)
    await broker.on_workflow_complete(source="com.test.test")
    finished = init_of("orchestrator_run")
    await broker.dispatch(finished)
    await broker.run_until_idle()
    broker.advance(timedelta(days=3650))
    assert await round_of(broker) == 0
    assert (await state_of(broker, finished)).data["status"] == "done"


async def test_rules_are_listed_and_removed(broker):
    async with broker._connection() as connection:
        memory = Memory(connection)
        assert await memory.state_retentions() == []
        await memory.retain_states("com.flow", timedelta(days=7))
        rules = await memory.retain_states(age=timedelta(days=30))
        assert [(rule.source, rule.age.days) for rule in rules] == [(None, 30), ("com.flow", 7)]
        assert [rule.source for rule in await memory.retain_states("com.flow")] == [None]


@pytest.mark.parametrize("seconds", [0, 59.9, 315_360_001, float("nan")])
def test_what_is_no_age(seconds):
    with pytest.raises(InvalidOption, match="option is not valid"):
        HandlerOptions(state_retention_seconds=seconds)
