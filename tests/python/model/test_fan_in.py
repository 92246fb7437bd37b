"""Answers may come in any order, and any of them twice: the outcome is the same."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arvo_plpg import StateRecord, create_arvo_event_factory
from arvo_plpg.demo.calculator import create_add_handler, create_product_handler
from arvo_plpg.demo.human_approval import HUMAN_APPROVAL_CONTRACT
from arvo_plpg.demo.weighted_average import (
    WEIGHTED_AVERAGE_CONTRACT,
    create_weighted_average_workflow,
)

ITEMS = st.lists(
    st.fixed_dictionaries({"value": st.integers(-99, 99), "weight": st.integers(0, 9)}),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(items=ITEMS, data=st.data())
def test_any_order_and_repetition_gives_the_same_average(items, data):
    asyncio.run(run(items, data))


async def run(items, data):
    memory = Memory()
    workflow = create_weighted_average_workflow(memory)
    services = {
        handler.source: handler for handler in (create_add_handler(), create_product_handler())
    }
    init = create_arvo_event_factory(WEIGHTED_AVERAGE_CONTRACT.version("1.0.0")).init(
        source="com.test.test", data={"parentSubject$$": None, "input": items}
    )
    seen = {}

    async def deliver(event):
        emitted = await workflow.execute(event)
        if data.draw(st.booleans(), label="deliver again"):
            assert await workflow.execute(event) == emitted
        return emitted

    [question] = await deliver(init)
    pending = [
        create_arvo_event_factory(HUMAN_APPROVAL_CONTRACT.version("1.0.0")).emits(
            type="evt.human.approval.success",
            source="com.test.test",
            data={"approval": True},
            subject=question.subject,
            parentid=question.id,
        )
    ]
    done = []
    while pending:
        event = pending.pop(data.draw(st.integers(0, len(pending) - 1), label="next"))
        for emitted in await deliver(event):
            assert emitted.id not in seen
            seen[emitted.id] = emitted
            if emitted.to == "com.test.test":
                done.append(emitted)
            else:
                pending += await services[emitted.to].execute(emitted)
    assert len(seen) == len(items) + 3
    [final] = done
    total = sum(item["value"] * item["weight"] for item in items)
    assert final.data["output"] == pytest.approx(total / len(items))
    assert memory.record["status"] == "done"


class Memory:
    """One workflow's state, its version, and nothing else."""

    commits_with_events = False

    def __init__(self):
        self.record = None
        self.version = 0

    async def read(self, _subject):
        return None if self.record is None else StateRecord(self.record, version=self.version)

    async def write(self, _subject, record, previous, _metadata):
        assert self.version == (previous.version if previous else 0)
        self.record, self.version = dict(record), self.version + 1

    async def lock(self, _subject):
        return True

    unlock = lock

    async def cleanup(self, _subject):
        pass
