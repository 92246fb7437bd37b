"""dispatch: events from a file or standard input, few or many, right or wrong."""

from __future__ import annotations

import json

import pytest

from arvo_plpg.cli.reading import Values, event_of


def bare(number=0, **more):
    """An event as somebody types it: without id, time and so on."""
    return {
        "source": "com.example.shop",
        "type": "com.example.task.do",
        "subject": "order/1",
        "to": "com.example.task",
        "data": {"number": number},
    } | more


def test_one_event_from_standard_input(arvo, calls):
    calls.register_queue("com.example.task")
    told = arvo("dispatch", "--json", stdin=json.dumps(bare(), indent=2)).json
    assert told["events"] == 1
    assert told["outcomes"] == {"queued": 1}
    assert told["dry_run"] is False
    (one,) = told["dispatched"]
    assert set(one) == {"ordinal", "event_id", "delivery", "queue", "outcome"}
    (claimed,) = calls.claim(["com.example.task"])
    assert (claimed.delivery, claimed.event["data"]) == (one["delivery"], {"number": 0})
    assert claimed.event["id"] == one["event_id"]
    assert claimed.event["time"]


@pytest.mark.parametrize("form", ["lines", "array", "beside"])
def test_several_in_each_form(arvo, tmp_path, calls, form):
    events = [bare(n, id=f"e{n}") for n in range(3)]
    text = {
        "lines": "\n".join(map(json.dumps, events)) + "\n",
        "array": json.dumps(events, indent=1),
        "beside": "".join(map(json.dumps, events)),
    }[form]
    file = tmp_path / "events.json"
    file.write_text(text, encoding="utf-8")
    ran = arvo("dispatch", file)
    assert ran.code == 0
    assert [line.split()[-1] for line in ran.out.splitlines()] == ["EVENT", "e0", "e1", "e2"]
    assert arvo("dispatch", file, "--json").json["outcomes"] == {"duplicate": 3}


def test_many_are_counted(arvo, tmp_path, calls):
    calls.register_queue("com.example.task")
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(bare(n, id=f"e{n}")) + "\n" for n in range(2500)))
    told = arvo("dispatch", file, "--json").json
    assert told == {
        "dry_run": False, "events": 2500, "outcomes": {"queued": 2500}, "dispatched": []
    }  # fmt: skip
    assert arvo("dispatch", file).out == "2,500 events: 2,500 duplicate\n"
    assert calls.queue_stats("com.example.task")[0].queued_count == 2500


def test_options(arvo, calls):
    calls.register_queue("com.example.task")
    options = ["--start-after", "2 hours", "--priority", "7", "--options", '{"retry_limit": 0}']
    ran = arvo("dispatch", "-", *options, "--json", stdin=json.dumps(bare()))
    assert ran.json["outcomes"] == {"deferred": 1}
    domained = json.dumps(bare(domain="human.review"))
    assert arvo("dispatch", "--json", stdin=domained).json["outcomes"] == {"domained": 1}
    ran = arvo("dispatch", "--ignore-domain", "--json", stdin=domained)
    assert ran.json["outcomes"] == {"queued": 1}


def test_a_dry_run_only_reads(arvo, calls):
    ran = arvo("dispatch", "--dry-run", stdin=json.dumps([bare(), bare()]))
    assert (ran.code, ran.out) == (0, "2 valid events would be dispatched\n")
    assert calls.queue_stats() == []


def test_nothing(arvo):
    assert arvo("dispatch", "--json", stdin="").json["events"] == 0
    assert arvo("dispatch", "--json", stdin=" [ ] \n").json["events"] == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[{]", "no JSON"),
        ("[" + json.dumps(bare()) * 2 + "]", "comma"),
        ("[" + json.dumps(bare()), "does not end"),
        ("[] {}", "behind the array"),
        ("7", "int, not an object"),
        ("null", "null, not an object"),
        ("[" * 100_000, "no JSON"),
        (json.dumps({"source": "x"}), "subject"),
        (json.dumps(bare(type="Not a type")), "type"),
        (json.dumps(bare(data=[])), "data"),
        (json.dumps(bare(surprise={"a": 1})), "surprise"),
    ],
)
def test_what_cannot_be_read_is_named_and_nothing_is_stored(arvo, calls, text, words):
    ran = arvo("dispatch", stdin=text)
    assert (ran.code, ran.out) == (1, "")
    assert words in ran.err
    assert calls.queue_stats() == []


def test_a_fault_among_many_says_which_and_what_is_stored(arvo, calls):
    lines = [json.dumps(bare(n)) for n in range(2500)]
    lines[2100] = json.dumps(bare(type="no"))
    ran = arvo("dispatch", stdin="\n".join(lines))
    assert ran.code == 1
    assert "event 2101 is not valid" in ran.err
    stored = calls.queue_stats("com.example.task")[0].queued_count
    assert stored in {1000, 2000}
    assert f"{stored:,} events before it are stored" in ran.err


def test_a_file_that_is_not_there(arvo, tmp_path):
    ran = arvo("dispatch", tmp_path / "none\x1b[2J")
    assert ran.code == 1
    assert "cannot be read" in ran.err


class Drip:
    """A stream that gives one character at a time."""

    def __init__(self, text):
        self.text = iter(text)

    def read(self, size):
        return next(self.text, "")


def test_reading_does_not_depend_on_where_the_pieces_end():
    for text, found in (
        ('[1, {"a": "]"}, "ä"] ', [1, {"a": "]"}, "ä"]),
        ('{"a": 1}\n{"b": 22}', [{"a": 1}, {"b": 22}]),
        ("12 345", [12, 345]),
    ):
        assert list(Values(Drip(text))) == found


def test_what_an_event_says_itself_stands():
    whole = event_of(bare(id="mine", time="2030-01-02T03:04:05Z"))
    assert (whole.id, whole.time) == ("mine", "2030-01-02T03:04:05Z")
    assert event_of({k: v for k, v in bare().items() if k != "to"}).to == "com.example.task.do"
