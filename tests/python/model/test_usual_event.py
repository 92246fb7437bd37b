"""The quick check of usual events says nothing that the model's validation does not say."""

import re
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from arvo_plpg import ARVO_CONTENT_TYPE, MAX_EVENT_BYTES, ArvoEvent, create_arvo_event
from arvo_plpg.attributes import ARVO_ATTRIBUTES, ATTRIBUTES, CORE_ATTRIBUTES
from arvo_plpg.event import event_time_now
from arvo_plpg.event_id import create_arvo_event_id
from arvo_plpg.frozen import MAX_DEPTH, FrozenDict, FrozenList, NotPlainError, freeze, freeze_plain
from arvo_plpg.known import Known
from arvo_plpg.model_error import InvalidEventError
from arvo_plpg.usual import usual_event

USUAL = {
    "id": "1",
    "source": "com.example.client",
    "specversion": "1.0",
    "type": "com.example.task",
    "subject": "subject%20one",
    "datacontenttype": ARVO_CONTENT_TYPE,
    "dataschema": "#/task/1.0.0",
    "data": {"number": 1, "list": [1, 2.5, None, {"deep": [True]}], "none": None, "text": "é"},
    "time": "2026-01-02T03:04:05.678+00:00",
    "to": "com.example.task",
    "accesscontrol": "a",
    "redirectto": "com.example.other",
    "executionunits": 1.5,
    "traceparent": "00-1-2-01",
    "tracestate": "b",
    "parentid": "0",
    "domain": "org.human",
}


class Word(StrEnum):
    ONE = "com.example.one"


class Count(IntEnum):
    ONE = 1


def nested(levels, inner=1):
    for _ in range(levels):
        inner = {"a": inner}
    return inner


def listed(levels):
    inner = []
    for _ in range(levels - 1):
        inner = [inner]
    return {"a": inner}


TEXTS = [
    "", " ", "a", "a\n", "a b", "é", "%20", "%2f", "%c3%a9", "\x00", "\\u0000", "\ud800", "1.0",
    "com.example.task", "com.example", "Com.example.task", "com.example.task\n", "org.human",
    "application/json", "text/plain", "2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z",
    "2026-01-02T03:04Z", "2026-01-02", "2026-01-02T24:00:00Z", "٢٠٢٦-01-02T03:04:05Z", "x" * 300,
]  # fmt: skip
DATA = [
    {}, FrozenDict(), FrozenDict({"a": FrozenList([1])}), {1: 2}, {Word.ONE: 1}, {"a": Word.ONE},
    {"a": Count.ONE}, {"a": (1, 2)}, {"a": {1, 2}}, {"a": b"x"}, {"a": float("nan")},
    {"a": float("inf")}, {"a": [float("-inf")]}, {"a": [[{"b": float("nan")}]]}, {"a": "\x00"},
    {"\x00": 1}, {"a": "\\u0000"}, {"a": "\ud800"}, {"a": 10**400}, {"a": [FrozenDict({"b": 1})]},
    nested(MAX_DEPTH), nested(MAX_DEPTH + 1), nested(MAX_DEPTH, {}), listed(MAX_DEPTH - 1),
    listed(MAX_DEPTH), nested(MAX_DEPTH - 1, [1]), nested(MAX_DEPTH, [1]),
    {"a": "x" * MAX_EVENT_BYTES}, {"a": 1e16, "b": 1e-7, "c": -0.0, "d": 20.0}, [], "a", None,
]  # fmt: skip
ODD = [None, True, 0, 1, 1.5, float("nan"), float("inf"), 10**30, Word.ONE, Count.ONE, [], {}, b"a"]
VALUES = st.sampled_from([*TEXTS, *ODD, *DATA]) | st.text() | st.integers() | st.floats()
CHANGES = st.dictionaries(st.sampled_from([*CORE_ATTRIBUTES, *ARVO_ATTRIBUTES]), VALUES, max_size=3)


def validated(flat):
    """What the model makes of it, and whether that is an event."""
    try:
        return ArvoEvent.model_validate(flat)
    except ValidationError:
        return None


def assert_same(quick, slow):
    assert quick == slow
    assert quick.to_json() == slow.to_json()
    assert repr(quick) == repr(slow)
    assert list(quick) == list(slow)
    assert quick.model_fields_set == slow.model_fields_set
    assert quick.model_dump_json() == slow.model_dump_json()
    assert typed(quick.data) == typed(slow.data)
    assert quick.model_copy(update={"id": "2"}) == slow.model_copy(update={"id": "2"})
    assert hash(quick) == hash(slow)


def typed(value):
    """The types of a value, in depth."""
    if isinstance(value, dict):
        return type(value), {key: typed(item) for key, item in value.items()}
    return (type(value), [typed(item) for item in value] if isinstance(value, list) else value)


def checked(flat):
    slow = validated(flat)
    if (found := usual_event(flat)) is not None:
        assert slow is not None, flat
        whole, data, text = found
        assert text.decode() == slow.to_json()
        assert typed(data) == typed(slow.data)
        assert whole.keys() == ATTRIBUTES
    if slow is None:
        with pytest.raises(InvalidEventError):
            ArvoEvent.from_dict(flat)
    else:
        assert_same(ArvoEvent.from_dict(flat), slow)
    return found


@given(changes=CHANGES, missing=st.sets(st.sampled_from(sorted(ATTRIBUTES)), max_size=3))
def test_whatever_the_quick_check_takes_the_validation_takes_alike(changes, missing):
    flat = {key: value for key, value in (USUAL | changes).items() if key not in missing}
    checked(flat)


@pytest.mark.parametrize("name", sorted(ATTRIBUTES))
def test_every_odd_value_of_every_attribute(name):
    for value in [*TEXTS, *ODD, *DATA]:
        checked(USUAL | {name: value})
    checked({key: value for key, value in USUAL.items() if key != name})


@pytest.mark.parametrize("name", sorted(ATTRIBUTES - {"id", "source", "type", "subject", "to"}))
def test_what_may_be_left_out_does_not_make_an_event_unusual(name):
    shorter = {key: value for key, value in USUAL.items() if key != name}
    assert (checked(shorter) is None) == (name in {"data", "time"})


def test_usual_events_are_found_to_be_so():
    assert checked(USUAL) is not None
    assert checked(USUAL | {"data": nested(MAX_DEPTH)}) is not None
    assert checked(USUAL | {"executionunits": 3, "domain": None, "tracestate": None}) is not None


def test_unusual_ones_are_left_to_the_validation():
    assert usual_event(USUAL | {"extension": 1}) is None
    assert usual_event(USUAL | {"extensions": {}}) is None
    assert checked(USUAL | {"datacontenttype": "application/json"}) is None
    assert checked(USUAL | {"executionunits": True}) is None
    swapped = {key: value for key, value in USUAL.items() if key != "domain"} | {"foreign": 1}
    assert usual_event(swapped) is None
    assert dict(ArvoEvent.from_dict(swapped).extensions) == {"foreign": 1}


def test_what_was_given_can_be_changed_without_changing_the_event():
    given_data = {"list": [1, {"a": [1]}]}
    event = create_arvo_event(
        source="com.example.client", type="com.example.task", subject="s", data=given_data
    )
    given_data["list"][1]["a"].append(2)
    assert event.data == {"list": [1, {"a": [1]}]}
    with pytest.raises(TypeError):
        event.data["list"][1]["a"].append(2)


def test_a_subclass_is_validated_as_itself():
    class Mine(ArvoEvent):
        pass

    assert type(Mine.from_dict(USUAL)) is Mine
    assert type(Mine.from_trusted_dict(USUAL)) is Mine


@pytest.mark.parametrize("value", [item for item in DATA if type(item) is dict])
def test_a_plain_value_is_frozen_as_any_other(value):
    try:
        frozen = freeze_plain(value)
    except NotPlainError:
        return
    assert typed(frozen) == typed(freeze(value))


def test_texts_are_remembered_but_not_without_end():
    asked = []

    def keeps(text):
        asked.append(text)
        return text != "no"

    known = Known(keeps)
    assert known.has("a")
    assert known.has("a")
    assert not known.has("no")
    assert not known.has("no")
    assert asked == ["a", "no", "no"]
    assert not known.has(1)
    assert not known.has(["a"])
    assert not known.has(Word.ONE)
    asked.clear()
    assert all(known.has(f"t{number}") for number in range(5000))
    assert all(known.has("x" * 1000) for _ in range(2))
    assert len(asked) == 5002
    asked.clear()
    assert known.has("t4999")
    assert known.has("t0")
    assert asked == ["t0"]


def test_the_present_is_told_in_milliseconds():
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    told = event_time_now()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", told)
    assert before <= datetime.fromisoformat(told) <= datetime.now(UTC)


def test_a_fresh_id_is_a_random_uuid():
    made = [create_arvo_event_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    for text in made:
        read = UUID(text)
        assert (str(read), read.version, read.variant) == (text, 4, "specified in RFC 4122")
    ones = [sum(UUID(text).int >> bit & 1 for text in made) for bit in range(128)]
    fixed = {bit for bit, count in enumerate(ones) if count in {0, 1000}}
    assert fixed == {76, 77, 78, 79, 62, 63}
