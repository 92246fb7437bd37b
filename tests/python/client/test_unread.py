"""JSON that a worker has not read yet: the same as json.loads gives, and gone when it is done."""

from __future__ import annotations

import json

import pytest

from arvo_plpg import ArvoEvent, HandlerOptions
from arvo_plpg.runtime.delivery import Delivery
from arvo_plpg.runtime.loaders import Unread
from arvo_plpg.runtime.route import Route
from arvo_plpg.runtime.settlement import Settlement

EVENT = {
    "id": "e",
    "source": "s",
    "type": "com.example.task",
    "subject": "x",
    "time": "2030-01-01T00:00:00.000+00:00",
    "data": {"number": 1, "list": [1.5, None]},
}
DEEP = 500


@pytest.mark.parametrize(
    "text", [json.dumps(EVENT), '"ü"', "1e400", "12345678901234567890123", "[" * DEEP + "]" * DEEP]
)
def test_it_reads_what_json_reads(text):
    assert Unread(text.encode()).read() == json.loads(text)


def delivery(text):
    return Delivery(7, 1, "q", 1, text, None, 900.0, None, None, 0.0, 0.0)


async def nothing(_):
    return None


def test_a_delivery_knows_its_event_before_and_after_it_is_handed_in():
    one, settlement = delivery(Unread(json.dumps(EVENT).encode())), Settlement()
    assert (one.event_id, one.subject) == ("e", "x")
    assert one.event.to_dict().items() >= EVENT.items()
    kept = one.event
    settlement.complete(Route("q", nothing, HandlerOptions()), [one], 3)
    assert one.event is not kept
    assert one.event == kept
    assert (one.event_id, one.subject) == ("e", "x")


@pytest.mark.parametrize("more", [{}, {"to": "b.c.d", "extension": 1, "extensions": "one more"}])
def test_an_event_and_its_json_object_do_not_share_what_can_be_changed(more):
    text = Unread(json.dumps(EVENT | more).encode())
    looked_at, made = delivery(text), delivery(text)
    assert looked_at.flat == EVENT | more
    assert looked_at.event == made.event == ArvoEvent.from_trusted_dict(EVENT | more)
    assert looked_at.flat == made.flat == EVENT | more
    assert made.event.to_dict() == ArvoEvent.from_trusted_dict(EVENT | more).to_dict()
    assert dict(made.event.extensions) == {k: v for k, v in more.items() if k != "to"}


@pytest.mark.parametrize("gone", ["id", "source", "type", "subject", "data", "time"])
def test_an_event_that_lacks_something_cannot_be_made(gone):
    short = {key: value for key, value in EVENT.items() if key != gone}
    given = dict(short)
    for more in ({}, dict.fromkeys("abcdefghijk")):
        with pytest.raises(KeyError, match=gone):
            ArvoEvent.from_trusted_dict(given | more)
        with pytest.raises(KeyError, match=gone):
            _ = delivery(Unread(json.dumps(given | more).encode())).event
    assert given == short


def test_a_delivery_without_an_event_has_no_id():
    assert (delivery(None).event_id, delivery(None).flat) == ("", {})
