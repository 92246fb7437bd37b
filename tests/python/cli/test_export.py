"""export: history and dead letters as JSON lines, to standard output or into a file."""

from __future__ import annotations

import stat
from dataclasses import fields
from datetime import timedelta

import pytest

from arvo_plpg.cli import export as module
from arvo_plpg.rows import DeadLetter, HistoryEntry


def names(row):
    return {field.name for field in fields(row)}


@pytest.fixture
def past(calls, event, settle, monkeypatch):
    """Seven deliveries, of which some are done; three lines a page."""
    monkeypatch.setattr(module, "PAGE", 3)
    calls.register_queue("com.example.task", retry_limit=0)
    calls.dispatch_many([event(number=n, id=f"e{n}") for n in range(7)])
    settle(limit=3)
    settle(outcome="failed", limit=1)


def test_history(arvo, past):
    ran = arvo("export", "history")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.lines
    assert [line["event"]["id"] for line in lines] == [f"e{n}" for n in range(7)]
    assert [line["outcome"] for line in lines] == ["completed"] * 3 + ["dead"] + ["queued"] * 3
    assert set(lines[0]) == names(HistoryEntry)


def test_history_by_filter(arvo, past, calls, event):
    calls.dispatch(event("com.example.mail", id="mail"), start_after=timedelta(hours=1))
    for words, count in (
        (["--limit", 4], 4),
        (["--limit", 3], 3),
        (["--since", "1h"], 7),
        (["--before", "1h"], 0),
        (["--queue", "com.example.task"], 7),
        (["--queue", "com.example.mail"], 0),
    ):
        assert len(arvo("export", "history", *words).lines) == count, words


def test_dead(arvo, past, bury):
    bury(4, "com.example.mail")
    lines = arvo("export", "dead").lines
    assert [line["dead"] for line in lines] == [1, 2, 3, 4, 5]
    assert set(lines[0]) == names(DeadLetter)
    assert len(arvo("export", "dead", "--queue", "com.example.mail").lines) == 4


def test_into_a_file(arvo, past, tmp_path):
    file = tmp_path / "history.jsonl"
    assert arvo("export", "history", "-o", file).out == f"7 lines written to {file}\n"
    assert file.read_text() == arvo("export", "history").out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["history.jsonl"]
    told = arvo("export", "history", "-o", tmp_path / "b", "--limit", 2, "--json").json
    assert told == {"file": str(tmp_path / "b"), "lines": 2}


def test_nothing_is_replaced_without_force(arvo, past, tmp_path):
    file = tmp_path / "mine"
    file.write_text("mine")
    ran = arvo("export", "history", "-o", file)
    assert (ran.code, "--force" in ran.err, file.read_text()) == (1, True, "mine")
    assert arvo("export", "history", "-o", file, "--force").code == 0
    assert file.read_text().count("\n") == 7
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_links_are_not_followed(arvo, past, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("keep")
    for name, target in (("link", secret), ("nowhere", tmp_path / "none")):
        (tmp_path / name).symlink_to(target)
        assert arvo("export", "history", "-o", tmp_path / name).code == 1
        assert arvo("export", "history", "-o", tmp_path / name, "--force").code == 0
        assert not (tmp_path / name).is_symlink()
    assert secret.read_text() == "keep"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", ["", ".", "none/file", "x\0y", "a" * 300])
def test_places_where_nothing_can_be_written(arvo, past, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    ran = arvo("export", "history", "--force", "-o", name)
    assert (ran.code, ran.out) == (1, "")
    assert "cannot be written" in ran.err
    assert [file.name for file in tmp_path.iterdir()] == []


def test_what_breaks_off_leaves_no_file(arvo, past, tmp_path):
    ran = arvo("export", "history", "--queue", "nobody", "-o", tmp_path / "x")
    assert ran.code == 1
    assert [file.name for file in tmp_path.iterdir()] == []


def test_whoever_reads_may_have_enough(start, past):
    program = start("export", "history")
    program.stdout.close()
    assert program.wait(30) == 0
    assert program.stderr.read() == ""
