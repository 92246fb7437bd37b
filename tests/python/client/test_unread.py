"""JSON that a worker has not read yet: the same as json.loads gives, and gone when it is done."""

from __future__ import annotations

import json

import pytest

from arvo_plpg import HandlerOptions
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


def test_a_delivery_without_an_event_has_no_id():
    assert (delivery(None).event_id, delivery(None).flat) == ("", {})
