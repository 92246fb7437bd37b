"""Options of single dispatches, and the checks of a strict broker."""

from datetime import UTC, datetime, timedelta

import pytest

from arvo_plpg import DispatchOptions, HandlerOptions, QueueOptions, WorkerOptions
from arvo_plpg.errors import (
    HandlerNotRegistered,
    InvalidOption,
    SourceMismatch,
    WorkflowCompletionNotConfigured,
)

CLIENT = "com.example.client"
TASK = "com.example.task"
LATE = datetime(2033, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start_after", "due"),
    [
        (timedelta(days=1), None),
        (86400, None),
        ("86400", None),
        ("1 day", None),
        (LATE, LATE),
        ("2033-02-03T14:05:06+10:00", LATE),
        ("2033-02-03T04:05:06Z", LATE),
    ],
)
async def test_a_start_in_any_form(broker, event, ask, start_after, due):
    answer = await broker.dispatch(event(TASK), start_after=start_after)
    assert answer.outcome in {"deferred", "unroutable"}
    [(given, after)] = ask("SELECT due, due - at FROM arvo.deferred")
    if due is None:
        assert after == timedelta(days=1)
    else:
        assert abs(given - due) < timedelta(seconds=1)


@pytest.mark.parametrize("start_after", ["tomorrow", "2033-02-03", "4000 days"])
async def test_a_start_that_is_none(broker, event, ask, start_after):
    with pytest.raises(InvalidOption) as caught:
        await broker.dispatch(event(TASK), start_after=start_after)
    assert caught.value.field == "start_after"
    assert caught.value.hint.startswith("Give seconds, an ISO 8601 time")
    assert ask("SELECT count(*) FROM arvo.log") == [(0,)]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"priority": 1.5}, "priority"),
        ({"start_after": datetime(2033, 2, 3)}, "start_after"),  # noqa: DTZ001 - has no time zone
        ({"retry_limit": -1}, "retry_limit"),
        ({"singleton_key": "k" * 1001}, "singleton_key"),
        ({"expire_in_seconds": 0}, "expire_in_seconds"),
        ({"start": 1}, "start"),
    ],
)
def test_options_are_checked_when_they_are_made(given, field):
    with pytest.raises(InvalidOption) as caught:
        DispatchOptions(**given)
    assert caught.value.field == field


async def test_retries_of_one_delivery(broker, event, recorder, until, story, worker_options):
    async def fail(_):
        raise RuntimeError("always")

    await broker.register(recorder(TASK, fail), worker_options(retry_limit=0))
    asked = event(TASK)
    await broker.dispatch(asked, options=DispatchOptions(retry_limit=1, retry_delay=0))
    await until(lambda: [step[2] for step in story(asked)] == ["retried", "dead"])


async def test_throttled_and_duplicate_are_told(broker, event, ask):
    first = event(TASK, number=1)
    options = DispatchOptions(singleton_seconds=3600, singleton_key="k")
    one = await broker.dispatch(first, options=options)
    other = await broker.dispatch(event(TASK, number=2), options=options)
    again = await broker.dispatch(first)
    assert (other.outcome, other.delivery) == ("throttled", one.delivery)
    assert (again.outcome, again.delivery) == ("duplicate", one.delivery)
    assert ask("SELECT count(*) FROM arvo.log WHERE lane > 0") == [(1,)]


async def test_the_seeds_policies_reach_the_queue(broker, event, recorder, worker_options, ask):
    options = HandlerOptions(
        queue=QueueOptions(policy="exclusive", error_rules={"Busy": {"snooze": 1}}, max_redrives=3),
        worker=WorkerOptions(retention_seconds=60, delete_after_seconds=120, start_after=5),
    )
    await broker.register(recorder(TASK), options)
    assert ask(
        "SELECT policy, error_rules, max_redrives, retention, delete_after, start_after"
        " FROM arvo.queue WHERE name = %s",
        TASK,
    ) == [
        (
            "exclusive", {"Busy": {"snooze": 1}}, 3, timedelta(seconds=60),
            timedelta(seconds=120), timedelta(seconds=5),
        )
    ]  # fmt: skip
    outcomes = [(await broker.dispatch(event(TASK, number=n))).outcome for n in range(2)]
    assert outcomes == ["deferred", "throttled"]


async def test_an_option_stays_until_it_is_reset(broker_on, recorder):
    first, second, third = [await broker_on() for _ in range(3)]
    given = HandlerOptions(
        queue=QueueOptions(max_active=3), worker=WorkerOptions(singleton_seconds=60)
    )
    made = await first.register(recorder(TASK), given)
    assert (made.change, made.max_active) == ("created", 3)
    left = await second.register(recorder(TASK))
    assert (left.change, left.max_active) == ("unchanged", 3)
    reset = HandlerOptions(reset=("max_active", "singleton_seconds"))
    gone = await third.register(recorder(TASK), reset)
    assert gone.change == "max_active, singleton_for"
    assert (gone.max_active, gone.singleton_for) == (None, None)


@pytest.mark.parametrize("name", ["max_actve", "concurrency", "max_active "])
def test_only_what_is_stored_is_reset(name):
    with pytest.raises(InvalidOption) as caught:
        HandlerOptions(reset=(name,))
    assert caught.value.field == "reset"


async def test_next_slot_needs_an_interval():
    with pytest.raises(InvalidOption, match="give singleton_seconds as well"):
        WorkerOptions(singleton_next_slot=True)


async def test_a_strict_broker_checks_as_the_seed_did(broker_on, event, recorder, ask):
    broker = await broker_on(strict=True)
    with pytest.raises(
        WorkflowCompletionNotConfigured, match="Workflow completion handler not configured"
    ):
        await broker.dispatch(event(TASK))
    await broker.on_workflow_complete(source=CLIENT, listener=lambda _: None)
    with pytest.raises(SourceMismatch, match="Event source mismatch"):
        await broker.dispatch_many([event(TASK), event(TASK, source="com.example.other")])
    with pytest.raises(HandlerNotRegistered, match="Handler not registered"):
        await broker.dispatch(event(TASK))
    assert ask("SELECT count(*) FROM arvo.log") == [(0,)]
    await broker.register(recorder(TASK))
    assert (await broker.dispatch(event(TASK))).outcome == "queued"
    lenient = await broker_on()
    assert (await lenient.dispatch(event("com.example.nobody"))).outcome == "unroutable"
