"""A thousand hostile inputs; `make fuzz` tries a hundred times as many. The fuzzer sees faults."""

import pytest

from fuzz.run import Run


def test_a_thousand_hostile_inputs_find_nothing(dsn):
    verdict = Run(dsn, seed=20301).go(1000)
    assert verdict.faults == []
    assert verdict.inputs == 1000
    # Half of it gets as far as an answer, and nearly every function answers something.
    assert verdict.outcomes["answered"] > 400
    assert len(verdict.functions) > 40


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ("RAISE EXCEPTION 'oh'", "it is not a typed error"),
        ("RAISE EXCEPTION 'oh' USING ERRCODE = 'RV901', DETAIL = 'd', HINT = 'h'", "not a typed"),
        ("RAISE EXCEPTION 'oh' USING ERRCODE = 'RV006'", "it has no detail or no hint"),
        ("PERFORM 1 / (p_number - p_number)", "it is not a typed error: 22012"),
        ("PERFORM pg_sleep(60)", "it hung"),
        ("PERFORM pg_terminate_backend(pg_backend_pid())", "it is not a typed error: 57P01"),
        ("DELETE FROM arvo.lineage", "has no lineage"),
        ("UPDATE arvo.origin SET system_identifier = 1", "the canary"),
    ],
)
def test_a_new_function_is_tried_and_what_it_does_is_seen(dsn, connection, monkeypatch, body, seen):
    monkeypatch.setattr("fuzz.run.PATIENCE", 0.5)
    monkeypatch.setattr("fuzz.run.ROUND", 10)
    connection.execute(
        f"CREATE FUNCTION arvo_v1.newcomer(p_number integer) RETURNS void LANGUAGE plpgsql"
        f" SECURITY DEFINER AS $$ BEGIN {body}; END $$"
    )
    run = Run(dsn, seed=5)
    run.functions = [known for known in run.functions if known.name == "newcomer"] * 20 + [
        known for known in run.functions if known.name in {"write_state", "claim", "work"}
    ]
    connection.execute("SELECT arvo_v1.write_state('s', '{}', 0)")
    monkeypatch.setattr(run.chance, "random", lambda: 0.5)  # none is favoured
    assert any(seen in fault for fault in run.go(20).faults)
