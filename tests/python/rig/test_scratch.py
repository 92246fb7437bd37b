"""What tests throw away is kept in memory only where it has room."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import scratch

TOOL = Path(scratch.__file__)


@pytest.fixture
def nowhere(monkeypatch):
    """Nobody has said where temporary files belong."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.fixture
def memory(monkeypatch, tmp_path):
    """A place that counts as memory with room enough."""
    monkeypatch.setattr(scratch, "MEMORY", tmp_path)
    monkeypatch.setattr(scratch, "ROOM", 1)
    return tmp_path


def test_temporary_files_are_there_meanwhile_and_gone_afterwards(nowhere, memory):
    usual = tempfile.gettempdir()
    with scratch.temporary_files():
        place = Path(tempfile.gettempdir())
        assert place.parent == memory
        assert place.stat().st_mode & 0o7777 == 0o1777
        assert os.environ["TMPDIR"] == str(place)
        (place / "left").write_text("behind")
    assert list(memory.iterdir()) == []
    assert "TMPDIR" not in os.environ
    assert tempfile.gettempdir() == usual


@pytest.mark.parametrize(
    ("name", "value"), [("ROOM", 2**60), ("MEMORY", Path("/proc/self/fd")), ("MEMORY", Path("/no"))]
)
def test_without_room_they_are_where_they_always_are(nowhere, memory, monkeypatch, name, value):
    usual = tempfile.gettempdir()
    monkeypatch.setattr(scratch, name, value)
    with scratch.temporary_files():
        assert tempfile.gettempdir() == usual
        assert "TMPDIR" not in os.environ


def test_where_somebody_has_said_they_stay_there(memory, monkeypatch, tmp_path_factory):
    mine = str(tmp_path_factory.mktemp("mine"))
    monkeypatch.setenv("TMPDIR", mine)
    monkeypatch.setattr(tempfile, "tempdir", None)
    with scratch.temporary_files():
        assert tempfile.gettempdir() == mine
    assert os.environ["TMPDIR"] == mine
    assert list(memory.iterdir()) == []


def test_as_a_program_it_names_a_directory_or_fails():
    told = subprocess.run([sys.executable, TOOL], capture_output=True, text=True, check=False)
    if told.returncode:
        assert (told.returncode, told.stdout, told.stderr) == (1, "", "")
        assert not scratch.roomy(scratch.MEMORY)
    else:
        place = Path(told.stdout.rstrip("\n"))
        assert place.parent == scratch.MEMORY
        place.rmdir()
