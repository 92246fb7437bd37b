"""Mutants: their texts are still in the functions, and the tests notice what is wrong with them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jury
import mutant
import mutants
import pytest

ROOT = Path(__file__).resolve().parents[3]
ENTRY = """
[[mutant]]
name = "{name}"
function = "arvo.retry_delay"
kind = "comparison"
why = "for this test"
old = '{old}'
new = '{new}'
{more}
"""


@pytest.fixture
def folder(tmp_path):
    def write(name="m", old="WHEN NOT p_backoff", new="WHEN p_backoff", more=""):
        with (tmp_path / "m.toml").open("a") as file:
            file.write(ENTRY.format(name=name, old=old, new=new, more=more))
        return tmp_path

    return write


def run(server, *words):
    return subprocess.run(
        [sys.executable, "tools/mutants.py", "--quick", "--unrecorded", *words],
        cwd=ROOT,
        env=os.environ | {"ARVO_TEST_DSN": server.dsn},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def test_every_mutant_finds_its_text_and_its_tests():
    assert mutant.rotten(mutant.load()) == []


def test_there_are_enough_and_all_traps_are_among_them():
    every = mutant.load()
    assert len([one for one in every if not one.equivalent]) >= 60
    assert {one.kind for one in every} == mutant.KINDS
    assert {one.trap for one in every} - {0} == set(mutant.TRAPS)


def test_a_text_that_is_gone_or_there_twice_is_an_error(folder):
    with pytest.raises(mutant.MutantError, match="0 times, not once"):
        mutant.load(folder(old="no such text"))[0].statement()
    with pytest.raises(mutant.MutantError, match=r"[2-9]\d* times, not once"):
        mutant.load(folder(name="n", old="p_"))[1].statement()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("colour = 'red'", "unknown"),
        ("equivalent = 'so'\nsurvives = 'so'", "not both"),
    ],
)
def test_an_entry_that_is_not_right_is_an_error(folder, more, words):
    with pytest.raises(mutant.MutantError, match=words):
        mutant.load(folder(more=more))


def test_two_of_one_name_are_an_error(folder):
    folder()
    with pytest.raises(mutant.MutantError, match="one name"):
        mutant.load(folder())


def test_rot_is_told_before_a_server_is_started(folder):
    done = subprocess.run(
        [sys.executable, "tools/mutants.py", "--folder", str(folder(old="no such text"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "m: its text is there 0 times" in done.stderr


def test_a_handful_is_killed(server):
    names = ["backoff-without-cap", "lane-not-locked", "two-runs-of-a-key", "write-of-any-version"]
    before = mutants.RECORD.read_bytes()
    done = run(server, *names)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("mutants: 4 of 4 killed (100.0%), 0 equivalent\n")
    assert mutants.RECORD.read_bytes() == before


def test_what_nothing_notices_is_told(server, folder):
    harmless = {"old": "p_attempt, 1", "new": "p_attempt, 0 + 1"}
    folder(name="survivor", **harmless)
    folder(name="equal", **harmless, more="equivalent = 'It says the same.'")
    folder(name="wrongly", more="equivalent = 'It does not.'")
    done = run(server, "--folder", str(folder(name="killed")))
    assert done.returncode == 1
    assert "survived - survivor" in done.stdout
    assert "equivalent - equal" in done.stdout
    assert "killed - wrongly" in done.stdout
    assert done.stdout.endswith(
        "mutants: 2 of 3 killed (66.7%), 1 equivalent; not equivalent after all: wrongly\n"
    )


def test_a_run_that_is_cut_short_keeps_what_it_has_found(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "RECORD", tmp_path / "mutants.json")
    first, second, third = every = mutant.load()[:3]
    mutants.record([mutants.Outcome(first, "killed", "a test")], every, "18.6")
    mutants.record([mutants.Outcome(second, "survived")], every, "18.6")
    found = json.loads(mutants.RECORD.read_text())
    assert {name: told["verdict"] for name, told in found["verdicts"].items()} == {
        first.name: "killed",
        second.name: "survived",
    }
    assert (found["mutants"], found["killed"], found["not_judged"]) == (2, 1, 1)
    assert third.name not in found["verdicts"]


def test_the_suite_has_every_test_of_the_engine_once():
    heard = [test for portion in jury.suite() for test in portion]
    assert len(heard) == len(set(heard))
    files = {test.partition("::")[0] for test in heard}
    engine = {f"{jury.ENGINE}/{path.name}" for path in (ROOT / jury.ENGINE).glob("test_*.py")}
    assert engine - files == {f"{jury.ENGINE}/{name}" for name in jury.LEFT_OUT}
    assert mutants.WANTED >= 0.95
