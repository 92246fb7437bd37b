"""Dead letters and replays as an operator's program sees them."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from arvo_plpg import InvalidArgument, UnknownEvent, UnknownQueue, create_arvo_event
from arvo_plpg.sync import Broker

QUEUE = "com.example.task"
START = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def operator(dsn):
    """A connection of one who may do everything, with four letters of QUEUE in its morgue."""
    options = f"-c arvo.frozen_clock={START.isoformat()}"
    with psycopg.connect(dsn, autocommit=True, options=options) as connection:
        broker = Broker(connection)
        broker.register_queue(QUEUE, dead_letter="morgue")
        for number in range(4):
            broker.dispatch(an_event(number))
        taken = broker.claim([QUEUE], 10, "ann")
        error = {"name": "OutOfStock", "message": "no 'bolts' left", "stack": "…"}
        broker.settle(
            [
                {
                    "lease": one.lease,
                    "delivery": one.delivery,
                    "outcome": "rejected",
                    "error": error,
                }
                for one in taken
            ]
        )
        yield broker


def an_event(number):
    return create_arvo_event(
        id=f"e{number}", source="com.example.shop", subject=f"order-{number}", type=QUEUE, to=QUEUE,
        data={"number": number, "colour": "red", "note": 'say "hi"'},
    )  # fmt: skip


def ids(rows):
    return [row.event_id for row in rows]


def test_letters_are_found_by_every_filter(operator):
    everyone = operator.dead_letters(QUEUE)
    assert ids(everyone) == ["e0", "e1", "e2", "e3"]
    assert ids(operator.dead_letters("morgue", after=everyone[1].dead, limit=1)) == ["e2"]
    assert ids(operator.dead_letters(dead=[everyone[3].dead])) == ["e3"]
    assert ids(operator.dead_letters(path="$.data.number >= 2")) == ["e2", "e3"]
    assert ids(operator.dead_letters(path='$.data ? (@.number == 1 && @.colour == "red")')) == [
        "e1"
    ]
    assert ids(operator.dead_letters(subject="order-2", event_type=QUEUE)) == ["e2"]
    assert ids(operator.dead_letters(text="NO 'BOLTS'", reason="rejected")) == ids(everyone)
    assert ids(operator.dead_letters(text='say "hi"', since=START)) == ids(everyone)
    assert operator.dead_letters(before=START) == []
    assert operator.dead_letters(since=START + timedelta(seconds=1)) == []
    assert everyone[0].error == {"name": "OutOfStock", "message": "no 'bolts' left", "stack": "…"}


def test_the_attempts_of_a_letter_are_told(operator):
    (letter,) = operator.dead_letters(subject="order-0")
    (attempt,) = operator.dead_letter_attempts(letter.dead)
    assert (attempt.delivery, attempt.attempt, attempt.worker) == (letter.delivery, 1, "ann")
    assert attempt.accepted_at == attempt.claimed_at == attempt.settled_at == START
    assert (attempt.outcome, attempt.error) == ("dead", letter.error)


def test_letters_are_redriven_edited_and_spread(operator):
    planned = operator.redrive(QUEUE, rate=2, dry_run=True)
    assert [row.due_at for row in planned] == [
        None, *(START + timedelta(seconds=seconds) for seconds in (0.5, 1, 1.5))
    ]  # fmt: skip
    first, second = operator.redrive(
        QUEUE, limit=2, rate=2.0, edit={"data": {"colour": None, "size": 3}}
    )
    assert (first.outcome, first.due_at, second.due_at) == (
        "redriven", None, START + timedelta(seconds=0.5),
    )  # fmt: skip
    (delivered,) = operator.claim([QUEUE], 10)
    assert delivered.delivery == first.delivery
    assert delivered.event["data"] == {"number": 0, "note": 'say "hi"', "size": 3}
    (letter,) = operator.dead_letters(dead=[first.dead], resolved=True)
    assert letter.event["data"] == an_event(0).data
    assert letter.edited == delivered.event
    assert (letter.resolution, letter.resolved_at) == ("redriven", START)

    operator.register_queue("other")
    (moved,) = operator.redrive(QUEUE, limit=1, data={"all": "new"}, to="other")
    (delivered,) = operator.claim(["other"], 10)
    assert (moved.queue, delivered.event["data"]) == ("other", {"all": "new"})


def test_what_cannot_be_redriven_is_refused(operator):
    (told, *_) = operator.redrive(QUEUE, edit={"type": "no"})
    assert (told.outcome, told.code, told.delivery) == ("refused", "RV001", None)
    with pytest.raises(InvalidArgument) as refused:
        operator.redrive(limit=3)
    assert refused.value.field == "queue"
    with pytest.raises(InvalidArgument) as refused:
        operator.redrive(QUEUE, edit={"subject": "another"})
    assert refused.value.field == "edit"
    with pytest.raises(UnknownQueue):
        operator.redrive(QUEUE, to="nowhere")


def test_letters_are_discarded(operator):
    assert ids(operator.discard(QUEUE, path="$.data.number < 2", dry_run=True)) == ["e0", "e1"]
    (discarded, _) = operator.discard(QUEUE, path="$.data.number < 2")
    assert (discarded.outcome, discarded.queue) == ("discarded", QUEUE)
    assert ids(operator.dead_letters()) == ["e2", "e3"]
    assert [one.event["id"] for one in operator.claim(["morgue"], 10)] == ["e2", "e3"]


def test_a_stored_event_is_replayed(operator):
    replayed = operator.replay("e3", source="com.example.shop")
    (delivered,) = operator.claim([QUEUE], 10)
    assert (delivered.delivery, delivered.event["id"]) == (replayed.delivery, replayed.event_id)
    assert delivered.event["subject"] == "order-3"
    assert delivered.cause["outcome"] == "replayed"
    assert delivered.cause["event_id"] == "e3"
    assert (
        operator.replay("e3", delivery=delivered.cause["delivery"], queue="morgue").queue
        == "morgue"
    )
    with pytest.raises(UnknownEvent) as unknown:
        operator.replay("nobody")
    assert unknown.value.field == "event_id"


@pytest.mark.parametrize(
    "given", [{"path": "$.data ? ("}, {"path": "data.number >"}, {"limit": "many"}]
)
def test_an_argument_that_postgresql_cannot_read_is_an_invalid_argument(operator, given):
    with pytest.raises(InvalidArgument) as caught:
        operator.dead_letters(QUEUE, **given)
    assert "SQL/JSON path" in caught.value.hint
    assert caught.value.detail
