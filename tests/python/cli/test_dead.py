"""dead: list, show, redrive, discard."""

from __future__ import annotations

from dataclasses import fields

import pytest

from arvo_plpg.cli import dead as module
from arvo_plpg.rows import Attempt, DeadLetter, Discarded, Redriven


def names(row):
    return {field.name for field in fields(row)}


def test_list(arvo, bury):
    assert arvo("dead", "list").out == "There are no dead letters that fit.\n"
    bury(3)
    lines = arvo("dead", "list").out.splitlines()
    assert len(lines) == 4
    assert lines[1].endswith("Broken: it broke")
    told = arvo("dead", "list", "--json").json
    assert told["whole"] is True
    assert [set(one) for one in told["dead_letters"]] == [names(DeadLetter)] * 3


def test_list_page_by_page_and_by_filter(arvo, bury):
    bury(3)
    bury(2, "com.example.mail", subject="order/2")
    ran = arvo("dead", "list", "--limit", 2)
    assert "go on with --after 2" in ran.err
    page = arvo("dead", "list", "--limit", 2, "--after", 2, "--json").json
    assert [one["dead"] for one in page["dead_letters"]] == [3, 4]
    for words, count in (
        (["--queue", "com.example.mail"], 2),
        (["--subject", "order/2"], 2),
        (["--path", "$.data ? (@.number == 1)"], 2),
        (["--text", "BROKE"], 5),
        (["--reason", "failed", "--since", "1h", "--type", "com.example.task.do"], 5),
        (["--before", "1h"], 0),
        ([1, 2], 2),
    ):
        found = arvo("dead", "list", *words, "--json").json["dead_letters"]
        assert len(found) == count, words
    assert arvo("dead", "list", "--limit", 10_001).code == 2
    assert arvo("dead", "list", "--since", "soon").code == 2


def test_show(arvo, bury):
    bury(1)
    ran = arvo("dead", "show", 1)
    assert "attempt 1" in ran.out
    assert '"number"' not in ran.out
    assert '"number": 0' in arvo("dead", "show", 1, "--payload").out
    told = arvo("dead", "show", 1, "--json").json
    assert set(told) == {"dead_letter", "attempts"}
    assert set(told["dead_letter"]) == names(DeadLetter)
    assert set(told["attempts"][0]) == names(Attempt)
    assert arvo("dead", "show", 9).code == 1


def test_redrive(arvo, bury, calls, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 2)
    bury(5)
    told = arvo("dead", "redrive", "--queue", "com.example.task", "--dry-run", "--json").json
    assert (told["dry_run"], len(told["dead_letters"])) == (True, 5)
    assert calls.queue_stats("com.example.task")[0].queued_count == 0
    told = arvo("dead", "redrive", "--queue", "com.example.task", "--limit", 3, "--json").json
    assert (told["dry_run"], told["whole"]) == (False, False)
    assert [set(one) for one in told["dead_letters"]] == [names(Redriven)] * 3
    assert calls.queue_stats("com.example.task")[0].queued_count == 3
    assert len(calls.dead_letters()) == 2


def test_redrive_edited_spread_and_elsewhere(arvo, bury, calls):
    bury(3)
    calls.register_queue("com.example.slow")
    more = ["--edit", '{"data": {"number": 9}}', "--to", "com.example.slow", "--rate", "0.01"]
    told = arvo("dead", "redrive", 1, 2, 3, *more, "--json").json["dead_letters"]
    assert sorted(one["due_at"] is None for one in told) == [False, False, True]
    (one,) = calls.claim(["com.example.slow"])
    assert one.event["data"] == {"number": 9}


def test_what_is_refused_is_told_and_is_exit_code_1(arvo, calls, event, settle):
    calls.register_queue("com.example.task", retry_limit=0, max_redrives=0)
    calls.dispatch(event())
    settle(outcome="failed")
    ran = arvo("dead", "redrive", 1)
    assert ran.code == 1
    assert "refused" in ran.out
    assert "RV102" in ran.out
    assert arvo("dead", "redrive", 1, "--force").code == 0


def test_discard_asks(arvo, bury, calls):
    bury(3)
    told = arvo("dead", "discard", "--queue", "com.example.task", "--dry-run", "--json").json
    assert [set(one) for one in told["dead_letters"]] == [names(Discarded)] * 3
    ran = arvo("dead", "discard", 1)
    assert ran.code == 1
    assert "Discard 1 dead letter?" in ran.err
    assert "say --yes" in ran.err
    assert len(calls.dead_letters()) == 3
    assert arvo("dead", "discard", 1, 2, "--yes").code == 0
    assert [one.dead for one in calls.dead_letters()] == [3]


@pytest.mark.parametrize("verb", ["redrive", "discard"])
def test_not_everything_by_mistake(arvo, verb, bury):
    bury(1)
    ran = arvo("dead", verb, "--yes" if verb == "discard" else "--force")
    assert ran.code == 2
    assert "numbers or a filter" in ran.err
