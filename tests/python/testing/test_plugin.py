"""The plugin as its users have it: in a pytest of its own, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "testing.md").read_text(encoding="utf-8")


def run_pytest(folder, code, **environment):
    """Run pytest on a file; what it printed, and its exit code."""
    (folder / "test_users.py").write_text(code, encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    clean.pop("ARVO_TEST_DSN", None)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"),
            *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
        ],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    return ran.stdout + ran.stderr, ran.returncode


def test_the_page_about_testing_is_a_test_file_that_passes(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 5
    said, code = run_pytest(tmp_path, "\n\n".join(blocks))
    assert code == 0, said
    assert "6 passed" in said


TWO = """
async def test_one(broker):
    async with broker.contract() as contract:
        await contract.register_queue("com.a.b")
        assert len(await contract.queue_stats()) == 1

async def test_other(broker, arvo_dsn):
    async with broker.contract() as contract:
        assert await contract.queue_stats() == []
    assert broker.dsn == arvo_dsn

def test_fails(broker):
    assert broker.now is None
"""


def test_a_server_may_be_named_and_is_left_clean(tmp_path, server):
    def databases():
        with psycopg.connect(server.dsn) as connection:
            return {
                name
                for (name,) in connection.execute(
                    "SELECT datname FROM pg_database WHERE starts_with(datname, 'arvo_test_')"
                )
            }

    before = databases()
    said, code = run_pytest(tmp_path, TWO, ARVO_TEST_DSN=server.dsn)
    assert code == 1, said
    assert "1 failed, 2 passed" in said
    mine = {name for name in databases() - before if re.fullmatch("arvo_test_[0-9a-f]{16}", name)}
    assert mine == set()


def test_it_costs_nothing_where_it_is_not_used(tmp_path):
    said, code = run_pytest(tmp_path, "def test_nothing(): pass", ARVO_TEST_DSN="host=nowhere")
    assert (code, "1 passed" in said) == (0, True), said


@pytest.mark.parametrize("name", ["broker", "arvo_dsn", "arvo_server"])
def test_the_fixtures_that_the_page_names_are_there(tmp_path, name):
    from arvo_plpg.testing import plugin

    assert f"| `{name}` |" in PAGE
    assert hasattr(plugin, name)
