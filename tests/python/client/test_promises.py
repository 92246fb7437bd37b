"""What the broker promises where its predecessor lost, doubled, starved or kept silent."""

import asyncio
from datetime import timedelta

import pytest

from arvo_plpg import (
    ArvoEvent,
    HandlerOptions,
    MemoryMetadata,
    QueueOptions,
    WorkerOptions,
    create_arvo_event,
)

CLIENT = "com.example.client"
TASK = "com.example.task"
NEXT = "com.example.next"
RARELY = 3600
ASLEEP = (
    "SELECT 1 FROM pg_locks"
    " INNER JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND classid = hashtext('arvo_wake')::oid AND mode = 'ShareLock'"
    " AND application_name = 'arvo-wakeup' AND datname = current_database()"
)


def idle(ask):
    return ask(
        "SELECT count(*) FROM arvo_v1.queue_stats()"
        " WHERE queued_count + active_count + deferred_count > 0"
    ) == [(0,)]


def hopping(event, hops):
    """A step that sends its event on to itself until it has made so many hops."""

    async def step(asked):
        number = asked.data["number"]
        return [event(TASK, subject=asked.subject, number=number + 1)] if number < hops else []

    return step


# --- waking and polling


async def test_a_worker_that_would_poll_in_an_hour_is_woken(
    broker, event, recorder, until, ask, worker_options
):
    handler = recorder(TASK)
    await broker.register(handler, worker_options(polling_interval_seconds=RARELY))
    await until(lambda: ask(ASLEEP))
    for number in range(3):
        await broker.dispatch(event(TASK, number=number))
        await until(lambda: len(handler.seen) == number + 1)  # noqa: B023
    assert [seen.data["number"] for seen in handler.seen] == [0, 1, 2]


async def test_one_worker_makes_many_hops_within_one_polling_interval(
    broker, event, recorder, until, ask, worker_options
):
    handler = recorder(TASK, hopping(event, 40))
    await broker.register(handler, worker_options(concurrency=1, polling_interval_seconds=RARELY))
    await until(lambda: ask(ASLEEP))
    await broker.dispatch_many([event(TASK, subject=f"s{n}", number=0) for n in range(3)])
    await until(lambda: len(handler.seen) == 3 * 41)


async def test_without_notifications_events_are_found_by_polling(
    broker_on, event, recorder, until, worker_options, monkeypatch
):
    async def deaf(*_):
        await asyncio.Event().wait()

    monkeypatch.setattr("arvo_plpg.runtime.wakeup.Wakeup.run", deaf)
    broker = await broker_on()
    handler = recorder(TASK)
    await broker.register(handler, worker_options(polling_interval_seconds=0.5))
    for number in range(3):
        await broker.dispatch(event(TASK, number=number))
        await until(lambda: len(handler.seen) == number + 1)  # noqa: B023


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_as_many_run_at_the_same_time_as_configured(
    broker, event, recorder, until, worker_options, concurrency
):
    running, most = set(), []
    gate = asyncio.Event()

    async def wait(asked):
        running.add(asked.id)
        most.append(len(running))
        await gate.wait()
        await asyncio.sleep(0)
        running.discard(asked.id)
        return []

    await broker.dispatch_many([event(TASK, number=n) for n in range(12)])
    await broker.register(recorder(TASK, wait), worker_options(concurrency=concurrency))
    await until(lambda: len(running) == concurrency)
    (stats,) = await broker.get_stats()
    assert (stats.active_count, stats.queued_count) == (concurrency, 12 - concurrency)
    gate.set()
    await until(lambda: len(most) == 12 and not running)
    assert max(most) == concurrency


# --- nothing twice, nothing lost, nothing silent


async def test_every_field_of_an_event_survives_the_queue_and_its_retries(
    broker, event, recorder, until, story, worker_options
):
    async def fail_once(_):
        if len(handler.seen) == 1:
            raise RuntimeError("once more")
        return []

    handler = recorder(TASK, fail_once)
    await broker.register(handler, worker_options(retry_limit=1))
    asked = create_arvo_event(
        source=CLIENT, type="com.example.task.done", subject="a/b", to=TASK, id="an id: 1",
        data={"deep": [{"é": None}], "large": 2**60}, time="2029-12-31T23:59:59.000+00:00",
        dataschema="#/task/1.0.0", accesscontrol="role:user", redirectto="com.example.back",
        executionunits=1.5, parentid="an id: 0", extensions={"tenant": "x"},
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        tracestate="vendor=7",
    )  # fmt: skip
    await broker.dispatch(asked)
    await until(lambda: [step[2] for step in story(asked)] == ["retried", "completed"])
    assert handler.seen == [asked, asked]
    assert [list(seen.to_dict()) for seen in handler.seen] == [list(asked.to_dict())] * 2


async def test_events_that_are_refused_in_part_are_not_sent_in_part(
    broker, event, recorder, until, story, worker_options
):
    """The first attempt emits two good events, one for a domain, beside one that cannot be."""
    approvals = []

    async def emit(asked):
        good = [event(NEXT, number=7), event(NEXT, number=8, domain="human.interaction")]
        if len(first.seen) == 1:
            bad = event(NEXT).to_dict() | {"to": "no name of a queue"}
            return [*good, ArvoEvent.from_trusted_dict(bad)]
        return good

    first, second = recorder(TASK, emit), recorder(NEXT)
    await broker.register(second)
    broker.on_domained_event(approvals.append)
    await broker.register(first, worker_options(retry_limit=1))
    asked = event(TASK)
    await broker.dispatch(asked)
    await until(lambda: [step[2] for step in story(asked)] == ["retried", "completed"])
    await until(lambda: second.seen and approvals)
    stats = {}
    async with broker.connection() as contract:
        await until(lambda: _drained(contract, stats))
    assert [seen.data["number"] for seen in second.seen] == [7]
    assert [seen.data["number"] for seen in approvals] == [8]


async def _drained(contract, stats):
    for found in await contract.queue_stats():
        stats[found.name] = found.queued_count + found.active_count + found.deferred_count
    return not any(stats.values())


async def test_a_domain_listener_that_fails_is_called_again_and_answers_once(
    broker, event, recorder, until, ask
):
    calls, handler = [], recorder(TASK)
    await broker.register(handler)

    def approve(found):
        calls.append(found.id)
        if len(calls) < 3:
            raise ConnectionError("nobody at the desk")
        return [event(TASK, subject=found.subject, number=1)]

    asked = event(domain="human.interaction")
    assert (await broker.dispatch(asked)).outcome == "domained"
    broker.on_domained_event(approve)
    await until(lambda: handler.seen and idle(ask))
    assert calls == [asked.id] * 3
    assert len(handler.seen) == 1


async def test_a_result_that_its_listener_never_takes_is_kept_and_can_be_redriven(
    broker, event, until, ask
):
    calls, mended = [], []

    def listen(found):
        calls.append(found.id)
        if not mended:
            raise OSError("out of paper")

    options = HandlerOptions(
        queue=QueueOptions(dead_letter="com.example.morgue"), worker=WorkerOptions(retry_limit=1)
    )
    await broker.on_workflow_complete(source=CLIENT, listener=listen, options=options)
    told = event(CLIENT, number=7)
    await broker.dispatch(told)
    async with broker.connection() as contract:
        (letter,) = await until(contract.dead_letters)
        assert (letter.queue, letter.dead_letter) == (CLIENT, "com.example.morgue")
        assert (letter.attempts, letter.error["name"]) == (2, "OSError")
        assert letter.event == told.to_dict()
        mended.append(True)
        (redriven,) = await contract.redrive(CLIENT)
        assert redriven.event_id == told.id
        await until(lambda: len(calls) == 3 and idle(ask))
        assert await contract.dead_letters() == []
    assert calls == [told.id] * 3


async def test_what_a_step_emits_in_vain_is_written_down(
    broker, event, recorder, until, ask, story
):
    """A queue takes one at a time; what comes meanwhile is not let in, and that can be seen."""

    async def emit(asked):
        return [event(NEXT, subject=asked.subject, number=number) for number in range(3)]

    async with broker.connection() as contract:
        await contract.register_queue(NEXT, policy="exclusive")
    await broker.register(recorder(TASK, emit))
    asked = event(TASK, subject="the chain")
    await broker.dispatch(asked)
    await until(lambda: story(asked) == [(TASK, 1, "completed")])
    omitted = ask(
        "SELECT queue, outcome, (event -> 'data' ->> 'number')::integer, first_delivery = ("
        " SELECT delivery FROM arvo.log WHERE event ->> 'to' = %s)"
        " FROM arvo.omission ORDER BY number",
        NEXT,
    )
    assert omitted == [(NEXT, "throttled", 1, True), (NEXT, "throttled", 2, True)]


@pytest.mark.parametrize("policy", ["singleton", "stately"])
async def test_a_queue_that_runs_one_at_a_time_does_not_starve(
    broker_on, event, recorder, until, worker_options, policy
):
    """Without a key, with two workers, and with somebody who looks at the figures meanwhile."""
    running, together, done = set(), [], []

    async def work(asked):
        running.add(asked.id)
        together.append(len(running))
        async with first.connection() as contract:
            (stats,) = await contract.queue_stats(TASK)
            await contract.maintain()
        assert stats.active_count == 1
        running.discard(asked.id)
        done.append(asked.data["number"])
        return []

    options = HandlerOptions(
        queue=QueueOptions(policy=policy), worker=WorkerOptions(concurrency=3, retry_limit=0)
    )
    first, second = await broker_on(name="w1", pool_size=4), await broker_on(name="w2")
    for broker in (first, second):
        await broker.register(recorder(TASK, work), options)
    taken = []
    for number in range(20):

        async def accepted(number=number):
            answer = await first.dispatch(event(TASK, number=number))
            assert answer.outcome in {"queued", "throttled"}
            return answer.outcome == "queued"

        await until(accepted)
        taken.append(number)
    await until(lambda: len(done) == 20)
    assert sorted(done) == taken
    assert max(together) == 1


async def test_an_answer_does_not_come_before_the_state_that_awaits_it(
    broker_on, event, stateful_recorder, recorder, until, worker_options
):
    """The service is quick and elsewhere; the step that asks it takes its time to end."""
    found = []

    async def step(asked, memory):
        state = await memory.read(asked.subject)
        metadata = MemoryMetadata(asked.subject, None, CLIENT, TASK)
        if asked.type != "com.example.asked.answered":
            await memory.write(asked.subject, {"asked": asked.data["number"]}, state, metadata)
            return [event(NEXT, subject=asked.subject, number=asked.data["number"])]
        found.append((asked.data["number"], state and state["asked"]))
        return []

    async def answer(asked):
        kind = "com.example.asked.answered"
        number = asked.data["number"]
        return [event(TASK, subject=asked.subject, type=kind, number=number)]

    workflow, service = await broker_on(name="workflow"), await broker_on(name="service")
    await service.register(recorder(NEXT, answer), worker_options(concurrency=5))
    await workflow.register(stateful_recorder(TASK, step), worker_options(concurrency=5))
    await workflow.dispatch_many([event(TASK, subject=f"s{n}", number=n) for n in range(20)])
    await until(lambda: len(found) == 20)
    assert sorted(found) == [(n, n) for n in range(20)]


# --- what is stored


async def test_the_body_of_an_event_is_written_once_whatever_becomes_of_it(
    broker, event, recorder, until, ask, story, worker_options
):
    async def fail(_):
        raise RuntimeError("always")

    await broker.register(recorder(TASK, fail), worker_options(retry_limit=4))
    asked = event(TASK, data={"text": "x" * 10_000})
    await broker.dispatch(asked)
    outcomes = [*(["retried"] * 4), "dead"]
    await until(lambda: [step[2] for step in story(asked)] == outcomes)
    assert ask("SELECT count(*), count(event) FROM arvo.log WHERE lane > 0") == [(5, 1)]
    assert ask("SELECT count(event) FROM arvo.deferred") == [(0,)]
    assert ask("SELECT count(event) FROM arvo.dead") == [(1,)]  # it outlives the log


async def test_healthy_events_update_and_delete_nothing(
    broker, event, recorder, until, ask, worker_options
):
    await broker.register(recorder(TASK, hopping(event, 20)), worker_options(concurrency=5))
    await broker.dispatch_many([event(TASK, subject=f"s{n}", number=0) for n in range(20)])
    await until(
        lambda: ask("SELECT count(*) FROM arvo.log WHERE lane > 0") == [(420,)] and idle(ask)
    )
    await broker.stop()
    told = (
        "SELECT coalesce(sum(n_tup_ins), 0), sum(n_tup_upd + n_tup_del)"
        " FROM pg_stat_user_tables WHERE schemaname = 'arvo' AND relname ~ %s"
    )
    await until(lambda: ask(told, "^log_")[0][0] >= 420)  # sessions that ended have told theirs
    for room in ("^log_", "^lease_", "^closure_", "^deferred", "^dead$"):
        assert ask(told, room)[0][1] == 0, room


# --- registration


async def test_another_process_with_other_options_is_told_that_it_changes_them(
    broker_on, recorder, log, ask, worker_options
):
    first, second = await broker_on(name="w1"), await broker_on(name="w2")
    await first.register(recorder(TASK), worker_options(retry_limit=1))
    await second.register(recorder(TASK), worker_options(retry_limit=1))
    assert "retry_limit" not in log.text
    await first.register(recorder(NEXT), worker_options(retry_limit=1, retry_delay=5))
    await second.register(recorder(NEXT), worker_options(retry_limit=2, retry_delay=7))
    assert f"queue '{NEXT}': retry_delay, retry_limit" in log.text
    (stats,) = [found for found in await second.get_stats() if found.name == NEXT]
    assert (stats.retry_limit, stats.retry_delay) == (2, timedelta(seconds=7))
    asked_for = ask(
        "SELECT worker, options ->> 'retry_limit' FROM arvo.registration"
        " WHERE queue = %s ORDER BY worker",
        NEXT,
    )
    assert asked_for == [("w1", "1"), ("w2", "2")]


async def test_recreating_a_queue_leaves_alone_what_runs(
    broker, event, recorder, until, story, ask, worker_options
):
    gate, answers = asyncio.Event(), []

    async def wait(asked):
        await gate.wait()
        return [event(CLIENT, subject=asked.subject, number=asked.data["number"])]

    handler = recorder(TASK, wait)
    await broker.register(handler, worker_options(concurrency=1))
    await broker.on_workflow_complete(source=CLIENT, listener=answers.append)
    running, waiting = event(TASK, number=1), event(TASK, number=2)
    await broker.dispatch(running)
    await until(lambda: handler.seen)
    await broker.dispatch(waiting)
    async with broker.connection() as contract:
        removed = {
            row.place: (row.removed, row.kept) for row in await contract.recreate_queue(TASK)
        }
    assert (removed["queued"], removed["leased"]) == ((1, 0), (0, 1))
    later = event(TASK, number=3)
    await broker.dispatch(later)
    gate.set()
    await until(lambda: len(answers) == 2 and idle(ask))
    assert [found.data["number"] for found in answers] == [1, 3]
    assert handler.seen == [running, later]
    assert story(running) == [(TASK, 1, "completed")]
    assert [step[2] for step in story(waiting)] == ["cancelled"]


async def test_an_operator_who_cancels_what_runs_stops_its_handler(
    broker_on, event, recorder, until, ask, story
):
    broker, cancelled, answers = await broker_on(lease_seconds=1), [], []

    async def wait(asked):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(asked.id)
        return [event(CLIENT)]  # in vain

    handler = recorder(TASK, wait)
    await broker.register(handler)
    await broker.on_workflow_complete(source=CLIENT, listener=answers.append)
    asked = event(TASK)
    answer = await broker.dispatch(asked)
    await until(lambda: handler.seen)
    async with broker.connection() as contract:
        (done,) = await contract.cancel([answer.delivery], include_running=True, reason="x")
    assert done.done == "cancelled"
    await until(lambda: cancelled)
    await until(lambda: idle(ask))
    assert story(asked) == [(TASK, 1, "cancelled")]
    assert answers == []
