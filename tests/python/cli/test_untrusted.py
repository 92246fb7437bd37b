"""What comes from a database, or was typed, cannot steer a terminal or give a password away."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from arvo_plpg.cli import main, parser
from arvo_plpg.cli.plain import without_passwords
from arvo_plpg.cli.tree import draw
from arvo_plpg.plain import plain, plain_lines
from arvo_plpg.runtime.log_fields import log_fields

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\nforged line\u202e\u2028\x00\x7f\ud800"


def shown(text):
    return {sign for sign in text if not sign.isprintable()}


def test_nothing_unprintable_is_left():
    assert shown(plain(EVIL)) == set()
    assert plain("Ä → 漢字 ✓") == "Ä → 漢字 ✓"
    assert plain("a\tb\\") == "a\\tb\\"
    assert shown(plain_lines("a\x1b\nb")) == {"\n"}


def test_a_log_escapes_and_cuts_as_the_command_line_does():
    """What is printable stays as it is; a field is short whatever stands in it."""
    delivery = SimpleNamespace(event_id=f"Ä{EVIL}", subject="s" * 9999, queue="q" * 512, attempt=1)
    fields = log_fields(delivery)
    assert fields["event_id"] == plain(f"Ä{EVIL}")
    assert fields["event_id"].startswith("Ä\\x1b")
    assert fields["subject"] == "s" * 511 + "…"
    assert fields["queue"] == "q" * 512


@pytest.mark.parametrize(
    "text",
    [
        "unrecognized arguments: postgresql://user:s3cret@host/db",
        "host=h password=s3cret user=u",
        "host=h password = 's3cret with space' user=u",
        "postgresql://host/db?password=s3cret&user=x",
        "postgresql+psycopg://u:p%40s3cret@h",
    ],
)
def test_passwords_are_taken_out(text):
    assert "s3cret" not in without_passwords(text)


@pytest.mark.parametrize(
    "words",
    [
        ["queues", "postgresql://u:s3cret@h/db", "more"],
        ["queues", "--dns", "postgresql://u:s3cret@h/db"],
        ["queues", "--dsn", "postgresql://u:s3cret@127.0.0.1:1/db"],
        ["queues", "--json", "--dsn", "postgresql://u:s3cret@127.0.0.1:1/db"],
        ["top", "--json", "--dsn", "host=/nowhere password=s3cret"],
        ["queues", "--dsn", "postgresql://u:s3cret@h:port/db"],
        ["worker", "json:loads", "--dsn", "hostess password=s3cret"],
    ],
)
def test_no_message_shows_a_password(words, capsys, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    try:
        code = main(words)
    except SystemExit as left:
        code = left.code
    out, err = capsys.readouterr()
    assert code in {1, 2}
    assert err
    assert "s3cret" not in out + err


def test_help_does_not_show_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:s3cret@h/db")
    for words in (["--help"], ["queues", "--help"], ["dead", "redrive", "--help"]):
        with pytest.raises(SystemExit):
            main(words)
    assert "s3cret" not in capsys.readouterr().out


def evil(**more):
    text = EVIL.replace("\x00", "").replace("\ud800", "")
    return {
        "id": f"id{text}",
        "source": "com.example.shop",
        "type": "com.example.task.do",
        "subject": "order/1",
        "to": "com.example.evil",
        "time": "2030-01-01T00:00:00Z",
        "specversion": "1.0",
        "data": {text: text},
        "parentid": f"parent{text}",
    } | more


@pytest.fixture
def poisoned(arvo, calls, settle):
    """Names, payloads, errors and workers full of control characters."""
    text = EVIL.replace("\x00", "").replace("\ud800", "")
    calls.register_queue("com.example.evil", retry_limit=0)
    calls.dispatch_many([])
    assert arvo("dispatch", stdin=json.dumps([evil(), evil(id="two")])).code == 0
    (one, _) = calls.claim(["com.example.evil"], 2, f"worker{text}")
    error = {"name": f"Name{text}", "message": text, "stack": text}
    calls.settle(
        [{"lease": one.lease, "delivery": one.delivery, "outcome": "failed", "error": error}]
    )
    calls.check_in(f"worker{text}", ["com.example.evil"])
    return one


def test_no_command_passes_on_what_a_database_holds(arvo, poisoned):
    delivery = poisoned.delivery  # `arvo` itself asserts that all that is printed is printable
    for words in (
        ["queues"],
        ["stats"],
        ["stats", "com.example.evil"],
        ["trace", "order/1"],
        ["explain", delivery],
        ["dead", "list"],
        ["dead", "show", 1],
        ["dead", "show", 1, "--payload"],
        ["dead", "redrive", 1, "--dry-run"],
        ["cancel", "--queue", "com.example.evil", "--dry-run", "--include-running"],
        ["export", "history"],
        ["export", "dead"],
        ["doctor", "--all"],
        ["pause", EVIL.replace("\x00", "")],
        ["queues", EVIL.replace("\x00", "").replace("\ud800", "")],
        ["explain", EVIL],
        ["dispatch", EVIL.replace("\x00", "").replace("\ud800", "")],
    ):
        for form in ([], ["--json"]):
            if words[0] == "export" and form:
                continue
            arvo(*words, *form)


def test_a_forged_line_is_no_line(arvo, poisoned):
    for words in (["dead", "list"], ["trace", "order/1"], ["dead", "show", 1]):
        lines = arvo(*words).out.splitlines()
        assert not [line for line in lines if line.lstrip("│ ").startswith("forged line")]


def test_json_is_ascii(arvo, poisoned):
    told = arvo("dead", "list", "--json")
    assert told.out.isascii()
    assert told.json["dead_letters"][0]["event"]["data"] == poisoned.event["data"]


def test_a_story_is_drawn_from_any_texts(calls, poisoned):
    for line in draw(calls.trace("order/1"), 60):
        assert not shown("".join(word.text for word in line))


def test_a_terminal_that_knows_no_unicode_is_served(dsn, calls, event):
    calls.dispatch(event())
    ran = subprocess.run(
        [sys.executable, "-m", "arvo_plpg", "trace", "order/1", "--dsn", dsn],
        env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_every_command_has_json_and_an_example(capsys):
    def leaves(made, words=()):
        groups = [action for action in made._actions if hasattr(action, "_name_parser_map")]
        if not groups:
            yield words, made
        for group in groups:
            for name, child in group.choices.items():
                yield from leaves(child, (*words, name))

    found = dict(leaves(parser()))
    assert len(found) > 30
    for words, made in found.items():
        text = made.format_help()
        assert "--json" in text, words
        assert "\nexample" in text, words
        assert f"arvo-plpg {' '.join(words)}" in text.split("\nexample")[1], words
