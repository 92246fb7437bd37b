"""The README tells the truth: its quickstart runs as it stands, its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def outcome(code, folder):
    """Run a program in an empty folder; its exit code and what it printed."""
    program = folder / "program.py"
    program.write_text(code, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


def test_the_quickstart_runs_as_it_stands(tmp_path):
    (code,) = re.findall(r"<!-- quickstart.*?-->\n```python\n(.*?)```", README, re.DOTALL)
    assert outcome(code, tmp_path) == (0, "Hello, Ada\n", "")


def test_the_workflow_runs_on_top_of_the_quickstart(tmp_path):
    (first,) = re.findall(r"<!-- quickstart.*?-->\n```python\n(.*?)```", README, re.DOTALL)
    (second,) = re.findall(r"<!-- workflow.*?-->\n```python\n(.*?)```", README, re.DOTALL)
    first = first[: first.index("with embedded.start()")]
    last = """
async def run(dsn):
    answers = asyncio.Queue()
    async with arvo.PostgresEventBroker(dsn) as broker:
        await broker.register(
            arvo.create_arvo_event_handler(contract=contract, handler={"1.0.0": hello})
        )
        await broker.register(workflow)
        await broker.on_workflow_complete(source="com.example.me", listener=answers.put)
        await broker.dispatch(start)
        print((await answers.get()).data["text"])


with embedded.start() as server:
    schema.migrate(server.uri)
    asyncio.run(run(server.uri))
"""
    assert outcome(first + second + last, tmp_path) == (0, "HELLO, ADA\n", "")


def test_the_sql_runs_as_it_stands(connection):
    (code,) = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
    connection.execute(code)
    told = connection.execute("SELECT outcome FROM arvo_v1.trace(p_event_id => '1')").fetchall()
    assert told == [("unroutable",)]


def test_the_make_targets_that_it_names_exist():
    named = set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert named >= {"demo", "test", "migrate", "rollback"}
    assert not [target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)]


def test_the_files_that_it_names_exist():
    linked = set(re.findall(r"\]\(([^)#:]+)\)", README))
    assert linked
    assert not [path for path in linked if not (ROOT / path).exists()]
