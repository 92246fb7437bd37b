"""What is let in at one look breaks no rule: the same events, looked at one by one."""

from random import Random
from typing import Any

import psycopg

from fuzz.documents import mutated, written

EVENT: dict[str, Any] = {
    "id": "1",
    "source": "com.test.source",
    "type": "com.test.event",
    "subject": "order-1",
    "to": "com.test.sink",
    "time": "2030-01-01T00:00:00.123+00:00",
    "specversion": "1.0",
    "datacontenttype": "application/json",
    "data": {"amount": 7},
}
REST: dict[str, Any] = {
    "domain": "human.review",
    "parentid": "0",
    "dataschema": "com.test/1.0.0",
    "redirectto": None,
    "tracestate": None,
    "traceparent": "00-1-2-01",
    "accesscontrol": None,
    "executionunits": 1.5,
}
LINES = ["", "q", "com.test.event", "2030-01-01T00:00:00.1Z", "2030-01-01T00:00:00.1+00:00"]
EVENTS = 3_000
QUERY = "SELECT arvo.let_in(ARRAY[%s::jsonb]), arvo.event_fault(%s::jsonb)"


def test_each_event_that_is_let_in_breaks_no_rule(actors):
    chance, judge = Random(4), actors()
    told = {True: 0, False: 0}
    for _ in range(EVENTS):
        whole = EVENT | {name: REST[name] for name in REST if chance.random() < 0.7}
        text = written(mutated(whole, chance, chance.choice((0.01, 0.05, 0.12))), chance)
        try:
            ((let_in, fault),) = judge.ask(QUERY, text, text)
        except (psycopg.errors.DataError, psycopg.errors.StatementTooComplex):
            continue  # no JSON, or none that PostgreSQL can hold
        assert let_in is not None
        assert not (let_in and fault), text
        told[let_in] += 1
    assert min(told.values()) > EVENTS / 10


def test_lines_of_one_event_are_none_of_another(actors):
    """Times, types and destinations of several lines, or missing, side by side."""
    chance, judge = Random(5), actors()
    told = {True: 0, False: 0}
    for _ in range(EVENTS // 3):
        events = []
        for _ in range(chance.choice((1, 2, 3))):
            event = dict(EVENT)
            for name in ("time", "type", "to"):
                way = chance.random()
                if way < 0.1:
                    del event[name]
                elif way < 0.3:
                    event[name] = "\n".join(chance.choices(LINES, k=chance.choice((1, 2, 3, 4))))
            events.append(event)
        texts = [written(event, Random(6)) for event in events]
        ((let_in, faults),) = judge.ask(
            "SELECT arvo.let_in(%s::jsonb[]),"
            " (SELECT count(arvo.event_fault(event)) FROM unnest(%s::jsonb[]) AS event)",
            texts,
            texts,
        )
        assert let_in in {True, False}
        assert not (let_in and faults), texts
        told[let_in] += 1
    assert min(told.values()) > EVENTS / 30
