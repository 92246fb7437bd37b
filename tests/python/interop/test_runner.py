"""The runner of the conformance suite catches clients that misbehave."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.client import Client, Misbehaved, Refused
from conformance.match import fault, filled
from conformance.play import Failed, completed, play
from conformance.scenario import Scenario, scenarios

WRONG = Path(__file__).with_name("wrong.py")
BY_NAME = {scenario.name: scenario for scenario in scenarios()}


@pytest.fixture
def wrong(request):
    """A client with the fault that the test is about."""
    command = [sys.executable, str(WRONG), request.param]
    with Client(command, patience=10) as client:
        yield client


@pytest.mark.parametrize(
    ("wrong", "name", "told"),
    [
        ("forget", "2-settle/emitted", "answer has 0 items, not 2"),
        ("forget", "2-settle/already", "outcome is 'completed', not 'already'"),
        ("outside", "5-transactions/commit", "answer has 1 items, not 0"),
        ("outside", "5-transactions/rollback", "answer has 1 items, not 0"),
        ("insist", "1-dispatch/bad-events", "where an error was expected"),
        ("loose", "1-dispatch/whole-event", "data"),
        ("share", "4-memory/adapter-locks", "answer has 1 items, not 0"),
        ("overwrite", "4-memory/adapter-conflict", "where an error was expected"),
        ("sorted_text", "1-dispatch/canonical-json", "answer is"),
        ("drop_events", "6-worker/completes-and-emits", "without"),
        ("charge", "6-worker/stop-releases", "answer"),
        ("heartless", "6-worker/heartbeat", "answer"),
        ("deaf", "6-worker/woken", "without"),
    ],
    indirect=["wrong"],
)
def test_a_wrong_client_is_caught(wrong, name, told, place):
    with pytest.raises(Failed, match=told):
        play(wrong, BY_NAME[name], place, patience=4)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("lie", "not the answer to 1"),
        ("babble", "not JSON"),
        ("shrug", "neither ok nor error"),
        ("leave", "it ended at connect: I have had enough"),
    ],
    indirect=["wrong"],
)
def test_a_client_that_breaks_the_protocol_is_caught(wrong, told, place):
    with pytest.raises(Misbehaved, match=told):
        play(wrong, BY_NAME["1-dispatch/handshake"], place)


def test_a_client_that_does_not_answer_is_caught(place):
    with (
        Client([sys.executable, str(WRONG), "hang"], patience=2) as client,
        pytest.raises(Misbehaved, match="no answer to connect within 2 s"),
    ):
        play(client, BY_NAME["1-dispatch/handshake"], place)


def test_the_command_line_says_what_failed(server, template):
    command = [sys.executable, "-m", "conformance", "--dsn", server.dsn, "--only", "canonical"]
    command += ["--", sys.executable, str(WRONG), "sorted_text"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout.startswith("not ok  1-dispatch/canonical-json")
    assert ran.stdout.endswith("0 passed, 1 failed\n")


def test_a_client_may_say_who_refused_it(python_client, place):
    with Client(python_client) as client:
        client.ask("connect", dsn=place.clients_dsn)
        with pytest.raises(Refused, match="no method"):
            client.ask("call", function="nothing", arguments={})
        with pytest.raises(Refused) as refused:
            client.ask("note", session="a", text=None)
        assert refused.value.error["code"] == "23502"


@pytest.mark.parametrize(
    ("expected", "answer", "told"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, None),
        ({"a": 1}, {"b": 1}, "answer.a is missing"),
        ({"a": [1, 2]}, {"a": [1]}, "answer.a has 1 items, not 2"),
        ([{"a": 1}], [{"a": 2}], r"answer\[0\].a is 2, not 1"),
        ("*", None, "answer is null"),
        ("*", 0, None),
        (None, None, None),
        (None, 0, "answer is 0, not None"),
        (1, True, "answer is True, not 1"),
        (True, 1, "answer is 1, not True"),
        (12, "12", None),
        (12, "13", "answer is '13', not 12"),
        ("12", 12, None),
        ({"unordered": [1, 2]}, [2, 1], None),
        ({"unordered": [1, 1]}, [1, 2], "without 1"),
        ({"unordered": [1]}, [1, 2], "has 2 items, not 1"),
        ({"containing": [{"a": 1}]}, [{"a": 2}, {"a": 1, "b": 1}], None),
        ({"containing": [{"a": 1}]}, [{"a": 2}], "without"),
        ({"keys": ["a", "b"]}, {"a": 1, "b": 2}, None),
        ({"keys": ["a", "b"]}, {"b": 1, "a": 2}, "in this order"),
        ({"a": 1}, [1], "not an object"),
        ([1], {"a": 1}, "not an array"),
    ],
)
def test_expectations(expected, answer, told):
    found = fault(expected, answer, {})
    if told is None:
        assert found is None
    else:
        import re

        assert found is not None
        assert re.search(told, found)


def test_a_name_is_bound_once_and_given_back():
    names = {}
    assert fault([{"lease": "$lease"}, "$lease"], [{"lease": "7"}, 7], names) is None
    assert fault("$lease", 8, names) == "answer is 8, not '7'"
    assert filled({"leases": ["$lease"], "for": 1}, names) == {"leases": ["7"], "for": 1}
    with pytest.raises(KeyError):
        filled("$unknown", names)


def test_events_are_made_whole_in_arvos_order():
    made = completed({"event": {"id": "x", "tenant": "t", "without": ["domain"]}})["event"]
    keys = "id source specversion type subject datacontenttype dataschema data time tenant to"
    assert " ".join(made).startswith(keys)
    assert "domain" not in made
    assert "without" not in made
    assert completed({"results": [{"events": [{"id": "a"}]}]})["results"][0]["events"][0]["to"]


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"shout": "hello"}, "not enough values"),
        ({"advance": 1}, "no clock of its own"),
        ({"notes": [], "within": 1}, "notes has no"),
        ({"call": "about", "with": {"x": "$unknown"}}, "KeyError"),
        ({"terminate": "all"}, "there was no connection"),
    ],
)
def test_a_scenario_that_makes_no_sense_fails(step, told, python_client, place):
    with Client(python_client) as client, pytest.raises(Failed, match=told):
        play(client, Scenario("topic/name", "why", (step,)), place)


def test_scenario_files_are_checked(tmp_path):
    one = {"name": "a", "why": "b", "steps": [{"let_go": True}]}
    (tmp_path / "t.json").write_text(json.dumps([one, one]))
    with pytest.raises(ValueError, match="named twice"):
        scenarios(tmp_path)
    (tmp_path / "t.json").write_text(json.dumps([one | {"clocks": "x"}]))
    with pytest.raises(ValueError, match="clocks"):
        scenarios(tmp_path)
