"""PostgresEventBroker: registration, dispatch, listeners, stopping, and what goes wrong."""

import asyncio
import logging
import math
import re
import socket
import threading
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from arvo_plpg import (
    AlreadyRegistered,
    ArvoError,
    ArvoEvent,
    BrokerNotStarted,
    ClientTooOld,
    DatabaseUnreachable,
    EventTooLargeError,
    HandlerOptions,
    InvalidArgument,
    InvalidEventError,
    InvalidOption,
    PostgresEventBroker,
    PrivilegeMissing,
    QueueOptions,
    SchemaMissing,
    SchemaTooOld,
    UnknownQueue,
    WorkerOptions,
    create_arvo_event,
    current_delivery,
)
from arvo_plpg.rows import Queue
from arvo_plpg.sync import Broker

SECRET = "tell-nobody"


# --- the good way


async def test_a_handler_gets_its_events_and_its_answers_reach_the_client(
    broker, event, recorder, until, story
):
    async def answer(asked):
        return [event(to=asked.source, subject=asked.subject, number=asked.data["number"] * 2)]

    handler, answers = recorder(action=answer), []
    await broker.register(handler)
    await broker.on_workflow_complete(source="com.example.client", listener=answers.append)
    asked = event(number=21)
    result = await broker.dispatch(asked)
    assert (result.outcome, result.queue, result.event_id) == ("queued", handler.source, asked.id)
    await until(lambda: answers)
    assert [found.data["number"] for found in answers] == [42]
    assert handler.seen == [asked]
    await until(lambda: story(asked) == [(handler.source, 1, "completed")])


async def test_three_brokers_share_the_routing_table(broker_on, event, recorder, until):
    async def pass_on(asked, to):
        return [event(to=to, number=asked.data["number"] + 1)]

    brokers = [await broker_on(name=f"worker-{number}") for number in range(3)]
    first = recorder("com.example.first", lambda asked: pass_on(asked, "com.example.second"))
    second = recorder("com.example.second", lambda asked: pass_on(asked, "com.example.client"))
    answers = []
    for broker, handler in zip(brokers, (first, second), strict=False):
        await broker.register(handler)
    await brokers[2].on_workflow_complete(source="com.example.client", listener=answers.append)
    for number in range(20):
        await brokers[2].dispatch(event("com.example.first", number=number * 10))
    await until(lambda: len(answers) == 20)
    assert sorted(a.data["number"] for a in answers) == [n * 10 + 2 for n in range(20)]
    assert (len(first.seen), len(second.seen)) == (20, 20)


async def test_dispatch_joins_the_callers_transaction(broker, event, recorder, until, dsn):
    handler = recorder()
    await broker.register(handler)
    kept, dropped = event(number=1), event(number=2)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await broker.dispatch(dropped, connection=connection)
        await connection.rollback()
        await broker.dispatch(kept, connection=connection)
        assert handler.seen == []
        await connection.commit()
        await until(lambda: handler.seen)
    assert handler.seen == [kept]


async def test_blocking_dispatch_joins_the_callers_transaction(
    broker, event, recorder, until, connection
):
    handler = recorder()
    await broker.register(handler)
    kept, dropped = event(number=1), event(number=2)
    with connection.transaction(force_rollback=True):
        Broker(connection).dispatch(dropped)
    with connection.transaction():
        Broker(connection).dispatch(kept)
    await until(lambda: handler.seen)
    assert handler.seen == [kept]


async def test_dispatch_many_accepts_all_in_order_or_none(broker, event, recorder, until, ask):
    handler = recorder()
    await broker.register(handler)
    bad = ArvoEvent.from_trusted_dict(event(number=9).to_dict() | {"to": 'a"b'})
    with pytest.raises(InvalidEventError, match="event is not valid") as caught:
        await broker.dispatch_many([event(number=8), bad])
    assert caught.value.field == "to"
    assert "event 2 of 2" in caught.value.detail
    events = [event(number=number) for number in range(30)]
    results = await broker.dispatch_many(events)
    assert [result.event_id for result in results] == [item.id for item in events]
    assert [result.ordinal for result in results] == list(range(1, 31))
    await until(lambda: len(handler.seen) == 30)
    assert handler.seen == events
    assert await broker.dispatch_many([]) == []
    assert ask("SELECT count(*) FROM arvo.log WHERE lane > 0") == [(30,)]


async def test_an_event_put_off_comes_later_and_priority_comes_first(
    broker, event, recorder, until
):
    late, low, high = event(number=1), event(number=2), event(number=3)
    assert (await broker.dispatch(late, start_after=timedelta(seconds=0.5))).outcome in {
        "deferred",
        "unroutable",
    }
    await broker.dispatch(low, priority=-5)
    await broker.dispatch(high, priority=5)
    handler = recorder()
    await broker.register(handler)
    await until(lambda: len(handler.seen) == 3)
    assert handler.seen == [high, low, late]


async def test_a_handler_can_look_at_its_delivery(broker, event, recorder, until, worker_options):
    looks = []

    async def look(_):
        delivery = current_delivery()
        looks.append((delivery.attempt, delivery.cause, delivery.remaining()))
        if delivery.attempt == 1:
            raise LookupError("once more")
        return []

    def look_beside(_):
        looks.append(current_delivery().queue)

    await broker.register(recorder(action=look), worker_options(expire_in_seconds=60))
    await broker.on_workflow_complete(source="com.example.client", listener=look_beside)
    await broker.dispatch(event())
    await until(lambda: len(looks) == 2)
    await broker.dispatch(event(to="com.example.client"))
    await until(lambda: len(looks) == 3)
    (first, no_cause, left), (second, cause, _), beside = looks
    assert (first, no_cause, second, beside) == (1, None, 2, "com.example.client")
    assert 50 < left <= 60
    assert cause["error"]["message"] == "once more"
    assert current_delivery() is None


# --- listeners


async def test_domained_events_wait_for_a_listener_and_its_answers_are_emitted(
    broker, event, recorder, until
):
    handler = recorder()
    await broker.register(handler)
    asked = event(to="com.example.person", domain="human.interaction")
    assert (await broker.dispatch(asked)).outcome == "domained"
    seen = []

    def approve(found):
        seen.append(found)
        return [event(to="com.example.task", subject=found.subject, number=7)]

    broker.on_domained_event(approve)
    await until(lambda: handler.seen)
    assert seen == [asked]
    assert [found.data["number"] for found in handler.seen] == [7]


async def test_the_options_of_a_domain_listener_hold_in_each_domains_queue(
    broker, event, until, ask
):
    broker.on_domained_event(lambda _: 1 / 0, HandlerOptions(worker=WorkerOptions(retry_limit=0)))
    for domain in ("one", "two"):
        asked = event(domain=domain)
        await broker.dispatch(asked)
        await until(lambda: ask("SELECT 1 FROM arvo.dead WHERE event_id = %s", asked.id))  # noqa: B023
    assert ask("SELECT DISTINCT attempts FROM arvo.dead") == [(1,)]


async def test_an_event_without_a_handler_is_noticed_and_delivered_later(
    broker, event, recorder, until
):
    notices = []
    broker.on_handler_not_found(notices.append)
    await until(lambda: registered(broker, "arvo.unroutable"))
    lost = event(to="com.example.late")
    assert (await broker.dispatch(lost)).outcome == "unroutable"
    await until(lambda: notices)
    assert notices == [lost]
    handler = recorder("com.example.late")
    await broker.register(handler)
    await until(lambda: handler.seen)
    assert handler.seen == [lost]
    assert notices == [lost]


async def registered(broker, queue):
    async with broker.connection() as contract:
        return any(stats.registered for stats in await contract.queue_stats(queue))


async def test_a_listener_that_fails_is_called_again(broker, event, until, story):
    calls = []

    def listen(found):
        calls.append(found)
        if len(calls) < 3:
            raise OSError("out of paper")

    await broker.on_workflow_complete(source="com.example.client", listener=listen)
    told = event(to="com.example.client")
    await broker.dispatch(told)
    await until(lambda: len(calls) == 3)
    await until(lambda: [step[2] for step in story(told)] == ["retried", "retried", "completed"])


async def test_plain_listeners_run_in_threads_as_many_as_they_may(
    broker, event, until, worker_options
):
    """More at once than the event loop's own pool has threads."""
    together = threading.Barrier(16, timeout=20)
    threads = set()

    def meet(_):
        threads.add(threading.current_thread())
        together.wait()

    await broker.on_workflow_complete(
        source="com.example.client", listener=meet, options=worker_options(concurrency=16)
    )
    await broker.dispatch_many([event(to="com.example.client") for _ in range(16)])
    await until(lambda: len(threads) == 16 and together.n_waiting == 0)
    assert threading.main_thread() not in threads
    await until(lambda: not any(thread.is_alive() for thread in threads))


async def test_listeners_may_be_any_callable(broker, event, until):
    seen = []

    class Listener:
        async def __call__(self, found):
            seen.append(found)

    def promise(found):
        return Listener()(found)

    await broker.on_workflow_complete(source="com.example.one", listener=Listener())
    await broker.on_workflow_complete(source="com.example.two", listener=promise)
    for to in ("com.example.one", "com.example.two"):
        await broker.dispatch(event(to=to))
    await until(lambda: len(seen) == 2)


# --- what handlers do wrong


@pytest.mark.parametrize(
    "rubbish",
    [None, "text", {"a": 1}, [1], [None], 7, object()],
    ids=["None", "text", "dict", "number", "Nones", "int", "object"],
)
async def test_rubbish_is_a_failed_attempt_with_a_reason(
    broker, event, recorder, until, worker_options, rubbish
):
    async def answer(_):
        return rubbish

    await broker.register(recorder(action=answer), worker_options(retry_limit=0))
    await broker.dispatch(event())
    (letter,) = await until(lambda: letters(broker))
    assert letter.error["name"] == "TypeError"
    assert "must return a list of ArvoEvent" in letter.error["message"]
    assert (letter.attempts, letter.reason) == (1, "failed")


async def letters(broker):
    async with broker.connection() as contract:
        return await contract.dead_letters()


async def test_what_the_database_refuses_to_emit_is_a_failed_attempt_with_the_reason(
    broker, event, recorder, until, worker_options, story
):
    async def emit(asked):
        bad = event(to="com.example.next").to_dict() | {"to": "no queue\nhas this name"}
        return [event(to="com.example.next"), ArvoEvent.from_trusted_dict(bad)]

    await broker.register(recorder(action=emit), worker_options(retry_limit=1))
    asked = event()
    await broker.dispatch(asked)
    (letter,) = await until(lambda: letters(broker))
    assert "emitted event: to: must be" in letter.error["message"]
    assert [step[1:] for step in story(asked)] == [(1, "retried"), (2, "dead")]
    async with broker.connection() as contract:
        assert await contract.queue_stats("com.example.next") == []


async def test_a_result_that_cannot_be_sent_spoils_no_other(
    broker, event, recorder, until, worker_options
):
    """An event that was never validated, with a text that no jsonb can hold."""

    async def emit(asked):
        if asked.data["number"] != 3:
            return []
        bad = event().to_dict() | {"data": {"text": "a\x00b"}}
        return [ArvoEvent.from_trusted_dict(bad)]

    handler = recorder(action=emit)
    await broker.register(handler, worker_options(retry_limit=0, concurrency=10))
    await broker.dispatch_many([event(number=number) for number in range(10)])
    (letter,) = await until(lambda: letters(broker))
    assert letter.event["data"] == {"number": 3}
    assert letter.error["name"] == "InvalidArgument"
    await until(lambda: idle(broker))
    assert len(handler.seen) == 10


async def idle(broker):
    return all(
        stats.queued_count == stats.active_count == stats.deferred_count == 0
        for stats in await broker.get_stats()
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, "a\x00b", "\ud800", {1, 2}])
async def test_a_state_that_cannot_be_stored_is_a_failed_attempt(
    broker, event, stateful_recorder, until, worker_options, value
):
    from arvo_plpg import MemoryMetadata

    async def write(asked, memory):
        metadata = MemoryMetadata(asked.subject, None, None, "com.example.task")
        await memory.write(asked.subject, {"value": value}, None, metadata)
        return []

    handler = stateful_recorder(action=write)
    await broker.register(handler, worker_options(retry_limit=0))
    await broker.dispatch(event())
    (letter,) = await until(lambda: letters(broker))
    assert letter.error["name"] == "InvalidArgument"
    assert "cannot be stored as JSON" in letter.error["message"]


@pytest.mark.parametrize("kind", [asyncio.CancelledError, StopIteration, TimeoutError])
@pytest.mark.parametrize("plain", [True, False])
async def test_odd_exceptions_are_failed_attempts_too(
    broker, event, until, worker_options, kind, plain
):
    def fail(_):
        raise kind

    async def fail_later(_):
        raise kind

    await broker.on_workflow_complete(
        source="com.example.client",
        listener=fail if plain else fail_later,
        options=worker_options(retry_limit=0),
    )
    await broker.dispatch(event(to="com.example.client"))
    (letter,) = await until(lambda: letters(broker))
    assert letter.reason == "failed"
    assert letter.error["name"] in {kind.__name__, "RuntimeError"}


async def test_a_handler_that_runs_too_long_is_cancelled(
    broker, event, recorder, until, worker_options
):
    cancelled = []

    async def sleep(_):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(time.monotonic())
            raise

    await broker.register(
        recorder(action=sleep), worker_options(retry_limit=0, expire_in_seconds=1)
    )
    started = time.monotonic()
    await broker.dispatch(event())
    (letter,) = await until(lambda: letters(broker))
    assert 0.9 < cancelled[0] - started < 10
    assert letter.error["name"] == "DeadlineExceeded"
    assert "it may run 1 seconds" in letter.error["message"]


async def test_an_event_of_an_sql_client_needs_no_time(broker, recorder, until, ask):
    handler = recorder()
    await broker.register(handler)
    ask(
        "SELECT arvo_v1.dispatch(%s)",
        '{"id": "1", "source": "sql", "type": "com.example.task", "subject": "s", "data": {}}',
    )
    (seen,) = await until(lambda: handler.seen)
    assert seen.id == "1"
    assert abs(datetime.fromisoformat(seen.time) - datetime.now(UTC)) < timedelta(minutes=1)


# --- refusals


async def test_a_source_is_registered_once_in_a_process(broker, recorder):
    handler = recorder()
    await broker.register(handler)
    words = (
        "Handler registration failed: A handler with source 'com.example.task' is already "
        "registered."
    )
    for attempt in (
        broker.register(recorder()),
        broker.on_workflow_complete(source=handler.source, listener=print),
    ):
        with pytest.raises(AlreadyRegistered, match=re.escape(words)):
            await attempt
    broker.on_domained_event(print)
    broker.on_handler_not_found(print)
    for listen in (broker.on_domained_event, broker.on_handler_not_found):
        with pytest.raises(AlreadyRegistered):
            listen(print)
    assert broker.queues == ["com.example.task", "arvo.unroutable"]


async def test_two_registrations_at_the_same_time_are_not_both_accepted(broker, recorder):
    results = await asyncio.gather(
        *[broker.register(recorder()) for _ in range(5)], return_exceptions=True
    )
    assert sum(isinstance(result, Queue) for result in results) == 1
    assert sum(isinstance(result, AlreadyRegistered) for result in results) == 4


@pytest.mark.parametrize(
    "name", ["", "a b", 'a"b', "a'b", "a\nb", "ä", "x" * 513, "*", "arvo.domain.X", "a;b\x1b[0m"]
)
async def test_a_name_that_cannot_be_a_queues_is_refused_in_one_line(broker, recorder, name):
    with pytest.raises(InvalidOption) as caught:
        await broker.register(recorder(name))
    assert caught.value.field == "queue"
    assert caught.value.detail.isprintable()
    assert broker.queues == []


async def test_registration_says_which_option_is_wrong(broker, recorder):
    options = HandlerOptions(queue=QueueOptions(dead_letter="com.example.task"))
    with pytest.raises(InvalidOption) as caught:
        await broker.register(recorder(), options)
    assert caught.value.field == "dead_letter"
    await broker.register(recorder())


@pytest.mark.parametrize(
    ("options", "given", "field"),
    [
        (WorkerOptions, {"concurency": 3}, "concurency"),
        (WorkerOptions, {"concurrency": 0}, "concurrency"),
        (WorkerOptions, {"polling_interval_seconds": 0.1}, "polling_interval_seconds"),
        (WorkerOptions, {"retry_limit": -1}, "retry_limit"),
        (WorkerOptions, {"expire_in_seconds": 86401}, "expire_in_seconds"),
        (QueueOptions, {"policy": "statly"}, "policy"),
        (QueueOptions, {"warning_queue_size": 0}, "warning_queue_size"),
        (QueueOptions, {"priority": 2**31}, "priority"),
        (QueueOptions, {"rate_limit": 5}, "rate_period_seconds"),
        (QueueOptions, {"key_rate_period_seconds": 5}, "key_rate_period_seconds"),
        (QueueOptions, {"error_rules": {"Busy": {"retry_in": 3}}}, "error_rules"),
        (WorkerOptions, {"singleton_next_slot": True}, "singleton_next_slot"),
        (HandlerOptions, {"worker": {"retry_delay": -1}}, "retry_delay"),
    ],
)
def test_options_are_checked_when_they_are_made(options, given, field):
    with pytest.raises(InvalidOption) as caught:
        options(**given)
    assert caught.value.field == field
    assert "The options are: " in caught.value.hint


@pytest.mark.parametrize(
    "given",
    [{"lease_seconds": 0.5}, {"lease_seconds": 301}, {"pool_size": 0}, {"prepare_threshold": -1}],
)
def test_the_brokers_own_arguments_are_checked(dsn, given):
    with pytest.raises(InvalidOption) as caught:
        PostgresEventBroker(dsn, **given)
    assert caught.value.field in given


async def test_a_refused_listener_option_does_not_stop_the_other_queues(
    broker, event, recorder, until, log
):
    broker.on_handler_not_found(
        print, HandlerOptions(queue=QueueOptions(dead_letter="arvo.unroutable"))
    )
    handler = recorder()
    await broker.register(handler)
    await broker.dispatch(event())
    await until(lambda: handler.seen)
    assert "cannot be registered, it is not worked on" in log.text
    assert broker.queues == [handler.source]


async def test_a_broker_that_is_not_started_says_so(dsn, event, recorder):
    broker = PostgresEventBroker(dsn)
    for attempt in (
        broker.dispatch(event()), broker.dispatch_many([event()]), broker.register(recorder()),
        broker.get_stats(),
    ):  # fmt: skip
        with pytest.raises(BrokerNotStarted, match="start"):
            await attempt
    await broker.stop()


async def test_an_unmigrated_database_is_named_with_the_remedy(empty_dsn):
    with pytest.raises(SchemaMissing, match="arvo-plpg migrate"):
        await PostgresEventBroker(empty_dsn).start()


async def test_a_database_migrated_by_a_newer_version_is_refused(dsn, ask):
    ask("INSERT INTO arvo.revision VALUES (9999, '9999.after.future', 9999) RETURNING 1")
    with pytest.raises(ClientTooOld, match="Upgrade"):
        await PostgresEventBroker(dsn).start()


@pytest.fixture
def silent_port():
    """A port where nobody answers: connections are accepted by the kernel, and that is all."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize(
    "place",
    [
        "postgresql://joe:{}@127.0.0.1:1/app",
        "host=127.0.0.1 port={silent} user=joe password={} connect_timeout=2",
        "host=127.0.0.1 hostaddr=127.0.0.1 port=1 password={}",
        "postgresql://joe:{}@nowhere.invalid/app",
        "postgresql://joe:{}@127.0.0.1:notaport/app",
        "joe:{}",
        "host=127.0.0.1 password '{}'",
        "postgresql://joe:{}@127.0.0.1/app?nonsense={}",
    ],
)
async def test_no_password_is_told_when_the_database_does_not_answer(place, silent_port, caplog):
    caplog.set_level(logging.DEBUG)
    place = place.replace("{silent}", str(silent_port)).replace("{}", SECRET)
    broker = PostgresEventBroker(place)
    with pytest.raises((DatabaseUnreachable, InvalidOption)) as caught:
        await broker.start()
    assert "Hint:" in str(caught.value)
    told = [repr(broker), str(caught.value), repr(caught.value), caplog.text]
    told += [repr(vars(caught.value)), repr(caught.value.__cause__)]
    assert not any(SECRET in text for text in told)
    await broker.stop()


async def test_a_wrong_password_and_a_missing_database_do_not_answer_either(dsn):
    with pytest.raises(DatabaseUnreachable):
        await PostgresEventBroker(make_conninfo(dsn, dbname="nobody_made_this")).start()


async def test_nothing_but_a_broken_event_is_refused(broker, event, recorder, until):
    for bad in ("a\x00b", math.nan, math.inf, "\udc80"):
        with pytest.raises(InvalidEventError):
            event(data={"value": bad})
    for bad in ("a\x00b", "\udc80"):
        never_validated = event().to_dict() | {"data": {"value": bad}}
        with pytest.raises((InvalidEventError, InvalidArgument)):
            await broker.dispatch(ArvoEvent.from_trusted_dict(never_validated))
    handler = recorder()
    await broker.register(handler)
    fine = event(data={"value": "\\u0000 is written like this: \\\\u0000", "deep": [[[{}]]]})
    await broker.dispatch(fine)
    await until(lambda: handler.seen)
    assert handler.seen == [fine]


async def test_an_event_may_be_a_mebibyte_and_no_more(broker, event, recorder, until):
    with pytest.raises(EventTooLargeError):
        event(data={"text": "x" * 1_048_576})
    # PostgreSQL prints jsonb with blanks, so an event of many parts grows on its way.
    swollen = event(data={"numbers": [1] * 500_000})
    with pytest.raises(InvalidEventError, match="event is not valid") as caught:
        await broker.dispatch(swollen)
    assert "1048576 bytes" in caught.value.detail
    handler = recorder()
    await broker.register(handler)
    large = event(data={"text": "é" * 520_000})
    await broker.dispatch(large)
    await until(lambda: handler.seen)
    assert handler.seen == [large]


async def test_extensions_cannot_forge_attributes(broker, event, ask):
    for name in ("id", "to", "domain", "Source", "a-b", "data"):
        with pytest.raises(InvalidEventError):
            event(extensions={name: "forged"})
    never_validated = event().to_dict() | {'x": 1, "id': "forged"}
    with pytest.raises(InvalidEventError) as caught:
        await broker.dispatch(ArvoEvent.from_trusted_dict(never_validated))
    assert caught.value.detail.isprintable()
    real = event(extensions={"tenant": "a'; DROP TABLE arvo.log; --"})
    await broker.dispatch(real)
    ((stored,),) = ask("SELECT event FROM arvo.log WHERE lane > 0")
    assert ArvoEvent.from_dict(stored) == real


def test_what_a_role_may_not_do_is_told_with_the_remedy(connection, event):
    connection.execute("SET ROLE arvo_client")
    assert Broker(connection).dispatch(event()).outcome == "unroutable"
    with pytest.raises(PrivilegeMissing, match="permission denied for function claim") as caught:
        Broker(connection).claim(["com.example.task"])
    assert "worker" in caught.value.hint
    assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)


def test_errors_of_functions_have_their_class_facts_and_remedy(connection):
    contract = Broker(connection)
    with pytest.raises(UnknownQueue, match="queue is not known") as caught:
        contract.claim(["com.example.unknown"])
    assert (caught.value.field, caught.value.sqlstate) == ("queues", "RV003")
    assert caught.value.hint in str(caught.value)
    with pytest.raises(InvalidArgument) as caught:
        contract.claim(["com.example.unknown"], 10_001)
    assert caught.value.field == "limit"
    with pytest.raises(InvalidArgument):
        contract.settle([{"lease": math.nan}])
    with pytest.raises(SchemaMissing):
        Broker(connection, schema="elsewhere").about()
    connection.execute("DROP FUNCTION arvo_v1.about()")
    with pytest.raises(SchemaTooOld, match="migrate"):
        contract.about()


# --- looking at it


async def test_stats_count_and_show_the_options(broker, event, recorder, until):
    gate = asyncio.Event()

    async def wait(_):
        await gate.wait()
        return []

    options = HandlerOptions(
        queue=QueueOptions(dead_letter="com.example.dead", warning_queue_size=5),
        worker=WorkerOptions(
            retry_limit=4, retry_delay=3, retry_backoff=True, retry_delay_max=60,
            expire_in_seconds=70,
        ),
    )  # fmt: skip
    handler = recorder(action=wait)
    await broker.register(handler, options)
    await broker.dispatch_many([event() for _ in range(3)])
    await broker.dispatch(event(), start_after=timedelta(hours=1))
    await until(lambda: handler.seen)
    (stats,) = await broker.get_stats()
    assert stats.name == handler.source
    assert (stats.queued_count, stats.active_count, stats.deferred_count) == (2, 1, 1)
    assert (stats.retry_limit, stats.retry_delay) == (4, timedelta(seconds=3))
    assert (stats.retry_backoff, stats.retry_delay_max) == (True, timedelta(minutes=1))
    assert (stats.expire_in, stats.dead_letter) == (timedelta(seconds=70), "com.example.dead")
    assert (stats.warning_queue_size, stats.dead_count) == (5, 0)
    assert stats.oldest_queued_at is not None
    gate.set()
    await until(lambda: len(handler.seen) == 3)


async def test_reports_go_to_the_logger_that_was_set(broker, event, recorder, until):
    lines = []

    class Lines(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger = logging.getLogger("com.example.own")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(Lines())
    broker.set_logger(logger)
    await broker.register(recorder())
    told = event()
    await broker.dispatch(told)
    await until(lambda: any(told.id in line and "completed" in line for line in lines))


async def test_events_cannot_forge_lines_of_the_log(
    broker, event, recorder, until, worker_options, log
):
    async def fail(asked):
        raise ValueError(f"cannot do {asked.id}\nERROR all is lost")

    await broker.register(recorder(action=fail), worker_options(retry_limit=0))
    forged = create_arvo_event(
        source="com.example.client", type="com.example.task.done", subject="a/b",
        to="com.example.task", data={}, id="1\nCRITICAL forged\x1b[31m",
    )  # fmt: skip
    await broker.dispatch(forged)
    await until(lambda: letters(broker))
    await until(lambda: any("dead" in record.getMessage() for record in log.records))
    messages = [record.getMessage() for record in log.records]
    assert any("CRITICAL forged" in message for message in messages)
    for message in messages:
        assert message.isprintable(), message


# --- stopping


async def test_start_stop_and_start_again(broker_on, event, recorder, until):
    broker = await broker_on()
    handler = recorder()
    await broker.register(handler)
    await broker.start()
    await broker.dispatch(event(number=1))
    await until(lambda: len(handler.seen) == 1)
    await broker.stop()
    with pytest.raises(BrokerNotStarted):
        await broker.dispatch(event())
    await broker.stop()
    await broker.start()
    assert broker.queues == [handler.source]
    await broker.dispatch(event(number=2))
    await until(lambda: len(handler.seen) == 2)


async def test_stop_leaves_no_connection_task_or_thread(broker_on, event, recorder, until, ask):
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    broker = await broker_on()
    handler = recorder()
    await broker.register(handler)
    await broker.dispatch(event())
    await until(lambda: handler.seen)
    await broker.stop()
    assert asyncio.all_tasks() == tasks
    assert threading.active_count() <= threads + 1  # one of the loop's own pool may stay idle
    others = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'arvo%%'"
    await until(lambda: ask(others) == [(0,)])


async def test_two_starts_at_the_same_time_are_one(dsn, until, ask):
    tasks = asyncio.all_tasks()
    broker = PostgresEventBroker(dsn)
    await asyncio.gather(broker.start(), broker.start())
    await broker.stop()
    assert asyncio.all_tasks() == tasks
    others = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'arvo%%'"
    await until(lambda: ask(others) == [(0,)])


async def test_stop_lets_handlers_finish(broker_on, event, recorder, until, story):
    broker = await broker_on()
    gate = asyncio.Event()

    async def wait(_):
        await gate.wait()
        return []

    handler = recorder(action=wait)
    await broker.register(handler)
    first, second = event(number=1), event(number=2)
    await broker.dispatch_many([first, second])
    await until(lambda: handler.seen)
    stopping = asyncio.create_task(broker.stop())
    asyncio.get_running_loop().call_later(0.2, gate.set)
    await stopping
    assert story(first) == [(handler.source, 1, "completed")]
    assert story(second) == [(handler.source, 1, "queued")]


async def test_what_runs_on_after_the_grace_is_released_uncharged(
    broker_on, event, recorder, until, story
):
    broker, attempts = await broker_on(), []
    cancelled = asyncio.Event()

    async def hang(_):
        attempts.append(current_delivery().attempt)
        if len(attempts) > 1:
            return []
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    handler = recorder(action=hang)
    await broker.register(handler)
    asked = event()
    await broker.dispatch(asked)
    await until(lambda: handler.seen)
    started = time.monotonic()
    await broker.stop(timeout=0.1)
    assert time.monotonic() - started < 5
    assert cancelled.is_set()
    assert story(asked) == [(handler.source, 1, "released"), (handler.source, 1, "queued")]
    await broker.start()
    await until(lambda: len(attempts) == 2)
    assert attempts == [1, 1]


async def test_stop_ends_although_a_handler_will_not(broker_on, event, recorder, until):
    broker = await broker_on()
    gate = asyncio.Event()

    async def stubborn(_):
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue
        return []

    handler = recorder(action=stubborn)
    await broker.register(handler)
    await broker.dispatch(event())
    await until(lambda: handler.seen)
    started = time.monotonic()
    await broker.stop(timeout=0.1)
    assert time.monotonic() - started < 5
    gate.set()


async def test_nothing_claimed_while_stopping_runs(broker_on, event, recorder, until, ask):
    """Under load, a call of work is nearly always on its way when stop() comes."""
    broker = await broker_on()
    handler = recorder()
    await broker.register(handler, HandlerOptions(worker=WorkerOptions(concurrency=5)))
    await broker.dispatch_many([event(number=number) for number in range(3000)])
    await until(lambda: handler.seen)
    await broker.stop()
    ran = len(handler.seen)
    assert ran < 3000
    ((queued, active),) = ask("SELECT queued_count, active_count FROM arvo_v1.queue_stats()")
    assert (queued, active) == (3000 - ran, 0)
    await broker.start()
    await until(lambda: len(handler.seen) == 3000)
    assert len({found.id for found in handler.seen}) == 3000


async def test_a_failing_context_still_stops_the_broker(dsn, ask, until):
    with pytest.raises(ArvoError):
        async with PostgresEventBroker(dsn) as broker:
            await broker.on_workflow_complete(source="not a name", listener=print)
    others = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'arvo%%'"
    await until(lambda: ask(others) == [(0,)])


async def test_a_finished_workflow_is_forgotten_if_that_is_wished(
    broker, event, stateful_recorder, until, ask
):
    from arvo_plpg import MemoryMetadata

    async def finish(asked, memory):
        state = await memory.read(asked.subject)
        metadata = MemoryMetadata(asked.subject, None, None, "com.example.task")
        await memory.write(asked.subject, {"number": asked.data["number"]}, state, metadata)
        if asked.data["number"]:
            await memory.cleanup(asked.subject)
        return []

    handler = stateful_recorder(action=finish)
    await broker.register(handler, HandlerOptions(enable_cleanup=True))
    await broker.dispatch(event(number=0))
    await until(lambda: ask("SELECT data FROM arvo.state") == [({"number": 0},)])
    await broker.dispatch(event(number=1))
    await until(lambda: ask("SELECT count(*) FROM arvo.state") == [(0,)])
    assert len(handler.seen) == 2
    await until(lambda: idle(broker))
