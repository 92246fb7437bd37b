"""The tools that test SQL tell good from bad."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SPEC = """
setup { CREATE TABLE counter AS SELECT 0 AS n; }
teardown { DROP TABLE counter; }

session ann
setup { BEGIN; }
step a_add { UPDATE counter SET n = n + 1; }
step a_end { COMMIT; }

session bob
step b_add { UPDATE counter SET n = n + 1; }
step b_see { SELECT n FROM counter; }

permutation a_add b_add a_end b_see
"""


def tool(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, f"tools/{name}.py", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


@pytest.fixture
def folder(tmp_path):
    for name in ("specs", "expected"):
        (tmp_path / name).mkdir()
    (tmp_path / "specs" / "count.spec").write_text(SPEC)
    return tmp_path


def isolation(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return tool("isolation", "--folder", str(folder), *words)


def test_isolation_accepts_an_interleaving_and_notices_another(folder):
    unknown = isolation(folder)
    assert unknown.returncode == 1
    assert "isolation: 0 passed, 1 failed" in unknown.stdout

    assert isolation(folder, "--accept").returncode == 0
    expected = folder / "expected" / "count.out"
    assert "step b_add: UPDATE counter SET n = n + 1; <waiting ...>" in expected.read_text()
    again = isolation(folder, "count")
    assert again.returncode == 0
    assert again.stdout.endswith("isolation: 1 passed, 0 failed\n")

    expected.write_text(expected.read_text().replace("<waiting ...>", ""))
    changed = isolation(folder)
    assert changed.returncode == 1
    assert "+step b_add: UPDATE counter SET n = n + 1; <waiting ...>" in changed.stdout


def test_isolation_does_not_accept_a_spec_that_cannot_run(folder):
    (folder / "specs" / "count.spec").write_text(
        "session ann\nstep a { SELECT 1 }\npermutation b\n"
    )
    result = isolation(folder, "--accept")
    assert result.returncode == 1
    assert not (folder / "expected" / "count.out").exists()


def test_isolation_notices_an_expected_output_without_its_spec(folder):
    isolation(folder, "--accept")
    (folder / "expected" / "lost.out").write_text("")
    result = isolation(folder)
    assert result.returncode == 1
    assert "expected/lost.out has no spec" in result.stdout


@pytest.mark.parametrize(
    ("assertion", "code", "result"), [("ok(true)", 0, "PASS"), ("ok(false)", 1, "FAIL")]
)
def test_prove_tells_pass_from_fail(tmp_path, assertion, code, result):
    file = tmp_path / "one.sql"
    file.write_text(
        f"BEGIN;\nSELECT plan(1);\nSELECT {assertion};\nSELECT * FROM finish();\nROLLBACK;\n"
    )
    run = tool("prove", str(file))
    assert run.returncode == code
    assert f"Result: {result}" in run.stdout


def test_prove_gives_each_file_a_database_of_its_own(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.sql").write_text(
            "SELECT plan(1);\nCREATE TABLE public.same ();\n"
            "SELECT pass();\nSELECT * FROM finish();\n"
        )
    run = tool("prove", str(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Files=2, Tests=2" in run.stdout


def test_prove_fails_when_there_is_nothing_to_prove(tmp_path):
    assert tool("prove", str(tmp_path)).returncode == 1
