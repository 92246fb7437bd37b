"""The aids for users' tests, used as users would."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel

from arvo_plpg import (
    ConfigViolation,
    Emission,
    HandlerOptions,
    QueueOptions,
    ResumableResult,
    WorkerOptions,
    contract_version,
    create_arvo_contract,
    create_arvo_event,
    create_arvo_event_factory,
    create_arvo_event_handler,
    create_arvo_orchestrator_contract,
    create_arvo_resumable,
    workflow_version,
)
from arvo_plpg.testing import NotIdleError, TestBroker

CLIENT = "com.test.client"
START = datetime(2030, 1, 1, tzinfo=UTC)


class Greet(BaseModel):
    name: str


class Said(BaseModel):
    text: str


GREET_1 = contract_version("1.0.0", accepts=Greet).emitting("evt.hello.said", Said)
GREET = create_arvo_contract(uri="#/hello", type="com.hello.greet", versions=[GREET_1])
FLOW_1 = workflow_version("1.0.0", init=Greet, complete=Said)
FLOW = create_arvo_orchestrator_contract(uri="#/flow", name="greeting", versions=[FLOW_1])


@GREET_1.handler
async def greet(context):
    return Said(text=f"Hello, {context.payload.name}")


@FLOW_1.resumable
async def flow(context):
    if context.payload is not None:
        return ResumableResult(services=[context.payload])
    return ResumableResult(output=Said(text=context.service.data["text"].upper()))


def greeter(function=greet):
    return create_arvo_event_handler(contract=GREET, handler=[function])


def workflow():
    return create_arvo_resumable(
        contract=FLOW, services={"greet": GREET.version(GREET_1)}, handler=[flow]
    )


def ask(**more):
    factory = create_arvo_event_factory(GREET.version(GREET_1))
    return factory.accepts(source=CLIENT, data=Greet(name="Ada"), **more)


def start():
    factory = create_arvo_event_factory(FLOW.version(FLOW_1))
    return factory.init(source=CLIENT, data=Greet(name="Ada"))


async def test_a_workflow_runs_to_its_end(broker):
    await broker.register(greeter())
    await broker.register(workflow())
    await broker.on_workflow_complete(source=CLIENT)
    init = start()
    assert (await broker.dispatch(init)).outcome == "queued"
    assert broker.completed == []
    await broker.run_until_idle()
    (done,) = broker.completed
    assert (done.type, done.data) == ("arvo.orc.greeting.done", {"text": "HELLO, ADA"})
    tree = await broker.tree(init)
    assert str(tree).splitlines() == [
        "arvo.orc.greeting → arvo.orc.greeting: completed",
        "  com.hello.greet → com.hello.greet: completed",
        "    evt.hello.said → arvo.orc.greeting: completed",
        f"  arvo.orc.greeting.done → {CLIENT}: completed",
    ]
    said = tree.find("evt.hello.said")
    assert (said.data, said.source, said.attempts) == ({"text": "Hello, Ada"}, GREET.type, 1)
    assert said.event.parentid == tree.find("com.hello.greet").id
    assert (await broker.tree(said.event)).id == said.id
    with pytest.raises(LookupError, match="0 events are of type com"):
        tree.find("com.other.thing")
    with pytest.raises(LookupError, match="not in the database"):
        await broker.tree(start())


async def test_nothing_runs_between_two_runs(broker):
    seen = []

    @GREET_1.handler
    async def note(context):
        seen.append(context.payload.name)

    await broker.register(greeter(note))
    await broker.dispatch(ask())
    async with broker.contract() as contract:
        (stats,) = await contract.queue_stats(GREET.type)
    assert (stats.queued_count, seen) == (1, [])
    await broker.run_until_idle()
    assert seen == ["Ada"]
    await broker.run_until_idle()
    assert seen == ["Ada"]
    await broker.dispatch_many([ask(), ask()])
    await broker.run_until_idle()
    assert seen == ["Ada"] * 3


def test_it_belongs_to_no_event_loop(broker):
    asyncio.run(broker.register(greeter()))
    event = ask()
    asyncio.run(broker.dispatch(event))
    asyncio.run(broker.run_until_idle())
    assert asyncio.run(broker.tree(event)).outcome == "completed"


async def test_what_nobody_handles_does_not_hold_it_up(broker):
    await broker.register(greeter())
    event = ask()
    await broker.dispatch(event)
    await broker.run_until_idle()
    tree = await broker.tree(event)
    answer = tree.find("evt.hello.said")
    assert (answer.outcome, answer.queue) == ("unroutable", CLIENT)
    assert answer.data == {"text": "Hello, Ada"}


async def test_time_stands_and_jumps(broker):
    broker.freeze(START)
    await broker.register(greeter())
    event = ask()
    await broker.dispatch(event, start_after=timedelta(hours=1))

    async def after_a_run():
        await broker.run_until_idle()
        return (await broker.tree(event)).outcome

    assert await after_a_run() == "deferred"
    broker.advance(timedelta(minutes=59, seconds=59))
    assert await after_a_run() == "deferred"
    broker.advance(1)
    assert await after_a_run() == "completed"
    assert broker.now == START + timedelta(hours=1)
    (step,) = (await broker.tree(event)).deliveries[-1:]
    assert step.settled_at == broker.now
    with pytest.raises(ValueError, match="backwards"):
        broker.advance(-1)
    with pytest.raises(ValueError, match="time zone"):
        broker.freeze(datetime(2030, 1, 1))  # noqa: DTZ001


async def test_a_clock_that_runs_is_stopped_where_it_is(broker):
    before = datetime.now(UTC)
    assert before <= broker.now
    broker.freeze()
    stopped = broker.now
    assert before <= stopped <= datetime.now(UTC)
    assert broker.now == stopped


async def test_jumping_works_off_what_is_due_later(broker):
    broker.freeze(START)
    runs = []

    @GREET_1.handler
    async def fail_twice(context):
        runs.append(context.payload.name)
        if len(runs) < 3:
            raise ConfigViolation("not yet")
        return Said(text="at last")

    options = HandlerOptions(worker=WorkerOptions(retry_limit=5, retry_delay=3600))
    await broker.register(greeter(fail_twice), options)
    event = ask()
    await broker.dispatch(event)
    await broker.run_until_idle()
    assert (len(runs), (await broker.tree(event)).outcome) == (1, "deferred")
    await broker.run_until_idle(jumping=True)
    tree = await broker.tree(event)
    assert (len(runs), tree.outcome, tree.attempts) == (3, "completed", 3)
    assert tree.error["name"] == "ConfigViolation"
    assert broker.now >= START + timedelta(hours=2)


async def test_a_dead_letter_is_the_end(broker):
    @GREET_1.handler
    def fail(_):
        raise ConfigViolation("never")

    options = HandlerOptions(
        queue=QueueOptions(dead_letter="morgue"), worker=WorkerOptions(retry_limit=1)
    )
    await broker.register(greeter(fail), options)
    event = ask()
    await broker.dispatch(event)
    await broker.run_until_idle()
    (letter,) = await broker.dead_letters()
    assert (letter.event_id, letter.attempts) == (event.id, 2)
    tree = await broker.tree(event)
    assert (tree.outcome, tree.queue, tree.attempts) == ("dead", GREET.type, 2)
    assert [step.queue for step in tree.deliveries] == [GREET.type, GREET.type, "morgue"]


async def test_events_with_a_domain_are_kept_and_answered(broker):
    @GREET_1.handler
    def to_a_person(context):
        return Emission(data=Said(text="?"), domain=["human.interaction"])

    def approve(event):
        return [
            create_arvo_event(
                source="com.test.person", type="evt.person.approved", subject=event.subject,
                data={}, to=CLIENT, parentid=event.id,
            )
        ]  # fmt: skip

    await broker.register(greeter(to_a_person))
    await broker.on_workflow_complete(source=CLIENT)
    event = ask()
    await broker.dispatch(event)
    await broker.run_until_idle()
    assert broker.domained == []
    broker.on_domained_event(approve)
    await broker.run_until_idle()
    assert [one.domain for one in broker.domained] == ["human.interaction"]
    assert [one.type for one in broker.completed] == ["evt.person.approved"]
    assert (await broker.tree(event)).find("evt.person.approved").source == "com.test.person"


async def test_listeners_are_called_and_may_answer(broker):
    heard = []

    async def listen(event):
        heard.append(event.type)
        return [ask(subject=event.subject)] if len(heard) == 1 else None

    await broker.register(greeter())
    await broker.on_workflow_complete(source=CLIENT, listener=listen)
    await broker.dispatch(ask())
    await broker.run_until_idle()
    assert heard == ["evt.hello.said"] * 2
    assert len(broker.completed) == 2


async def test_a_paused_queue_does_not_hold_it_up(broker):
    await broker.register(greeter())
    async with broker.contract() as contract:
        await contract.pause_queue(GREET.type)
    event = ask()
    await broker.dispatch(event)
    await broker.run_until_idle()
    assert (await broker.tree(event)).outcome == "paused"


async def test_what_never_ends_is_explained(broker):
    stop = asyncio.Event()

    @GREET_1.handler
    async def for_ever(_):
        await stop.wait()

    await broker.register(greeter(for_ever))
    event = ask()
    await broker.dispatch_many([event, ask(), ask()])
    with pytest.raises(NotIdleError) as caught:
        await broker.run_until_idle(timeout=0.5)
    text = str(caught.value)
    assert "not idle after 0.5 s" in text
    assert "com.hello.greet: 2 queued, 1 active" in text
    assert f"com.hello.greet ({event.id}) in com.hello.greet, attempt 1: active" in text
    assert "leased" in text or "running" in text


async def test_a_cycle_in_time_is_told(broker, monkeypatch):
    monkeypatch.setattr("arvo_plpg.testing.broker._MOST_JUMPS", 3)
    broker.freeze(START)

    @GREET_1.handler
    def never(_):
        raise ConfigViolation("never")

    options = HandlerOptions(worker=WorkerOptions(retry_limit=100, retry_delay=60))
    await broker.register(greeter(never), options)
    await broker.dispatch(ask())
    with pytest.raises(NotIdleError, match="after 3 jumps"):
        await broker.run_until_idle(jumping=True)


async def test_answers_come_as_the_models_that_services_emit(broker):
    seen = []

    @FLOW_1.resumable
    async def asks_twice(context):
        if context.payload is not None:
            assert context.answer(Said) is None
            return ResumableResult(services=[Greet(name="Ada"), Greet(name="Grace")])
        seen.append((context.answer(Said), context.answers(Said)))
        with pytest.raises(TypeError, match="no service emits the model Greet"):
            context.answers(Greet)
        if context.awaiting:
            return None
        return ResumableResult(output=Said(text=" ".join(s.text for s in context.answers(Said))))

    await broker.register(greeter())
    await broker.register(
        create_arvo_resumable(
            contract=FLOW, services={"greet": GREET.version(GREET_1)}, handler=[asks_twice]
        )
    )
    await broker.on_workflow_complete(source=CLIENT)
    await broker.dispatch(start())
    await broker.run_until_idle()
    (done,) = broker.completed
    assert done.data["text"] == "Hello, Ada Hello, Grace"
    assert [len(answers) for _, answers in seen] == [1, 2]
    assert all(isinstance(answer, Said) for answer, _ in seen)


@pytest.mark.parametrize(
    "limit",
    [
        {"rate_limit": 1, "rate_period_seconds": 86_400},
        {"key_rate_limit": 1, "key_rate_period_seconds": 86_400, "key_from": "source"},
    ],
    ids=["of the queue", "of a key"],
)
async def test_time_jumps_to_when_a_rate_limit_has_room(broker, limit):
    broker.freeze(START)
    started = []

    @GREET_1.handler
    def greet(call):
        started.append(broker.now)
        return Said(text=call.payload.name)

    await broker.register(greeter(greet), HandlerOptions(queue=QueueOptions(**limit)))
    await broker.dispatch_many([ask(), ask(), ask()])
    await broker.run_until_idle(jumping=True, timeout=30)
    assert len(started) == 3
    gaps = [after - before for before, after in itertools.pairwise(started)]
    # A rate counts in twentieths of its period.
    assert all(timedelta(days=0.95) <= gap <= timedelta(days=1.1) for gap in gaps)


async def test_schedules_fire_when_time_jumps_to_them(broker):
    broker.freeze(START)
    await broker.register(greeter())
    async with broker.contract() as contract:
        await contract.schedule(
            "hourly", "0 * * * *",
            {"source": CLIENT, "type": GREET.type, "dataschema": "#/hello/1.0.0",
             "data": {"name": "Cron"}},
        )  # fmt: skip
    await broker.on_workflow_complete(source=CLIENT)
    await broker.run_until_idle()
    assert broker.completed == []
    broker.advance(timedelta(hours=1))
    await broker.run_until_idle()
    assert [event.data["text"] for event in broker.completed] == ["Hello, Cron"]


def test_each_test_has_a_database_of_its_own(broker, arvo_dsn):
    assert isinstance(broker, TestBroker)
    assert (broker.dsn, broker.schema) == (arvo_dsn, "arvo")
    assert asyncio.run(broker.dead_letters()) == []
