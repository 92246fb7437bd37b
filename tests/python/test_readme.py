"""The README tells the truth: its quickstart runs as it stands, its commands exist."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from arvo_plpg import create_arvo_event
from arvo_plpg.sync import Broker

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUEUES = (ROOT / "docs" / "queues.md").read_text(encoding="utf-8")
WORKERS = (ROOT / "docs" / "workers.md").read_text(encoding="utf-8")


def outcome(code, folder, **environment):
    """Run a program in an empty folder; its exit code and what it printed."""
    program = folder / "program.py"
    program.write_text(code, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=folder,
        env=os.environ | environment,
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


def test_its_programs_satisfy_a_strict_type_checker(tmp_path):
    (first,) = re.findall(r"<!-- quickstart.*?-->\n```python\n(.*?)```", README, re.DOTALL)
    (second,) = re.findall(r"<!-- workflow.*?-->\n```python\n(.*?)```", README, re.DOTALL)
    satisfies_a_strict_type_checker(first + second, tmp_path)


def test_the_page_about_workers_has_a_typed_program_that_prints_what_it_says(tmp_path):
    _, code, pooled = re.findall(r"```python\n(.*?)```", WORKERS, re.DOTALL)
    satisfies_a_strict_type_checker(code, tmp_path)
    satisfies_a_strict_type_checker(pooled, tmp_path)
    says = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert len(says) == 2
    code, printed, logged = outcome(code, tmp_path)
    assert (code, printed) == (0, "".join(f"{line}\n" for line in says))
    assert "attempt 1 failed: ValueError: 'nothing to book'" in logged


def test_the_page_about_workers_has_a_typed_program_that_ends_with_a_signal(
    tmp_path, dsn, connection
):
    code, _, _ = re.findall(r"```python\n(.*?)```", WORKERS, re.DOTALL)
    satisfies_a_strict_type_checker(code, tmp_path)
    event = create_arvo_event(
        source="com.example.shop",
        type="com.example.mail.send",
        subject="mail",
        to="com.example.mailer",
        data={"to": "ada"},
    )
    Broker(connection).dispatch(event)
    command = [sys.executable, "-u", "-W", "error", "-c", code]
    environment = os.environ | {"DATABASE_URL": dsn}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout.readline() == "to ada\n"
            program.send_signal(signal.SIGTERM)
            assert program.wait(30) == 0
        finally:
            program.kill()
    (step,) = Broker(connection).trace("mail")
    assert (step.attempt, step.outcome) == (1, "completed")


def test_a_handler_of_batches_that_answers_something_else_is_a_type_error(tmp_path):
    _, code, _ = re.findall(r"```python\n(.*?)```", WORKERS, re.DOTALL)
    wrong = code.replace("Sequence[Sequence[arvo.ArvoEvent] | Exception]:", "int:", 1)
    assert wrong != code
    with pytest.raises(AssertionError, match="incompatible type"):
        satisfies_a_strict_type_checker(wrong, tmp_path)


def satisfies_a_strict_type_checker(code, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(code, encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_the_page_about_queues_prints_what_it_says(tmp_path):
    code = "".join(re.findall(r"```python\n(.*?)```", QUEUES, re.DOTALL))
    says = re.findall(r"^ *print\(.*\)  # (.*)$|^    # (.*)$", code, re.MULTILINE)
    said = "".join(f"{one or other}\n" for one, other in says)
    assert len(says) > 30
    frozen = "-c arvo.frozen_clock=2030-01-01T00:00:00Z"  # no interval ends while it runs
    assert outcome(code, tmp_path, PGOPTIONS=frozen) == (0, said, "")


def test_the_defaults_that_the_page_about_queues_names(connection):
    queue = Broker(connection).register_queue("com.example.task")
    assert (queue.retry_limit, queue.retry_delay, queue.expire_in) == (
        2, timedelta(0), timedelta(minutes=15),
    )  # fmt: skip
    assert (queue.retention, queue.delete_after) == (timedelta(days=14), timedelta(days=7))
    assert (queue.deduplicate_for, queue.max_redrives) == (timedelta(days=7), 20)
    assert (queue.policy, queue.on_failure, queue.warning_queue_size) == (
        "standard",
        "block",
        10000,
    )


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
    for page, folder in ((README, ROOT), (QUEUES, ROOT / "docs")):
        linked = set(re.findall(r"\]\(([^)#:]+)(?:#[a-z-]+)?\)", page))
        assert linked
        assert not [path for path in linked if not (folder / path).exists()]
