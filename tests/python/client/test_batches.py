"""Handlers of batches: many events at once, and still an outcome for each."""

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from arvo_plpg import (
    ArvoEvent,
    HandlerOptions,
    InvalidHandler,
    QueueOptions,
    WorkerOptions,
    current_deliveries,
    current_delivery,
)

TASK = "com.example.task"
CLIENT = "com.example.client"


class Batches:
    """A handler that writes down its batches, and does with each what it is told to."""

    def __init__(self, action=None, source=TASK):
        self.source = source
        self.seen = []
        self._action = action

    async def execute_many(self, events):
        self.seen.append([event.data["number"] for event in events])
        return await self._action(events) if self._action else [[] for _ in events]


def idle(ask):
    return ask(
        "SELECT count(*) FROM arvo_v1.queue_stats()"
        " WHERE queued_count + active_count + deferred_count > 0"
    ) == [(0,)]


async def letters(broker):
    async with broker.connection() as contract:
        return await contract.dead_letters()


def dead(found):
    return sorted(
        (letter.event["data"]["number"], letter.error["name"], letter.attempts) for letter in found
    )


async def test_events_come_in_order_at_most_so_many_at_once(
    broker, event, until, ask, worker_options
):
    handler = Batches()
    await broker.dispatch_many([event(TASK, number=n) for n in range(1000)])
    await broker.register(handler, worker_options(batch_size=30))
    await until(lambda: idle(ask))
    assert [number for batch in handler.seen for number in batch] == list(range(1000))
    assert max(map(len, handler.seen)) == 30
    assert ask("SELECT DISTINCT unnest(outcomes) FROM arvo.closure") == [("completed",)]


async def test_each_event_has_its_own_outcome(broker, event, until, ask, story, worker_options):
    """Three emit, one emits nothing, one fails once, one always, and one answers rubbish."""

    async def act(events):
        outcomes = []
        for asked, delivery in zip(events, current_deliveries(), strict=True):
            number = asked.data["number"]
            assert delivery.event is asked
            assert current_delivery() is None
            if number == 1 and delivery.attempt == 1:
                outcomes.append(LookupError("the first time"))
            elif number == 2:
                outcomes.append(ValueError("always"))
            elif number == 3:
                outcomes.append(["rubbish"])
            elif number == 4:
                outcomes.append([])
            else:
                outcomes.append([event(CLIENT, subject=asked.subject, number=number)])
        return outcomes

    answers = []
    handler = Batches(act)
    await broker.on_workflow_complete(source=CLIENT, listener=answers.append)
    asked = [event(TASK, subject=f"s{n}", number=n) for n in range(7)]
    await broker.dispatch_many(asked)
    await broker.register(handler, worker_options(batch_size=7, retry_limit=1))
    await until(lambda: idle(ask))
    await until(lambda: len(answers) == 4)
    assert handler.seen[0] == list(range(7))
    assert sorted(n for batch in handler.seen[1:] for n in batch) == [1, 2, 3]
    assert sorted(found.data["number"] for found in answers) == [0, 1, 5, 6]
    assert dead(await letters(broker)) == [(2, "ValueError", 2), (3, "TypeError", 2)]
    assert story(asked[1]) == [(TASK, 1, "retried"), (TASK, 2, "completed")]
    assert story(asked[4]) == [(TASK, 1, "completed")]


class NothingError(Exception):
    """One that counts as false."""

    def __len__(self):
        return 0


async def test_what_counts_as_false_is_looked_at_all_the_same(
    broker, event, until, ask, worker_options
):
    outcomes = [[], NothingError(), (), None, ""]

    async def act(events):
        return [outcomes[event.data["number"]] for event in events]

    await broker.dispatch_many([event(TASK, number=n) for n in range(5)])
    await broker.register(Batches(act), worker_options(batch_size=5, retry_limit=0))
    await until(lambda: idle(ask))
    assert dead(await letters(broker)) == [
        (1, "NothingError", 1),
        (3, "TypeError", 1),
        (4, "TypeError", 1),
    ]


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (lambda events: 1 / 0, "ZeroDivisionError"),
        (lambda events: [[]] * (len(events) - 1), "TypeError"),
        (lambda events: None, "TypeError"),
        (lambda events: {"a": 1}, "TypeError"),
        (lambda events: asyncio.current_task().cancel("x") and 1 / 0, "ZeroDivisionError"),
    ],
    ids=["raises", "too-few", "nothing", "no-list", "cancels"],
)
async def test_a_batch_fails_as_a_whole(
    broker, event, until, ask, worker_options, log, answer, name
):
    async def act(events):
        return answer(events)

    await broker.dispatch_many([event(TASK, number=n) for n in range(5)])
    await broker.register(Batches(act), worker_options(retry_limit=0, batch_size=5))
    await until(lambda: idle(ask))
    assert dead(await letters(broker)) == [(n, name, 1) for n in range(5)]
    assert f"a batch of 5 events in '{TASK}' failed: {name}" in log.text


async def test_an_event_that_cannot_be_sent_is_a_failure_of_its_own(
    broker, event, until, ask, worker_options
):
    async def act(events):
        bad = event(CLIENT).to_dict() | {"to": "no queue has this name"}
        return [
            [ArvoEvent.from_trusted_dict(bad)] if asked.data["number"] == 2 else []
            for asked in events
        ]

    await broker.dispatch_many([event(TASK, number=n) for n in range(5)])
    await broker.register(Batches(act), worker_options(retry_limit=0))
    await until(lambda: idle(ask))
    assert dead(await letters(broker)) == [(2, "ValueError", 1)]


async def test_a_batch_that_runs_too_long_is_cancelled(broker, event, until, ask, worker_options):
    cancelled = []

    async def act(events):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(len(events))
            raise

    options = worker_options(retry_limit=0, expire_in_seconds=1, batch_size=4)
    await broker.dispatch_many([event(TASK, number=n) for n in range(4)])
    await broker.register(Batches(act), options)
    await until(lambda: idle(ask))
    assert cancelled == [4]
    assert dead(await letters(broker)) == [(n, "DeadlineExceeded", 1) for n in range(4)]


async def test_as_many_batches_at_once_as_configured(broker, event, until, ask, worker_options):
    running, most = [0], [0]

    async def act(events):
        running[0] += 1
        most[0] = max(most[0], running[0])
        await asyncio.sleep(0.001)
        running[0] -= 1
        return [[] for _ in events]

    handler = Batches(act)
    await broker.dispatch_many([event(TASK, number=n) for n in range(600)])
    await broker.register(handler, worker_options(concurrency=3, batch_size=20))
    await until(lambda: idle(ask))
    assert most[0] == 3
    assert sorted(n for batch in handler.seen for n in batch) == list(range(600))


@pytest.mark.parametrize("late", [False, True])
async def test_stopping_lets_a_batch_finish_or_gives_it_back(
    broker_on, event, until, ask, worker_options, late
):
    gate = asyncio.Event()

    async def act(events):
        await gate.wait()
        return [[] for _ in events]

    broker, handler = await broker_on(), Batches(act)
    await broker.dispatch_many([event(TASK, number=n) for n in range(25)])
    await broker.register(handler, worker_options(batch_size=10))
    await until(lambda: handler.seen)
    stopping = asyncio.create_task(broker.stop(timeout=0.1 if late else 30))
    if not late:
        await until(lambda: ask("SELECT active_count FROM arvo_v1.queue_stats()") == [(10,)])
        gate.set()
    await stopping
    assert handler.seen == [list(range(10))]
    left = 25 if late else 15
    assert ask("SELECT queued_count, active_count FROM arvo_v1.queue_stats()") == [(left, 0)]
    assert ask("SELECT max(attempt) FROM arvo.log") == [(1,)]


async def test_a_batch_has_one_event_of_an_ordered_key_at_a_time(broker, event, until, ask):
    failed = []

    async def act(events):
        subjects = [asked.subject for asked in events]
        assert len(set(subjects)) == len(subjects)
        outcomes = []
        for asked in events:
            fails = asked.data["number"] == 9 and not failed
            failed.extend([9] if fails else [])
            outcomes.append(RuntimeError("the first time") if fails else [])
            if not fails:
                order.append((asked.subject, asked.data["number"]))
        return outcomes

    order = []
    handler = Batches(act)
    options = HandlerOptions(
        queue=QueueOptions(policy="ordered"), worker=WorkerOptions(batch_size=10)
    )
    await broker.dispatch_many([event(TASK, subject=f"s{n % 4}", number=n) for n in range(80)])
    await broker.register(handler, options)
    await until(lambda: idle(ask))
    for key in range(4):
        assert [n for subject, n in order if subject == f"s{key}"] == list(range(key, 80, 4))
    assert max(map(len, handler.seen)) > 1
    assert failed == [9]


async def test_a_stateful_handler_takes_no_batches(broker, until):
    handler = Batches()
    handler.stateful = True
    with pytest.raises(InvalidHandler, match="cannot be stateful") as refused:
        await broker.register(handler)
    assert TASK in refused.value.detail
    assert broker.queues == []


@pytest.mark.parametrize("fails", [False, True])
async def test_a_batch_has_one_span_with_a_link_to_each_event(
    broker, event, until, ask, worker_options, monkeypatch, fails
):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("arvo_plpg.telemetry.spans._TRACER", provider.get_tracer("arvo_plpg"))
    monkeypatch.setattr("arvo_plpg.runtime.batch.tracing", lambda: True)
    emitted = []

    async def act(events):
        if fails:
            raise LookupError("nothing there")
        emitted.append(event(CLIENT))
        return [[emitted[0]], *([] for _ in events[1:])]

    parents = [f"00-{n + 1:032x}-{n + 1:016x}-01" for n in range(3)]
    asked = [event(TASK, number=n, traceparent=parent) for n, parent in enumerate(parents)]
    await broker.dispatch_many([*asked, event(TASK, number=3, traceparent=None)])
    await broker.register(Batches(act), worker_options(batch_size=4, retry_limit=0))
    await until(exporter.get_finished_spans)
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind, span.parent) == (f"process {TASK}", SpanKind.CONSUMER, None)
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [
        (n, n) for n in (1, 2, 3)
    ]
    assert [link.attributes["messaging.message.id"] for link in span.links] == [
        one.id for one in asked
    ]
    assert span.attributes["messaging.batch.message_count"] == 4
    if fails:
        assert span.status.status_code is StatusCode.ERROR
        assert span.events[0].attributes["exception.message"] == "nothing there"
    else:
        assert emitted[0].traceparent.split("-")[2] == f"{span.context.span_id:016x}"


@pytest.mark.parametrize("name", ["concurrency", "batch_size", "prefetch"])
def test_what_is_of_the_process_is_not_stored(name):
    assert name not in HandlerOptions(worker=WorkerOptions(**{name: 7})).registration()
