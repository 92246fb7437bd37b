"""Every function file has a test file of its name, and the other way round."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FUNCTIONS = ROOT / "sql" / "functions"
TESTS = ROOT / "tests" / "sql"
ISOLATION = TESTS / "isolation"


def below(top: Path, pattern: str) -> set[str]:
    return {str(path.relative_to(top)) for path in top.glob(pattern)}


def test_functions_and_their_tests_are_equal_trees():
    assert below(FUNCTIONS, "arvo*/*.sql") == below(TESTS, "arvo*/*.sql")


def test_no_test_stands_where_nobody_runs_it():
    outside = {str(path.relative_to(TESTS)) for path in TESTS.rglob("*.sql")}
    assert outside - below(TESTS, "arvo*/*.sql") == {"house.sql", "isolation/stage.sql"}
    assert below(ISOLATION, "**/*.spec") == below(ISOLATION, "specs/*.spec")


def test_specs_and_their_expected_outputs_are_pairs():
    specs = {path.stem for path in ISOLATION.glob("specs/*.spec")}
    assert specs == {path.stem for path in ISOLATION.glob("expected/*.out")}


@pytest.mark.parametrize("path", sorted(TESTS.glob("arvo*/*.sql")), ids=lambda path: path.stem)
def test_a_test_file_has_a_plan_and_ends_with_a_rollback(path):
    statements = [
        line for line in path.read_text().splitlines() if line and not line.startswith("--")
    ]
    assert statements[0] == "BEGIN;"
    assert statements[1].startswith("SELECT plan(")
    assert statements[-2:] == ["SELECT * FROM finish();", "ROLLBACK;"]


@pytest.mark.parametrize("path", sorted(TESTS.glob("arvo*/*.sql")), ids=lambda path: path.stem)
def test_a_test_file_that_commits_freezes_the_clock_beyond_the_commit(path):
    text = path.read_text()
    if "COMMIT AND CHAIN;" in text:
        assert "SET LOCAL arvo.frozen_clock" not in text
