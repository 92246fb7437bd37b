"""Whatever event the model accepts goes through PostgreSQL and comes back as it was."""

from decimal import Decimal

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from arvo_plpg import ARVO_CONTENT_TYPE, ArvoEvent, InvalidEventError, create_arvo_event
from arvo_plpg.event import ATTRIBUTES
from arvo_plpg.sync import Broker, Memory

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
SOME = TEXT.filter(bool)
NUMBER = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)
DATA = st.dictionaries(TEXT, JSON, max_size=4)
SEGMENTS = st.lists(st.text("abz09", min_size=1, max_size=5), min_size=3, max_size=5).map(".".join)
NAME = st.text("abcdxyz0189", min_size=1, max_size=8).filter(lambda key: key not in ATTRIBUTES)
OPTIONAL = {
    "time": st.sampled_from(["2030-01-02T03:04Z", "1600-02-29T23:59:59.123456789-0330"]),
    "dataschema": SOME,
    "datacontenttype": st.sampled_from([ARVO_CONTENT_TYPE, "application/json"]),
    "accesscontrol": SOME,
    "redirectto": SOME,
    "executionunits": NUMBER,
    "traceparent": SOME,
    "tracestate": SOME,
    "parentid": SOME,
    "domain": st.text("az09.", min_size=1, max_size=20),
    "extensions": st.dictionaries(NAME, st.none() | st.booleans() | NUMBER | TEXT, max_size=3),
}
REQUIRED = {"type": SEGMENTS, "source": SOME, "subject": SOME, "data": DATA}
EVENTS = st.fixed_dictionaries(REQUIRED, optional=OPTIONAL)
MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def as_numbers(value):
    """JSON with its numbers as such: 1e+23 and 100000000000000000000000 are one."""
    if isinstance(value, dict):
        return {key: as_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_numbers(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(repr(value))
    return value


@pytest.fixture(scope="module")
def contract(server, template):
    """The contract on a database that all examples share: each has an event of its own."""
    name = server.create(template)
    with psycopg.connect(server.dsn_of(name), autocommit=True) as connection:
        yield Broker(connection)
    server.drop(name)


def came_back(contract, accepted):
    """What a worker gets of one that was accepted."""
    queue = accepted.queue
    if not queue.startswith("arvo.domain."):
        contract.register_queue(queue)
    found = {one.delivery: one for one in contract.claim([queue], 10)}
    one = found.pop(accepted.delivery)
    assert found == {}
    contract.settle([{"lease": one.lease, "delivery": one.delivery, "outcome": "completed"}])
    return one.event


@MANY
@given(EVENTS)
@example({"type": "a.b.c", "source": "s", "subject": "s", "data": {"a": 1e23, "b": -0.0}})
@example({"type": "a.b.c", "source": "s", "subject": "s", "data": {"\\u0000": "\\u0000", "": {}}})
def test_an_event_that_is_dispatched(contract, fields):
    event = create_arvo_event(**{"to": "com.example.task"} | fields)
    (accepted,) = contract.dispatch_many([event])
    flat = came_back(contract, accepted)
    assert as_numbers(flat) == as_numbers(event.to_dict())
    read = ArvoEvent.from_trusted_dict(flat)
    ours = [name for name in event.to_dict() if name in ATTRIBUTES]
    assert [name for name in read.to_dict() if name in ATTRIBUTES] == ours
    assert ArvoEvent.from_dict(flat) == read
    assert ArvoEvent.from_json(read.to_json()) == read


@MANY
@given(st.lists(EVENTS, min_size=1, max_size=3))
def test_events_that_a_handler_emits(contract, several):
    contract.register_queue("com.example.asked")
    contract.dispatch(
        create_arvo_event(type="com.example.asked", source="com.example.me", subject="s", data={})
    )
    events = [create_arvo_event(**{"to": "com.example.emitted"} | one) for one in several]
    events = [event for event in events if event.domain is None]
    (taken,) = contract.claim(["com.example.asked"], 1)
    (verdict,) = contract.settle(
        [
            {
                "lease": taken.lease,
                "delivery": taken.delivery,
                "outcome": "completed",
                "events": [event.to_dict() for event in events],
            }
        ]
    )
    assert verdict.accepted
    contract.register_queue("com.example.emitted")
    got = contract.claim(["com.example.emitted"], 10)
    contract.settle(
        [{"lease": g.lease, "delivery": g.delivery, "outcome": "completed"} for g in got]
    )
    assert [as_numbers(g.event) for g in sorted(got, key=lambda one: one.delivery)] == [
        as_numbers(event.to_dict()) for event in events
    ]


@MANY
@given(to=SOME | st.none(), content_type=st.sampled_from([ARVO_CONTENT_TYPE, "application/json"]))
@example(to="a" * 513, content_type=ARVO_CONTENT_TYPE)
@example(to="it's", content_type=ARVO_CONTENT_TYPE)
@example(to="arvo.domain.x", content_type=ARVO_CONTENT_TYPE)
def test_any_receiver_is_a_queue_or_a_typed_error(contract, to, content_type):
    made = create_arvo_event(
        type="com.example.task", source="com.example.me", subject="s", data={}, to=to,
        datacontenttype=content_type,
    )  # fmt: skip
    if to is None and content_type != ARVO_CONTENT_TYPE:
        made = ArvoEvent.from_dict(made.to_dict() | {"to": None})
    try:
        (accepted,) = contract.dispatch_many([made])
    except InvalidEventError:
        return
    assert accepted.queue == (made.to or made.type)
    assert came_back(contract, accepted) == made.to_dict()


@MANY
@given(subject=SOME, data=DATA)
def test_a_state_that_is_json(contract, subject, data):
    memory = Memory(contract._session.connection)
    found = memory.read_state(subject)
    memory.write_state(subject, data, found.version if found else 0)
    assert as_numbers(memory.read_state(subject).data) == as_numbers(data)
