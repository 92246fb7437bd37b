"""The table of parity is whole, and its check tells a good table from a bad one."""

import subprocess
import sys
from pathlib import Path

import parity
import pytest

ROOT = Path(__file__).resolve().parents[3]
NUMBERS = ("1", "W-B1")
TWO = "`python/test_a.py::TestB::test_two[x-1]`"
GOOD = """
| no. | feature | target | here | shown by |
|---|---|---|---|---|
| 1 | a \\| b | match, beat | so | `python/test_a.py::test_one`, `sql/arvo/f.sql: it's one` |

| no. | weakness | here | shown by |
|---|---|---|---|
| W-B1 | bad | good | `python/test_a.py::TestB::test_two[x-1]` `sql/isolation/specs/s.spec` |

| of | not there | why | shown by |
|---|---|---|---|
| of 1 | c | no need | `sql/arvo/f.sql` `sql/arvo/f.sql: a \\| b` |
"""


@pytest.fixture
def tests(tmp_path):
    files = {
        "python/test_a.py": (
            "import pytest\n\n"
            "async def test_one(): ...\n\n"
            "@pytest.mark.skip('never')\ndef test_skipped(): ...\n\n"
            "@pytest.mark.xfail\ndef test_failing(): ...\n\n"
            "@pytest.mark.parametrize('a', [1])\ndef test_with(a): ...\n\n"
            "def helper():\n    def test_inside(): ...\n\n"
            "class TestB:\n    def test_two(self): ...\n"
        ),
        "sql/arvo/f.sql": (
            "SELECT plan(2);\nSELECT ok(true, 'it''s one');\nSELECT ok(true, 'a | b');\n"
            "SELECT * FROM finish();"
        ),
        "sql/given.psql": "-- nothing\n",
        "sql/stage.sql": "SELECT 1;\n",
        "sql/isolation/specs/s.spec": "session a\nstep b { SELECT 1; }\n\npermutation b\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_real_table_is_whole():
    done = subprocess.run(
        [sys.executable, "tools/parity.py", "check"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_a_good_table_has_no_faults(tests):
    assert parity.faults(GOOD, tests, NUMBERS) == []


@pytest.mark.parametrize(
    ("good", "bad", "fault"),
    [
        ("| W-B1 |", "| W-B 1 |", "W-B1: is missing"),
        ("| W-B1 | bad", "| 1 | bad", "1: is there 2 times"),
        ("| of 1 |", "| of 2 |", "of 2: is no row"),
        ("| W-B1 |", "| W-B2 |", "W-B2: is no row"),
        ("| so |", "| |", "1, line 4: has an empty cell"),
        ("| bad |", "| bad | worse |", "W-B1, line 8: has 5 cells, not 4"),
        ("| match, beat |", "| better |", "1, line 4: its target is 'better', not one of:"),
        ("`sql/arvo/f.sql` `sql/arvo/f.sql: a \\| b`", "a test", "of 1, line 12: names no test"),
        ("`sql/isolation/specs/s.spec`", TWO, "W-B1, line 8: names a test twice"),
    ],
)  # fmt: skip
def test_a_bad_row_is_a_fault(tests, good, bad, fault):
    assert good in GOOD
    found = parity.faults(GOOD.replace(good, bad, 1), tests, NUMBERS)
    assert any(fault in one for one in found), found


@pytest.mark.parametrize(
    "reference",
    [
        "python/test_a.py::test_one",
        "python/test_a.py::test_with[1]",
        "python/test_a.py::TestB::test_two",
        "sql/arvo/f.sql",
        "sql/arvo/f.sql: it's one",
        "sql/isolation/specs/s.spec",
    ],
)
def test_a_test_that_exists_is_found(tests, reference):
    assert parity.reference_fault(reference, tests) is None


@pytest.mark.parametrize(
    ("reference", "fault"),
    [
        ("python/test_b.py::test_one", "there is no such file of pytest"),
        ("sql/arvo/f.sql::test_one", "there is no such file of pytest"),
        ("python/test_a.py::test_three", "that file has no such test"),
        ("python/test_a.py::test_two", "that file has no such test"),
        ("python/test_a.py::test_inside", "that file has no such test"),
        ("python/test_a.py::helper", "that file has no such test"),
        ("python/test_a.py::test_skipped", "that test does not run"),
        ("python/test_a.py::test_failing", "that test does not run"),
        ("python/test_a.py", "there is no such file"),
        ("sql/arvo/g.sql", "there is no such file"),
        ("sql/given.psql", "there is no such file"),
        ("sql/stage.sql", "that file is no test"),
        ("sql/arvo/f.sql: it's", "that file has no such description"),
        ("sql/isolation/specs/s.spec: b", "a spec has no descriptions"),
        ("nothing of the kind", "there is no such file"),
    ],
)
def test_a_test_that_does_not_exist_is_a_fault(tests, reference, fault):
    assert parity.reference_fault(reference, tests) == fault
