import json
import threading
from typing import ClassVar

import pytest
from pydantic import BaseModel
from statemachine import Event, HistoryState, State

from arvo_plpg import (
    ArvoStateChart,
    ConfigViolation,
    Emission,
    InvalidContractError,
    create_arvo_contract,
    create_arvo_event,
    create_arvo_event_factory,
    create_arvo_machine,
    create_arvo_orchestrator,
    create_arvo_orchestrator_contract,
    create_simple_arvo_contract,
)
from arvo_plpg.demo.average import AVERAGE_CONTRACT, AverageChart, create_average_workflow
from arvo_plpg.demo.calculator import ADD_CONTRACT, PRODUCT_CONTRACT


class Anything(BaseModel):
    n: int = 0


SELF = create_arvo_orchestrator_contract(
    uri="#/orc", name="chart", versions={"1.0.0": {"init": Anything, "complete": Anything}}
)
LEFT, RIGHT = (
    create_simple_arvo_contract(
        uri=f"#/{name}",
        type=f"{name}.job",
        versions={"1.0.0": {"accepts": Anything, "emits": Anything}},
    ).version("1.0.0")
    for name in ("left", "right")
)
SERVICES = {"left": LEFT, "right": RIGHT}


def orchestrator(chart, memory=None, **options):
    machine = create_arvo_machine(chart=chart, contract=SELF.version("1.0.0"), services=SERVICES)
    return create_arvo_orchestrator(contract=SELF, machines=[machine], memory=memory, **options)


def started():
    factory = create_arvo_event_factory(SELF.version("1.0.0"))
    return factory.init(source="com.test.test", data={"parentSubject$$": None, "n": 1})


def answer(contract, event, n=1):
    return create_arvo_event_factory(contract).emits(
        type=next(iter(contract.emits)),
        source=contract.accepts.type,
        data={"n": n},
        subject=event.subject,
    )


class ParallelChart(ArvoStateChart):
    class work(State.Parallel):  # noqa: N801
        class left(State.Compound):  # noqa: N801
            left_asked = State(initial=True)
            left_done = State(final=True)
            left_asked.to(left_done, event="evt.left.job.success", on="count")

        class right(State.Compound):  # noqa: N801
            right_asked = State(initial=True)
            right_done = State(final=True)
            right_asked.to(right_done, event="evt.right.job.success", on="count")

    end = State(final=True)
    done_state_work = work.to(end)

    @classmethod
    def initial_context(cls, event):
        return {"sum": event.data["n"]}

    def on_enter_left_asked(self):
        self.emit(Emission(type="com.left.job", data={}))

    def on_enter_right_asked(self):
        self.emit(Emission(type="com.right.job", data={}))

    def count(self, arvo_event):
        self.context["sum"] += arvo_event.data["n"]

    def output(self):
        return {"n": self.context["sum"]}


async def test_parallel_regions_are_kept_between_steps(memory):
    handler = orchestrator(ParallelChart, memory)
    assert handler.requires_resource_locking
    event = started()
    assert [asked.type for asked in await handler.execute(event)] == [
        "com.left.job",
        "com.right.job",
    ]
    assert memory.record(event.subject)["value"] == {
        "work": {"left": "left_asked", "right": "right_asked"}
    }
    assert await handler.execute(answer(RIGHT, event, 10)) == []
    assert memory.record(event.subject)["value"] == {
        "work": {"left": "left_asked", "right": "right_done"}
    }
    [done] = await handler.execute(answer(LEFT, event, 100))
    assert (done.type, done.data) == ("arvo.orc.chart.done", {"n": 111})
    record = memory.record(event.subject)
    assert (record["value"], record["status"]) == ("end", "done")
    assert record["state"]["output"] == {"n": 111}
    assert memory.calls[-2:] == ["cleanup", "unlock"]


async def test_a_finished_machine_emits_nothing_more(memory):
    handler = orchestrator(ParallelChart, memory)
    event = started()
    await handler.execute(event)
    await handler.execute(answer(RIGHT, event))
    await handler.execute(answer(LEFT, event))
    state = memory.record(event.subject)["state"]
    assert await handler.execute(answer(LEFT, event)) == []
    assert memory.record(event.subject)["state"] == state
    assert memory.stored[event.subject][1] == 4


async def test_an_event_without_transition_changes_only_the_version(memory):
    handler = orchestrator(ParallelChart, memory)
    event = started()
    await handler.execute(event)
    await handler.execute(answer(RIGHT, event))
    state = memory.record(event.subject)["state"]
    assert await handler.execute(answer(RIGHT, event)) == []
    assert memory.record(event.subject)["state"] == state
    assert memory.stored[event.subject][1] == 3


class AsyncChart(ArvoStateChart):
    threads: ClassVar = []

    ask = State(initial=True)
    end = State(final=True)
    ask.to(end, event="evt.left.job.success", on="keep")

    async def on_enter_ask(self, arvo_event):
        self.threads.append(threading.current_thread())
        self.emit(Emission(type="com.left.job", data={"n": arvo_event.data["n"]}))

    async def keep(self, arvo_event):
        self.context["n"] = arvo_event.data["n"]

    def output(self):
        return self.context


async def test_callbacks_may_be_async(memory):
    AsyncChart.threads.clear()
    handler = orchestrator(AsyncChart, memory)
    event = started()
    [asked] = await handler.execute(event)
    assert asked.data == {"n": 1}
    [done] = await handler.execute(answer(LEFT, event, 5))
    assert done.data == {"n": 5}
    assert AsyncChart.threads == [threading.main_thread()]


async def test_plain_charts_run_in_a_thread(memory):
    threads = []

    class Plain(ArvoStateChart):
        ask = State(initial=True)
        end = State(final=True)
        ask.to(end, event="evt.left.job.success")

        def on_enter_state(self):
            threads.append(threading.current_thread())

    handler = orchestrator(Plain, memory)
    event = started()
    await handler.execute(event)
    assert await handler.execute(answer(LEFT, event)) == [], "no output, no completion"
    assert len(threads) == 2
    assert threading.main_thread() not in threads


class HistoryChart(ArvoStateChart):
    class job(State.Compound):  # noqa: N801
        one = State(initial=True)
        two = State()
        back = HistoryState()
        one.to(two, event="evt.left.job.success")

    paused = State()
    end = State(final=True)
    job.to(paused, event="evt.right.job.success")
    paused.to(job.back, event="evt.left.job.success")
    job.to(end, event="sys.com.left.job.error")


async def test_history_is_kept_between_steps(memory):
    handler = orchestrator(HistoryChart, memory)
    event = started()
    await handler.execute(event)
    await handler.execute(answer(LEFT, event))
    assert memory.record(event.subject)["value"] == {"job": "two"}
    await handler.execute(answer(RIGHT, event))
    record = memory.record(event.subject)
    assert record["value"] == "paused"
    assert list(record["state"]["historyValue"].values()) == [["two"]]
    await handler.execute(answer(LEFT, event))
    assert memory.record(event.subject)["value"] == {"job": "two"}


@pytest.mark.parametrize("callback", ["on_enter_ask", "keep"])
@pytest.mark.parametrize("is_async", [True, False])
async def test_an_error_of_a_callback_ends_the_workflow(memory, callback, is_async):
    async def fail_async(_self):
        raise ValueError("chart")

    def fail(_self):
        raise ValueError("chart")

    broken = type("Broken", (AsyncChart,), {callback: fail_async if is_async else fail})
    handler = orchestrator(broken, memory)
    event = started()
    emitted = await handler.execute(event)
    if callback == "keep":
        emitted = await handler.execute(answer(LEFT, event))
    [error] = emitted
    assert error.data["errorMessage"] == "chart"
    assert memory.record(event.subject)["executionStatus"] == "failure"


async def test_a_context_that_is_no_json_ends_the_workflow(memory):
    class Odd(ArvoStateChart):
        ask = State(initial=True)
        end = State(final=True)
        ask.to(end, event="evt.left.job.success")

        def on_enter_ask(self):
            self.context["odd"] = {1, 2}

    [error] = await orchestrator(Odd, memory).execute(started())
    assert "context.odd" in error.data["errorMessage"]


async def test_a_state_of_another_chart_is_a_violation(memory):
    event = started()
    await orchestrator(ParallelChart, memory).execute(event)
    before = memory.stored[event.subject]
    with pytest.raises(ConfigViolation, match="none of chart"):
        await orchestrator(AsyncChart, memory).execute(answer(LEFT, event))
    assert memory.stored[event.subject] == before


def test_invocations_and_delays_are_refused():
    class Invoking(ArvoStateChart):
        ask = State(initial=True, invoke=lambda: 1)
        end = State(final=True)
        ask.to(end, event="done.invoke.ask")

    class Delayed(ArvoStateChart):
        ask = State(initial=True)
        end = State(final=True)
        late = Event(ask.to(end), delay=1000)

    with pytest.raises(ConfigViolation, match="invokes"):
        orchestrator(Invoking)
    with pytest.raises(ConfigViolation, match="delayed"):
        orchestrator(Delayed)


def test_states_of_one_name_are_refused():
    class Twins(ArvoStateChart):
        class work(State.Parallel):  # noqa: N801
            class left(State.Compound):  # noqa: N801
                asked = State(initial=True)
                left_done = State(final=True)
                asked.to(left_done, event="evt.left.job.success")

            class right(State.Compound):  # noqa: N801
                asked = State(initial=True)
                asked.to.itself(event="evt.right.job.success")

        end = State(final=True)
        work.to(end, event="evt.go.on.then")

    with pytest.raises(ConfigViolation, match="several states named asked"):
        orchestrator(Twins)


def test_locking_depends_on_parallel_states_and_answers():
    assert not create_average_workflow().requires_resource_locking
    assert orchestrator(AsyncChart, requires_resource_locking=True).requires_resource_locking
    assert not orchestrator(AsyncChart).requires_resource_locking
    two = create_arvo_contract(
        uri="#/two",
        type="com.two.answers",
        versions={
            "1.0.0": {"accepts": Anything, "emits": {"evt.a.b": Anything, "evt.a.c": Anything}}
        },
    ).version("1.0.0")
    machine = create_arvo_machine(
        chart=AsyncChart, contract=SELF.version("1.0.0"), services={"two": two}
    )
    assert create_arvo_orchestrator(contract=SELF, machines=[machine]).requires_resource_locking


def test_machines_have_distinct_versions_of_one_contract():
    machine = create_arvo_machine(chart=AsyncChart, contract=SELF.version("1.0.0"), services={})
    for machines in ([], [machine, machine]):
        with pytest.raises(InvalidContractError, match="distinct versions"):
            create_arvo_orchestrator(contract=SELF, machines=machines)
    with pytest.raises(ConfigViolation, match="share its contract"):
        create_arvo_orchestrator(contract=AVERAGE_CONTRACT, machines=[machine])


def test_the_definition_is_upstreams(sample):
    golden = json.loads(sample("state_record_orchestrator_first_write")["machineDefinition"])
    machine = create_arvo_machine(
        chart=AverageChart,
        contract=AVERAGE_CONTRACT.version("1.0.0"),
        services={"add": ADD_CONTRACT.version("1.0.0")},
    )
    assert json.loads(machine.definition) == golden
    nested = create_arvo_machine(
        chart=ParallelChart, contract=SELF.version("1.0.0"), services=SERVICES
    )
    assert json.loads(nested.definition)["states"]["work"]["type"] == "parallel"


async def test_the_average_workflow_reports_the_error_of_a_service(memory):
    handler = create_average_workflow(memory)
    factory = create_arvo_event_factory(AVERAGE_CONTRACT.version("1.0.0"))
    event = factory.init(source="com.test.test", data={"parentSubject$$": None, "numbers": [1, 2]})
    [asked] = await handler.execute(event)
    for contract in (PRODUCT_CONTRACT, ADD_CONTRACT):
        error = create_arvo_event_factory(contract.version("1.0.0")).system_error(
            source=contract.type, error=ValueError("no"), subject=event.subject, parentid=asked.id
        )
        emitted = await handler.execute(error)
    [done] = emitted
    assert done.type == "arvo.orc.workflow.average.done"
    assert (done.data["success"], done.data["average"]) == (False, None)
    assert done.data["errors"][0]["errorMessage"] == "no"


async def test_only_the_init_event_starts_a_workflow(memory):
    stray = create_arvo_event(
        source="com.left.job",
        type="evt.left.job.success",
        subject=started().subject,
        data={"n": 1},
        dataschema="#/left/1.0.0",
    )
    assert await orchestrator(AsyncChart, memory).execute(stray) == []
    assert memory.stored == {}
