"""Each example runs as it stands, and says what it should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SAYS = {
    "order_fulfilment": """\
a book:
  a book sent: SOF-1
a bicycle:
  a person is asked: a bicycle for Ada?
  a bicycle sent: SOF-1
a yacht:
  a person is asked: a yacht for Ada?
  no a yacht: not approved
""",
    "fan_out": "13500 words, 10 pages could not be read\n",
    "nightly": "3 fires arrived, 3 of them different\n",
    "outbox_fastapi": """\
book: 200
ghost: 422
lamp: 200
mail: 1 x lamp
mail: 2 x book
{'orders': 2}
""",
    "tool_loop": "  arvo.orc.agent.done\n8 degrees of difference, after 3 turns\n",
}


@pytest.mark.parametrize("name", SAYS)
def test_an_example(name, dsn):
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        env=os.environ | {"DATABASE_URL": dsn},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.endswith(SAYS[name])


def test_every_example_is_run_and_listed():
    there = {path.stem for path in EXAMPLES.glob("*.py")} - {"stage"}
    assert there == set(SAYS)
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({name}.py)" in listed for name in there)


def test_an_example_brings_its_own_server():
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / "fan_out.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, SAYS["fan_out"])
