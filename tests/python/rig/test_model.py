"""The model of the engine: ours passes, what is broken is found, and a blind check fails."""

import subprocess
import sys
from pathlib import Path

import check_model
import debian
import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def programs():
    try:
        return check_model.find_programs()
    except debian.UnobtainableError as reason:
        pytest.skip(f"spin or a C compiler cannot be had: {reason}")


@pytest.mark.timeout(300)
def test_ours_passes_and_what_is_broken_is_found(programs):
    done = subprocess.run(
        [sys.executable, "tools/check_model.py", "--small"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=290,
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split(" - ")[0] for line in lines[:-1]] == ["ok"] * (1 + len(check_model.BROKEN))
    assert lines[-1] == "model: passed, 0 of the verdicts are wrong"


@pytest.mark.timeout(200)
def test_a_check_that_finds_nothing_in_what_is_broken_fails(programs, monkeypatch, capsys):
    monkeypatch.setattr(check_model, "BROKEN", {"NOT_A_SWITCH": "nothing"})
    tiny = check_model.World("tiny", ("CLAIMERS=1", "BEATS=0", "ABORTS=0"))
    monkeypatch.setattr(check_model, "SMALL", tiny)
    monkeypatch.setattr(sys, "argv", ["check_model.py", "--small"])
    assert check_model.main() == 1
    said = capsys.readouterr().out
    assert "not ok - broken: nothing: passes unseen" in said
    assert "model: FAILED, 1 of the verdicts are wrong" in said
