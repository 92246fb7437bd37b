"""queues, stats, explain and trace: what there is to see."""

from __future__ import annotations

from dataclasses import fields

import pytest

from arvo_plpg.rows import Explanation, QueueStats, Step


def names(row):
    return {field.name for field in fields(row)}


def test_queues(arvo, calls, event, settle, bury):
    assert arvo("queues").out == "There are no queues yet.\n"
    bury(2, "com.example.mail")
    calls.register_queue("com.example.task")
    calls.dispatch_many([event(number=n) for n in range(1234)])
    calls.pause_queue("com.example.task")
    head, mail, task = arvo("queues").out.splitlines()
    assert head.split() == [
        "QUEUE",
        "QUEUED",
        "OLDEST",
        "RUNNING",
        "WAITING",
        "DEFERRED",
        "DEAD",
        "DONE/MIN",
        "STATE",
    ]
    assert mail.split() == ["com.example.mail", "0", "-", "0", "0", "0", "2", "0", "open"]
    assert task.split()[:2] + task.split()[-1:] == ["com.example.task", "1,234", "paused"]
    found = arvo("queues", "--json").json["queues"]
    assert [set(one) for one in found] == [names(QueueStats)] * 2
    one = arvo("queues", "com.example.task", "--json").json["queues"][0]
    assert (one["queued_count"], one["expire_in"], one["draining"]) == (1234, 900.0, False)
    ran = arvo("queues", "nobody", "--json")
    assert (ran.code, ran.out) == (1, '{\n  "queues": []\n}\n')


def test_stats(arvo, calls, event, settle):
    calls.register_queue("com.example.task", retry_limit=4)
    calls.dispatch(event())
    settle(run_time=20_000)
    head, row = arvo("stats").out.splitlines()
    assert head.startswith("QUEUE")
    assert "20 ms" in row
    card = arvo("stats", "com.example.task").out
    assert "retries       4, at once" in card
    assert "stored        1" in card
    assert set(arvo("stats", "--json").json["queues"][0]) == names(QueueStats)
    ran = arvo("stats", "nobody")
    assert (ran.code, ran.out) == (1, "There is no queue nobody.\n")


def test_explain(arvo, calls, event):
    delivery = calls.dispatch(event()).delivery
    ran = arvo("explain", delivery)
    assert ran.code == 0
    assert f"delivery {delivery}" in ran.out
    assert "unroutable" in ran.out
    assert "    → " in ran.out
    (reason, *_) = arvo("explain", delivery, "--json").json["reasons"]
    assert set(reason) == names(Explanation)
    assert reason["reason"] == "unroutable"
    assert arvo("explain", 999_999).code == 1
    assert arvo("explain", "x").code == 2


@pytest.fixture
def story(calls, event, settle):
    """An order that asks two services, of which one fails once."""
    for queue in ("com.example.order", "com.example.pay", "com.example.ship"):
        calls.register_queue(queue, retry_limit=1)
    order = event("com.example.order", type="com.example.order")
    calls.dispatch(order)
    asked = [
        event(f"com.example.{name}", type=f"com.example.{name}.do", parentid=order.id).to_dict()
        for name in ("pay", "ship")
    ]
    settle("com.example.order", events=asked, run_time=4000)
    settle("com.example.pay", "failed", error={"name": "Busy", "message": "not now"})
    settle("com.example.ship", run_time=1500)
    return order


def test_trace_as_a_tree(arvo, story):
    lines = arvo("trace", story.subject).out.splitlines()
    assert [line[:22].rstrip() for line in lines[:5]] == [
        "com.example.order",
        "├─ com.example.pay.do",
        "│     Busy: not now",
        "│  com.example.pay.do",
        "└─ com.example.ship.do",
    ]
    assert "✓ completed" in lines[0]
    assert "ran 4.0 ms" in lines[0]
    assert "↻ retried" in lines[1]
    assert "#2" in lines[3]
    assert lines[-1].startswith("1 workflow  3 events  4 deliveries")
    assert lines[-1].endswith("1 open")


def test_trace_by_event_as_json(arvo, story):
    steps = arvo("trace", story.id, "--json").json["steps"]
    assert [set(step) for step in steps] == [names(Step)] * 4
    assert [step["outcome"] for step in steps] == ["completed", "retried", "completed", "queued"]
    ran = arvo("trace", "nothing")
    assert (ran.code, ran.out) == (1, "Nothing is known of nothing.\n")


def test_a_story_that_bites_its_own_tail_is_drawn_once(arvo, calls, event):
    calls.dispatch_many([event(id="a", parentid="b"), event(id="b", parentid="a")])
    assert len(arvo("trace", "order/1").out.splitlines()) == 3


def test_a_very_long_chain_is_drawn(arvo, calls, event):
    calls.dispatch_many(
        [event(id=f"e{n}", parentid=f"e{n - 1}" if n else None) for n in range(1500)]
    )
    assert len(arvo("trace", "order/1").out.splitlines()) == 1501


def test_follow_tells_what_changes(dsn, start, calls, story, settle, until_line):
    program = start("trace", story.subject, "--follow", "--json", "--every", "50ms")
    seen = [until_line(program) for _ in range(4)]
    assert [line["outcome"] for line in seen] == ["completed", "retried", "completed", "queued"]
    settle("com.example.pay")
    line = until_line(program)
    assert (line["outcome"], line["delivery"]) == ("completed", seen[3]["delivery"])
    program.send_signal(2)
    assert program.wait(20) == 0
