"""Types flow as they should: mypy finds in typing_tests what is marked there, and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / "typing_tests").glob("*.py"))
MARK = re.compile(r"  # E: ([a-z-]+(?:, [a-z-]+)*)$")
FOUND = re.compile(r"^(.+?):(\d+): error: .*\[([a-z-]+)\]$")


def marked(path):
    """The errors that a file expects: line and code."""
    return {
        (path.name, number, code)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (mark := MARK.search(line))
        for code in mark[1].split(", ")
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What mypy, strict as can be, finds in all of them: file, line and code."""
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--warn-unreachable", "--no-pretty"),
            *("--cache-dir", tmp_path_factory.mktemp("mypy"), *FILES),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode in {0, 1}, checked.stderr
    errors = [line for line in checked.stdout.splitlines() if ": error: " in line]
    matched = [FOUND.match(line) for line in errors]
    assert None not in matched, errors
    return {(Path(match[1]).name, int(match[2]), match[3]) for match in matched}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_mypy_finds_what_is_marked_and_nothing_else(found, path):
    assert {error for error in found if error[0] == path.name} == marked(path)


def test_some_files_must_pass_and_some_must_not():
    without = [path.name for path in FILES if not marked(path)]
    assert without == ["handlers_flow.py"]
    assert sum(len(marked(path)) for path in FILES) >= 25


def test_what_must_pass_also_runs():
    ran = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "typing_tests" / "handlers_flow.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
