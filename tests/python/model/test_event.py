import copy
import json
import pickle
import timeit
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel, ValidationError

from arvo_plpg import (
    MAX_EVENT_BYTES,
    ArvoEvent,
    EventId,
    EventTooLargeError,
    InvalidEventError,
    ModelError,
    create_arvo_event,
    create_arvo_event_id,
    parse_arvo_event_id,
)
from arvo_plpg.event import ARVO_ATTRIBUTES, ATTRIBUTES, CORE_ATTRIBUTES
from arvo_plpg.trace_context import event_attributes

FIELDS = {
    "source": "com.test.test",
    "type": "com.order.create",
    "subject": "order/123",
    "data": {"a": {"b": [1, {"c": 2}]}},
}


def flat(**changes):
    return create_arvo_event(**FIELDS).to_dict() | changes


@pytest.mark.parametrize("name", ["event_minimal", "event_full_with_extensions"])
def test_a_golden_event_comes_back_as_it_was(sample, name):
    golden = sample(name)
    event = ArvoEvent.from_dict(golden["toJSON"])
    assert event.to_dict() == golden["toJSON"]
    assert list(event.to_dict()) == golden.get("keyOrder", list(golden["toJSON"]))
    assert json.loads(event.to_json()) == golden["toJSON"]
    assert list(json.loads(event.to_json())) == list(json.loads(golden["toString"]))
    assert event.cloudevent == golden["cloudevent"]
    assert dict(event.extensions) == golden["extensions"]
    assert event_attributes(event) == golden["otelAttributes"]
    assert ArvoEvent.from_trusted_dict(golden["toJSON"]) == event
    assert ArvoEvent.from_json(golden["toString"]) == event


def test_json_text_is_upstreams_where_numbers_are_spelled_alike(sample):
    golden = sample("event_minimal")
    assert ArvoEvent.from_dict(golden["toJSON"]).to_json() == golden["toString"]


def test_there_are_seventeen_attributes():
    assert len(ATTRIBUTES) == len(CORE_ATTRIBUTES) + len(ARVO_ATTRIBUTES) == 17
    assert ATTRIBUTES | {"extensions"} == set(ArvoEvent.model_fields)


def test_time_is_true_utc_in_upstreams_shape():
    event = create_arvo_event(**FIELDS)
    assert len(event.time) == len("2026-01-02T03:04:05.678+00:00")
    assert event.time.endswith("+00:00")
    assert abs(datetime.fromisoformat(event.time) - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_event_cannot_be_changed():
    event = ArvoEvent.from_dict(flat(tenant="t1"))
    with pytest.raises(ValidationError):
        event.id = "other"
    for change in (
        lambda: event.data.update(x=1),
        lambda: event.data["a"].pop("b"),
        lambda: event.data["a"]["b"].append(1),
        lambda: event.data["a"]["b"][1].__setitem__("c", 3),
        lambda: event.extensions.__delitem__("tenant"),
    ):
        with pytest.raises(TypeError, match="immutable"):
            change()
    trusted = ArvoEvent.from_trusted_dict(event.to_dict())
    with pytest.raises(TypeError, match="immutable"):
        trusted.data["a"]["b"].clear()


def test_an_event_does_not_follow_the_data_it_was_made_from():
    data = {"list": [1]}
    event = create_arvo_event(**FIELDS | {"data": data})
    data["list"].append(2)
    assert event.data == {"list": [1]}


def test_to_dict_gives_a_copy_that_can_be_changed():
    event = create_arvo_event(**FIELDS)
    event.to_dict()["data"]["a"]["b"].append("x")
    assert event.data == FIELDS["data"]


def test_copies_and_pickles_are_equal():
    event = ArvoEvent.from_dict(flat(tenant="t1"))
    for other in (copy.copy(event), copy.deepcopy(event), pickle.loads(pickle.dumps(event))):
        assert other == event
        assert hash(other) == hash(event)
    assert event != create_arvo_event(**FIELDS)
    assert event != "text"


@pytest.mark.parametrize("missing", [*sorted(set(ARVO_ATTRIBUTES) - {"to"}), "dataschema"])
def test_a_missing_nullable_key_reads_null(missing):
    event = flat()
    del event[missing]
    assert ArvoEvent.from_dict(event).to_dict()[missing] is None


@pytest.mark.parametrize("missing", ["id", "source", "type", "subject", "data", "time"])
def test_a_missing_required_key_is_named(missing):
    event = flat()
    del event[missing]
    with pytest.raises(InvalidEventError, match=f"{missing} is missing"):
        ArvoEvent.from_dict(event)


@pytest.mark.parametrize("name", sorted(ATTRIBUTES))
def test_no_extension_may_forge_an_attribute(name):
    with pytest.raises(InvalidEventError, match="cannot be an extension"):
        create_arvo_event(**FIELDS, extensions={name: "forged"})


@pytest.mark.parametrize("key", ["Tenant", "a_b", "a b", "", "é", "²"])
def test_extension_keys_are_lower_case_alphanumeric(key):
    with pytest.raises(InvalidEventError, match="lower-case"):
        ArvoEvent.from_dict(flat(**{key: "x"}))


@pytest.mark.parametrize("value", [[], {}, float("nan"), float("inf")])
def test_extension_values_are_scalars(value):
    with pytest.raises(InvalidEventError, match="ext"):
        ArvoEvent.from_dict(flat(ext=value))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_data_has_finite_numbers_only(number):
    with pytest.raises(InvalidEventError, match=r"data\.a\[1\]"):
        ArvoEvent.from_dict(flat(data={"a": [0, number]}))
    with pytest.raises(InvalidEventError, match="executionunits"):
        ArvoEvent.from_dict(flat(executionunits=number))


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"id": "a\x00"}, "id"),
        ({"accesscontrol": "\x00"}, "accesscontrol"),
        ({"data": {"k": ["v\x00"]}}, "data"),
        ({"data": {"k\x00": 1}}, "data"),
        ({"ext": "\x00"}, "ext"),
        ({"data": {"k": "\\\x00"}}, "data"),
    ],
)
def test_nul_is_refused_anywhere(changes, culprit):
    with pytest.raises(InvalidEventError, match=f"{culprit} holds a NUL"):
        ArvoEvent.from_dict(flat(**changes))


def test_text_that_only_looks_like_an_escaped_nul_is_fine():
    text = "\\u0000 and \\\\u0000"
    assert ArvoEvent.from_dict(flat(data={"k": text})).data["k"] == text


@pytest.mark.parametrize(
    "changes", [{"id": "\ud800"}, {"data": {"k": "\udfff"}}, {"ext": "\ud83d"}]
)
def test_lone_surrogates_are_refused(changes):
    with pytest.raises(InvalidEventError):
        ArvoEvent.from_dict(flat(**changes))


def test_lone_surrogates_are_refused_before_encoding():
    with pytest.raises(InvalidEventError, match="surrogate"):
        create_arvo_event(**FIELDS | {"source": "a\ud800b"})


def test_integers_keep_every_digit():
    big = 2**63 + 1
    event = ArvoEvent.from_json(create_arvo_event(**FIELDS | {"data": {"n": big}}).to_json())
    assert event.data["n"] == big


@pytest.mark.parametrize("data", [[], "text", None, 1, [["a", 1]]])
def test_data_is_an_object(data):
    with pytest.raises(InvalidEventError, match="data"):
        ArvoEvent.from_dict(flat(data=data))


@pytest.mark.parametrize("value", [{1: "a"}, {"a": {1, 2}}, {"a": datetime.now(UTC)}, {"a": b""}])
def test_what_is_not_json_is_refused(value):
    with pytest.raises(InvalidEventError, match="data"):
        create_arvo_event(**FIELDS | {"data": value})


def test_a_pydantic_model_is_data():
    class Data(BaseModel):
        when: datetime

    event = create_arvo_event(**FIELDS | {"data": Data(when=datetime(2026, 1, 1, tzinfo=UTC))})
    assert event.data == {"when": "2026-01-01T00:00:00Z"}


def test_nesting_is_bounded():
    deep = inner = {}
    for _ in range(5000):
        inner["k"] = {}
        inner = inner["k"]
    with pytest.raises(InvalidEventError, match="nested deeper"):
        create_arvo_event(**FIELDS | {"data": deep})


def test_size_is_bounded_to_the_byte():
    room = MAX_EVENT_BYTES - len(ArvoEvent.from_dict(flat(data={"x": ""})).to_json().encode())
    fits = ArvoEvent.from_dict(flat(data={"x": "y" * room}))
    assert len(fits.to_json().encode()) == MAX_EVENT_BYTES
    with pytest.raises(EventTooLargeError) as refused:
        ArvoEvent.from_dict(flat(data={"x": "y" * (room + 1)}))
    assert refused.value.size == MAX_EVENT_BYTES + 1
    assert refused.value.limit == MAX_EVENT_BYTES


def test_size_counts_bytes_not_characters():
    with pytest.raises(EventTooLargeError):
        create_arvo_event(**FIELDS | {"data": {"x": "漢" * (MAX_EVENT_BYTES // 3 + 1)}})


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "1", '{"id":', "[" * 100_000])
def test_text_that_is_no_event_is_a_typed_error(text):
    with pytest.raises(InvalidEventError):
        ArvoEvent.from_json(text)


def test_an_error_is_one_line_whatever_the_keys_say():
    with pytest.raises(ModelError) as refused:
        create_arvo_event(**FIELDS | {"data": {"line\nbreak": float("nan")}})
    assert "\n" not in str(refused.value)


def test_several_broken_rules_are_all_named():
    with pytest.raises(InvalidEventError) as refused:
        ArvoEvent.from_dict(flat(type="a.b", source="", domain="X"))
    for field in ("type", "source", "domain"):
        assert field in str(refused.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("my source", "my%20source"),
        ("a%20b", "a%20b"),
        ("a%2Fb", "a%252Fb"),
        ("é", "%C3%A9"),
        ("%C3%A9", "%C3%A9"),
        ("#/a/b", "#/a/b"),
        ("100%", "100%25"),
    ],
)
def test_encoding_happens_once(given, expected):
    event = create_arvo_event(**FIELDS | {"source": given})
    assert event.source == expected
    assert create_arvo_event(**FIELDS | {"source": event.source}).source == expected


def test_ids_follow_their_strategy():
    assert create_arvo_event(**FIELDS, id="plain").id == "plain"
    assert create_arvo_event_id(EventId("DEVELOPER_MANAGED", " key ")) == "key"
    assert len(create_arvo_event_id(EventId("DEVELOPER_MANAGED", "  "))) == 36
    packed = create_arvo_event_id(EventId("ARVO_MANAGED", " key "))
    parsed = parse_arvo_event_id(packed)
    assert parsed is not None
    assert parsed.value == "key"
    assert len(parsed.uuid) == 36
    assert create_arvo_event_id(EventId("ARVO_MANAGED", "key")) != packed


def test_a_golden_arvo_managed_id_is_read(sample):
    golden = sample("event_id_arvo_managed")
    parsed = parse_arvo_event_id(golden["id"])
    assert parsed is not None
    assert {"uuid": parsed.uuid, "value": parsed.value} == golden["parsed"]
    assert parse_arvo_event_id(golden["parsePlainUuid"]) is None


def test_building_from_a_dictionary_is_cheap(sample):
    event = sample("event_full_with_extensions")["toJSON"]
    best = min(timeit.repeat(lambda: ArvoEvent.from_dict(event), number=1000, repeat=5)) / 1000
    # 25 µs is the aim on an idle machine; the bound leaves room for a busy one
    assert best < 250e-6
