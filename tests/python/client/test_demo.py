"""The demonstration that the README promises, as its reader runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BARE = (
    "import sys; sys.modules |= dict.fromkeys(('rich', 'jinja2', 'uvicorn', 'prometheus_client'));"
    " from arvo_plpg.cli import main; sys.exit(main())"
)
"""The command line where only the extra ``embedded`` is installed."""


def demonstrate(*arguments, **environment):
    process = subprocess.Popen(
        [sys.executable, "-c", BARE, "demo", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={k: v for k, v in os.environ.items() if k != "DATABASE_URL"} | environment,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=100)
    finally:
        process.kill()
    return process, out, err


def of_session(number):
    """Living processes of a session; zombies that nobody has fetched yet are not living."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(session) == number and state != "Z":
            found.append(stat.parent.name)
    return found


def with_text(needle):
    """Living processes whose command line or environment holds a text."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            facts = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if needle.encode() in facts:
            found.append(process.name)
    return found


def told_everything(out):
    for line in (
        "average = 20",
        "weighted average = 7.5",
        "An event that nobody handles: unroutable. It is not lost, it waits:",
    ):
        assert line in out
    # the trees of `arvo-plpg trace`: joints, further attempts, errors below what failed
    assert re.search(r"^  (   )*└─ arvo\.orc\.weighted\.average\.done  ", out, re.MULTILINE)
    assert re.search(r"^  │  ExecutionViolation: .* out of order at call 2$", out, re.MULTILINE)
    assert re.search(r"demo\.flaky\.service +#3 +✓ completed", out)
    assert re.search(r"dead letter 1: failed after 2 attempts: .*out of order", out)
    assert re.search(r"Done in \d+\.\d s\.\n$", out)
    assert "active" not in out


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_the_demonstration_leaves_nothing_behind(tmp_path, eventually):
    place = tmp_path / "tmp"
    place.mkdir()
    for part in [place, *list(place.parents)[:-2]]:
        part.chmod(part.stat().st_mode | 0o011)
    place.chmod(0o1777)
    process, out, err = demonstrate(TMPDIR=str(place))
    assert (process.returncode, err) == (0, "")
    told_everything(out)
    assert eventually(lambda: not of_session(process.pid) and not with_text(str(place)))
    assert list(place.iterdir()) == []


def test_it_runs_on_a_database_of_ones_own(dsn):
    process, out, err = demonstrate("--dsn", dsn)
    assert (process.returncode, err) == (0, "")
    told_everything(out)
    assert "Migrated: nothing to do." in out


def test_without_an_answer_it_says_why_and_fails():
    process, out, err = demonstrate(DATABASE_URL="postgresql://joe:tell-nobody@127.0.0.1:1/app")
    assert process.returncode == 1
    assert err.startswith("arvo-plpg: ")
    assert "Traceback" not in err
    assert "tell-nobody" not in out + err


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("postgresql//nobody:s3cret@nowhere", "the connection string cannot be read"),
        ("postgresql://nobody:s3cret@127.0.0.1:1/app", "connect"),
    ],
    ids=["unreadable", "unreachable"],
)
def test_a_database_that_cannot_be_used_is_one_clear_error(dsn, words):
    process, out, err = demonstrate(DATABASE_URL=dsn)
    assert process.returncode == 1
    assert words in err
    assert "Hint: " in err
    assert "Traceback" not in err
    assert "s3cret" not in out + err
