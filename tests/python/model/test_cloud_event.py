"""Events over HTTP, judged by the CloudEvents SDK for Python."""

import base64
import json
import re

import pytest
from cloudevents.core.bindings import http as sdk
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent
from hypothesis import example, given
from hypothesis import strategies as st

from arvo_plpg import (
    ARVO_CONTENT_TYPE,
    ArvoEvent,
    EventTooLargeError,
    InvalidEventError,
    create_arvo_event,
)
from arvo_plpg.cloud_event import HttpMessage, from_http, to_http_binary, to_http_structured
from arvo_plpg.event import ATTRIBUTES

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
SOME = TEXT.filter(bool)
SEGMENTS = st.lists(st.text("abz09", min_size=1, max_size=5), min_size=3, max_size=5).map(".".join)
NAME = st.text("abcdxyz0189", min_size=1, max_size=8).filter(lambda key: key not in ATTRIBUTES)
NUMBER = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
TIMES = st.builds(
    lambda moment, *rest: moment.isoformat()[:16] + "".join(rest),
    st.datetimes(),
    st.sampled_from(["", ":07", ":07.25"]),
    st.sampled_from(["Z", "+00:00", "-0330", "+13:45"]),
)
EVENTS = st.fixed_dictionaries(
    {
        "type": SEGMENTS,
        "source": SOME,
        "subject": SOME,
        "id": SOME,
        "data": st.dictionaries(TEXT, JSON, max_size=3),
    },
    optional={
        "time": TIMES,
        "to": SOME,
        "dataschema": SOME | st.sampled_from(["https://example.com/a/1.0.0", "#/a/1.0.0"]),
        "datacontenttype": st.sampled_from([ARVO_CONTENT_TYPE, "application/json"]),
        "accesscontrol": SOME,
        "redirectto": SOME,
        "executionunits": NUMBER,
        "traceparent": SOME,
        "tracestate": SOME,
        "parentid": SOME,
        "domain": st.text("az09.", min_size=1),
        "extensions": st.dictionaries(NAME, st.none() | st.booleans() | NUMBER | TEXT, max_size=3),
    },
).map(lambda fields: create_arvo_event(**fields | {"id": None}).to_dict() | {"id": fields["id"]})
INT32 = range(-(2**31), 2**31)


def canonical(value):
    """The text of an attribute, as CloudEvents writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def complete(time):
    """RFC 3339 has seconds, and a colon in the offset."""
    time = re.sub(r"(?<=T..:..)(?=[Z+-])", ":00", time)
    return re.sub(r"([+-]..)(..)$", r"\1:\2", time)


def sent(event, *, as_text):
    """What arrives: extensions without a value are gone, and what is no integer is text."""
    changed = {
        key: canonical(value)
        for key, value in event.extensions.items()
        if value is not None
        and (as_text or isinstance(value, float) or (isinstance(value, int) and value not in INT32))
    }
    gone = [key for key, value in event.extensions.items() if value is None]
    flat = event.to_dict() | changed | {"time": complete(event.time)}
    return {key: value for key, value in flat.items() if key not in gone}


def through_sdk(message):
    """Let the SDK read it, which validates it, and hand it on as it likes to."""
    read = sdk.from_http_event(sdk.HTTPMessage(message.headers, message.body))
    assert isinstance(read, CloudEvent)
    return read


@given(EVENTS)
def test_structured_mode_there_and_back(flat):
    event = ArvoEvent.from_dict(flat)
    message = to_http_structured(event)
    assert message.headers == {"content-type": "application/cloudevents+json; charset=UTF-8"}
    assert from_http(message.headers, message.body).to_dict() == sent(event, as_text=False)


@given(EVENTS)
def test_binary_mode_there_and_back(flat):
    event = ArvoEvent.from_dict(flat)
    message = to_http_binary(event)
    assert from_http(message.headers, message.body).to_dict() == sent(event, as_text=True)
    for name, value in message.headers.items():
        assert re.fullmatch("content-type|ce-[a-z0-9]+", name)
        assert re.fullmatch("[\x21-\x7e]*", value)


@given(EVENTS)
def test_the_sdk_accepts_what_is_written_and_we_what_it_writes(flat):
    event = ArvoEvent.from_dict(flat)
    for write in (to_http_structured, to_http_binary):
        read = through_sdk(write(event))
        assert (read.get_id(), read.get_source()) == (event.id, event.source)
        assert (read.get_type(), read.get_subject()) == (event.type, event.subject)
        assert read.get_data() == event.data
        for rewrite in (sdk.to_structured_event, sdk.to_binary_event):
            back = from_http(*vars(rewrite(read)).values())
            untouched = [
                name for name in event.to_dict() if name not in {"time", "datacontenttype"}
            ]
            assert {name: back.to_dict()[name] for name in untouched if name in ATTRIBUTES} == {
                name: event.to_dict()[name] for name in untouched if name in ATTRIBUTES
            }


@given(EVENTS)
def test_every_attribute_has_a_type_of_cloudevents(flat):
    written = json.loads(to_http_structured(ArvoEvent.from_dict(flat)).body)
    assert isinstance(written.pop("data"), dict)
    for name, value in written.items():
        assert isinstance(value, str | bool) or (isinstance(value, int) and value in INT32), name
    schema = written.get("dataschema")
    assert schema is None or re.fullmatch("[A-Za-z][A-Za-z0-9+.-]*:[^#]+", schema)


def event(**changes):
    given = {"source": "com.a.b", "type": "com.a.b", "subject": "s", "id": "i", "data": {"a": 1}}
    return create_arvo_event(**given | {"time": "2030-01-02T03:04:05.678+00:00"} | changes)


def test_a_structured_message_as_it_stands():
    made = event(
        to="com.to.x", dataschema="#/x/1.0.0", executionunits=0.5, extensions={"n": None, "k": 7}
    )
    assert json.loads(to_http_structured(made).body) == {
        "id": "i",
        "source": "com.a.b",
        "specversion": "1.0",
        "type": "com.a.b",
        "subject": "s",
        "datacontenttype": ARVO_CONTENT_TYPE,
        "time": "2030-01-02T03:04:05.678+00:00",
        "k": 7,
        "to": "com.to.x",
        "executionunits": "0.5",
        "arvodataschema": "#/x/1.0.0",
        "data": {"a": 1},
    }


def test_a_binary_message_as_it_stands():
    made = event(accesscontrol='50% "é" \r\nX-Evil: 1', dataschema="https://a.example/x/1.0.0")
    message = to_http_binary(made)
    assert message == HttpMessage(
        {
            "content-type": "application/json;charset=UTF-8;profile=arvo",
            "ce-id": "i",
            "ce-source": "com.a.b",
            "ce-specversion": "1.0",
            "ce-type": "com.a.b",
            "ce-subject": "s",
            "ce-dataschema": "https://a.example/x/1.0.0",
            "ce-time": "2030-01-02T03:04:05.678+00:00",
            "ce-to": "com.a.b",
            "ce-accesscontrol": "50%25%20%22%C3%A9%22%20%0D%0AX-Evil:%201",
        },
        b'{"a":1}',
    )
    assert from_http(message.headers, message.body) == made


@pytest.mark.parametrize("number", [0, -7, 2**31 - 1, 2**31, 10**30, 0.1, -0.0, 1e300, 5e-324])
def test_execution_units_keep_value_and_kind(number):
    for write in (to_http_structured, to_http_binary):
        message = write(event(executionunits=number))
        back = from_http(message.headers, message.body).executionunits
        assert (repr(back), type(back)) == (repr(number), type(number))


def test_a_media_type_that_names_an_envelope_without_profile_comes_back_as_plain_json():
    made = event(datacontenttype="application/cloudevents+json")
    binary, structured = to_http_binary(made), to_http_structured(made)
    assert from_http(binary.headers, binary.body).datacontenttype == "application/json"
    assert from_http(structured.headers, structured.body) == made


def test_a_media_type_cannot_forge_a_header():
    made = event(datacontenttype="application/json\r\nX-Evil: 1")
    with pytest.raises(InvalidEventError, match=r"datacontenttype.*X-Evil"):
        to_http_binary(made)
    message = to_http_structured(made)
    assert from_http(message.headers, message.body) == made


ODD = {
    "line break": "a\r\nX-Evil: 1", "tab": "\t", "escape": "\x1b[31m", "delete": "\x7f",
    "next line": "\x85", "null in C1": "\x80", "line separator": "\u2028", "blank": " ",
    "noncharacter": "\ufffe", "noncharacter of a plane": "\U0001ffff", "byte order mark": "\ufeff",
    "right to left": "\u202etxt", "combining": "e\u0301", "emoji": "👩\u200d🚀", "quotes": '"\'\\"',
    "percent": "100%25", "comma and semicolon": "a,b;c=d",
}  # fmt: skip


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_text_comes_back_and_forges_nothing(text):
    made = event(accesscontrol=text, tracestate=text, extensions={"note": text})
    made = ArvoEvent.from_dict(made.to_dict() | {"id": text})
    binary = to_http_binary(made)
    assert all(re.fullmatch("[\x21-\x7e]*", value) for value in binary.headers.values())
    assert set(binary.headers) == {"content-type", "ce-note", "ce-id", "ce-accesscontrol"} | {
        f"ce-{name}" for name in ("type", "source", "subject", "specversion", "time", "to",
                                  "tracestate")
    }  # fmt: skip
    for message in (binary, to_http_structured(made)):
        assert from_http(message.headers, message.body) == made
        read = through_sdk(message)
        assert (read.get_id(), read.get_extension("note")) == (text, text)
        for rewrite in (sdk.to_structured_event, sdk.to_binary_event):
            again = from_http(*vars(rewrite(read)).values())
            assert (again.id, again.extensions["note"]) == (text, text)
            assert (again.accesscontrol, again.tracestate) == (text, text)


@pytest.mark.parametrize("name", ["ce-id", "ce-note", "content-type"])
@pytest.mark.parametrize("raw", ["a\r\nX-Evil: 1", "a\x00", "\x7f", "\x1b"])
def test_a_control_character_as_it_stands_is_refused_in_a_header(name, raw):
    message = to_http_binary(event())
    for headers in (
        message.headers | {name: raw},
        [*(pair for pair in message.headers.items() if pair[0] != name), (name, raw.encode())],
    ):
        with pytest.raises(InvalidEventError, match=rf"{name}.*control characters"):
            from_http(headers, message.body)


def test_an_extension_in_the_place_of_the_dataschema_is_refused():
    made = event(dataschema="#/x/1.0.0", extensions={"arvodataschema": "mine"})
    for write in (to_http_structured, to_http_binary):
        with pytest.raises(InvalidEventError, match="arvodataschema"):
            write(made)
    free = event(dataschema="https://a.example/1.0.0", extensions={"arvodataschema": "mine"})
    message = to_http_binary(free)
    assert from_http(message.headers, message.body) == free


def test_an_offset_that_no_clock_has_is_refused():
    for write in (to_http_structured, to_http_binary):
        with pytest.raises(InvalidEventError, match=r"time .*\+99:99"):
            write(event(time="2030-01-02T03:04:05+99:99"))


LEAN = {"id": "i", "source": "/o/r", "specversion": "1.0", "type": "com.a.b", "subject": "a file"}


def structured(content_type="application/cloudevents+json", **changes):
    flat = {key: value for key, value in (LEAN | changes).items() if value is not ...}
    return {"Content-Type": content_type}, json.dumps(flat).encode()


def binary(body=b'{"a":1}', **changes):
    named = {f"CE-{key.title()}": value for key, value in (LEAN | changes).items()}
    return {key: value for key, value in named.items() if value is not ...}, body


@pytest.mark.parametrize(
    "message",
    [
        structured(data={"a": 1}),
        structured("Application/CloudEvents+JSON ;charset=utf-8", data={"a": 1}),
        structured("application/cloudevents", data={"a": 1}),
        structured(data_base64=base64.b64encode(b'{"a":1}').decode()),
        binary(),
        binary(Subject='"a file"'),
        binary(Subject="a%20file", to=""),
        binary('{"a":1}'),
    ],
)
def test_a_lean_message_of_others_is_read(message):
    read = from_http(*message)
    assert (read.subject, read.data, read.to) == ("a%20file", {"a": 1}, "com.a.b")
    assert (read.source, read.datacontenttype) == ("/o/r", ARVO_CONTENT_TYPE)
    assert read.time.endswith("+00:00")


def test_headers_may_be_pairs_of_bytes():
    headers, body = binary(id="caf%C3%A9")
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert from_http([(b"accept", b"x"), (b"accept", b"y"), *pairs], body).id == "café"


def test_the_media_type_of_arvo_beside_headers_is_that_of_the_data():
    headers, body = binary(b'{"specversion":"1.0","type":"com.forged.event"}')
    read = from_http(headers | {"content-type": ARVO_CONTENT_TYPE}, body)
    assert (read.type, read.data["type"]) == ("com.a.b", "com.forged.event")
    envelope, whole = structured()
    assert from_http(headers | envelope, whole).data == {}


def test_no_data_is_an_empty_object():
    for message in (structured(), structured(data=None), binary(b""), binary("")):
        assert from_http(*message).data == {}


def test_letters_of_a_time_may_be_small():
    assert from_http(*binary(time="2030-01-02t03:04:05z")).time == "2030-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (({}, b"{}"), "no CloudEvent"),
        (({"content-type": "application/json"}, b"{}"), "no CloudEvent.*'application/json'"),
        (structured("application/cloudevents-batch+json"), "batch"),
        (structured("application/cloudevents+xml"), "xml"),
        (({"content-type": "application/cloudevents+json"}, b"{"), "body is not JSON"),
        (({"content-type": "application/cloudevents+json"}, b"\xff"), "body is not JSON"),
        (({"content-type": "application/cloudevents+json"}, b"[1]"), "JSON object"),
        (({"content-type": "application/cloudevents+json"}, b"[" * 99999), "body is not JSON"),
        (structured(type="com.a"), "type"),
        (structured(subject=...), "subject is missing"),
        (structured(specversion="0.3"), "specversion"),
        (structured(data=[1]), "data"),
        (structured(data={"a": 1}, data_base64="eyJ9"), "data_base64 must not"),
        (structured(data_base64="%"), "data_base64 must be base64"),
        (structured(data_base64=5), "data_base64 must be base64"),
        (structured(data_base64="e30x"), "data_base64 is not JSON"),
        (structured(executionunits="many"), "executionunits .*'many'"),
        (structured(executionunits="1_0"), "executionunits"),
        (structured(executionunits="nan"), "executionunits"),
        (structured(executionunits="1e999"), "executionunits"),
        (structured(executionunits="9" * 5000), "executionunits"),
        (structured(Tenant="x"), "Tenant"),
        (structured(time="yesterday"), "time"),
        (structured(datacontenttype="text/plain"), "datacontenttype"),
        (binary(b"\xff"), "body is not JSON"),
        (binary(id="%FF"), "ce-id.*UTF-8"),
        (binary(data="{}"), "ce-data"),
        (binary(datacontenttype="application/json"), "ce-datacontenttype"),
        (([*binary()[0].items(), ("ce-id", "again")], b"{}"), "'ce-id' is there twice"),
        (binary(**{"x-y": "1"}), "'x-y'"),
    ],
)
def test_what_is_no_event_is_a_typed_error(message, words):
    with pytest.raises(InvalidEventError, match=words) as caught:
        from_http(*message)
    assert len(str(caught.value)) < 500


def test_too_large_is_too_large_here_too():
    with pytest.raises(EventTooLargeError):
        from_http(*structured(data={"a": "x" * 1_048_576}))


ANY = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())


@given(
    st.dictionaries(st.sampled_from([*sorted(ATTRIBUTES), "arvodataschema", "data_base64"]), ANY),
    st.binary(),
)
@example(LEAN | {"executionunits": "٣"}, b"")
def test_any_message_is_an_event_or_a_typed_error(flat, body):
    text = json.dumps(LEAN | flat)
    named = {f"ce-{key}": str(value) for key, value in (LEAN | flat).items()}
    for headers, content in (
        ({"content-type": "application/cloudevents+json"}, text),
        ({"content-type": "application/cloudevents+json"}, body),
        (named, body),
        (named, text),
    ):
        try:
            read = from_http(headers, content)
        except InvalidEventError:
            continue
        assert ArvoEvent.from_dict(read.to_dict()) == read


def test_the_sdk_is_a_judge_that_refuses():
    """The judge of the tests above does judge."""
    with pytest.raises(CloudEventValidationError):
        through_sdk(HttpMessage({"content-type": "application/cloudevents+json"}, b'{"id":"x"}'))
