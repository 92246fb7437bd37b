import contextlib
from datetime import date
from urllib.parse import quote, unquote

from hypothesis import example, given
from hypothesis import strategies as st

from arvo_plpg import ArvoEvent, InvalidEventError, create_arvo_event
from arvo_plpg.event import ATTRIBUTES
from arvo_plpg.pattern import is_event_time
from arvo_plpg.uri import encode_uri, is_uri

SAFE = "-_.!~*'();/?:@&=+$,#"
RESERVED = ";/?:@&=+$,#"
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
SEGMENTS = st.lists(st.text("abz09", min_size=1, max_size=5), min_size=3, max_size=5).map(".".join)
NAME = st.text("abcdxyz0189", min_size=1, max_size=8).filter(lambda key: key not in ATTRIBUTES)
SOME_TEXT = TEXT.filter(bool)


@given(
    type=SEGMENTS,
    source=SOME_TEXT,
    subject=SOME_TEXT,
    data=st.dictionaries(TEXT, JSON, max_size=4),
    to=st.none() | SOME_TEXT,
    dataschema=st.none() | SOME_TEXT,
    accesscontrol=st.none() | SOME_TEXT,
    redirectto=st.none() | SOME_TEXT,
    executionunits=st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    traceparent=st.none() | SOME_TEXT,
    tracestate=st.none() | SOME_TEXT,
    parentid=st.none() | SOME_TEXT,
    domain=st.none() | st.text("az09.", min_size=1),
    extensions=st.dictionaries(NAME, st.none() | st.booleans() | st.integers() | TEXT, max_size=3),
)
def test_every_accepted_event_survives_its_json(**fields):
    event = create_arvo_event(**fields)
    assert ArvoEvent.from_json(event.to_json()) == event
    assert ArvoEvent.from_dict(event.to_dict()) == event
    assert ArvoEvent.from_trusted_dict(event.to_dict()) == event
    assert ArvoEvent.from_json(event.to_json()).to_json() == event.to_json()
    assert event.data == fields["data"]
    assert dict(event.extensions) == fields["extensions"]
    again = create_arvo_event(**fields | {"source": event.source, "subject": event.subject})
    assert (again.source, again.subject) == (event.source, event.subject)


@given(st.text())
def test_any_text_is_an_event_or_a_typed_error(text):
    with contextlib.suppress(InvalidEventError):
        assert ArvoEvent.from_json(text).id


@given(st.dictionaries(st.sampled_from([*sorted(ATTRIBUTES), "ext", "E"]), JSON | st.text()))
def test_any_object_is_an_event_or_a_typed_error(flat):
    try:
        event = ArvoEvent.from_dict(flat)
    except InvalidEventError:
        return
    assert event.to_dict().items() >= flat.items()


def javascript_decode_uri(text):
    """ECMAScript's decodeURI: decodes all escapes except those of reserved characters and '#'."""
    kept = text
    for character in RESERVED:
        code = f"{ord(character):02X}"
        kept = kept.replace(f"%{code}", f"%25{code}").replace(
            f"%{code.lower()}", f"%25{code.lower()}"
        )
    pieces = kept.split("%")[1:]
    if any(
        len(piece) < 2 or not all(c in "0123456789abcdefABCDEF" for c in piece[:2])
        for piece in pieces
    ):
        raise ValueError(text)
    return unquote(kept, errors="strict")


def validate_uri(text):
    """The rule as section 1.2 states it."""
    try:
        return text != "" and text == quote(javascript_decode_uri(text), safe=SAFE)
    except (UnicodeError, ValueError):
        return False


@given(
    st.text("ab%2Ff05[] é;/#~", max_size=12)
    | st.lists(st.sampled_from([f"%{n:02X}" for n in range(256)] + ["a", "%"]), max_size=5).map(
        "".join
    )
    | st.text(max_size=8)
    .filter(lambda t: not any(0xD800 <= ord(c) <= 0xDFFF for c in t))
    .map(quote)
)
@example("%E4%BD%A0")
@example("a%5B1%5D")
@example("%2F")
@example("%2f")
@example("%c3%a9")
@example("%7E")
@example("%7F")
@example("%ED%A0%80")
@example("%F4%90%80%80")
@example("a\n")
def test_the_uri_pattern_is_the_uri_rule(text):
    assert is_uri(text) == validate_uri(text)


@given(SOME_TEXT)
def test_encoding_gives_a_uri_and_is_idempotent(text):
    encoded = encode_uri(text)
    assert is_uri(encoded)
    assert encode_uri(encoded) == encoded


@given(
    day=st.dates(),
    clock=st.times(),
    offset=st.sampled_from(["Z", "+00:00", "-0330", "+99:99"]),
)
def test_any_moment_with_an_offset_is_a_time(day, clock, offset):
    assert is_event_time(f"{day.isoformat()}T{clock.isoformat()}{offset}")
    assert is_event_time(f"{day.isoformat()}T{clock:%H:%M}{offset}")
    assert not is_event_time(f"{day.isoformat()}T{clock.isoformat()}")
    assert not is_event_time(f"{day.isoformat()}")


@given(st.integers(1, 9999), st.integers(0, 19), st.integers(0, 39))
def test_only_days_of_the_calendar_are_a_time(year, month, day):
    try:
        exists = bool(date(year, month, day))
    except ValueError:
        exists = False
    assert is_event_time(f"{year:04}-{month:02}-{day:02}T00:00:00Z") == exists
