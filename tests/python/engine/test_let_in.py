"""What is let in at one look breaks no rule: the same events, looked at one by one."""

import json
from random import Random
from typing import Any

import psycopg

from fuzz.documents import Raw, mutated, written

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
EXTENSIONS: dict[str, Any] = {
    "tenant": "acme",
    "region": None,
    "retries": 3,
    "1": True,
    "note": 'a "quoted" one, {"with": [braces]}',
    "camelCase": "x",
    "deep": {"a": 1},
    "listed": ["a"],
    "large": Raw("1e4000"),
    "least": Raw("-1e3999"),
    "small": Raw("1e-5000"),
    'a": 1, "b': "x",
}
USUAL = ("tenant", "region", "retries", "1")
LINES = ["", "q", "com.test.event", "2030-01-01T00:00:00.1Z", "2030-01-01T00:00:00.1+00:00"]
EVENTS = 3_000
LARGE = json.dumps({"data": {"text": "x" * 5_000}})
BY_RULES = """SELECT arvo.let_in(ARRAY[%s::jsonb]), arvo.event_fault(%s::jsonb),
    arvo.event_fault(%s::jsonb || %s::jsonb)"""
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


def test_extensions_that_are_let_in_break_no_rule(actors):
    """Nor do those that the look at one lets in at once: with larger data it goes rule by rule."""
    chance, judge = Random(7), actors()
    told = {True: 0, False: 0}
    for _ in range(EVENTS // 3):
        names = chance.choices(USUAL, k=chance.choice((1, 2)))
        if chance.random() < 0.4:
            names.append(chance.choice(list(EXTENSIONS)))
        more = {name: EXTENSIONS[name] for name in names}
        rest = {name: REST[name] for name in REST if chance.random() < 0.5}
        text = written(mutated(EVENT | rest | more, chance, 0.005), chance)
        try:
            ((let_in, fault, slow),) = judge.ask(BY_RULES, text, text, text, LARGE)
        except (psycopg.errors.DataError, psycopg.errors.StatementTooComplex):
            continue
        assert let_in is not None
        assert not (let_in and slow), text
        assert fault or not slow, text
        told[let_in] += 1
    assert min(told.values()) > EVENTS / 30


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
                    event[name] = "\n".join(chance.choices(LINES, k=chance.choice((1, 2, 3, 5))))
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
