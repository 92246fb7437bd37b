"""The programs of docs/how-to run as they stand and print what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import debian
import pgbouncer
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(
    page for page in (DOCS / "how-to").glob("*.md") if "```python" in page.read_text("utf-8")
)


@pytest.fixture(scope="session")
def pooler(server):
    """A PgBouncer in transaction mode that knows no prepared statements."""
    try:
        with pgbouncer.start("1.18", server.dsn) as running:
            yield running
    except debian.UnobtainableError as reason:
        pytest.skip(str(reason))


@pytest.fixture
def surroundings(request, page, dsn):
    """The environment that a page's program expects."""
    named = {"DATABASE_URL": dsn}
    if page.stem == "pgbouncer":
        named["POOLER_URL"] = request.getfixturevalue("pooler").dsn(dsn)
    return os.environ | named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page(page, surroundings, tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
    says = re.findall(r"^ *(?:(?:print\(.*)?\)  )?# (.*)$", code, re.MULTILINE)
    said = [line for line in says if not line.startswith(NOTES)]
    assert said
    program = tmp_path / "program.py"
    program.write_text(code, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout.splitlines()) == (0, said), ran.stderr


NOTES = (
    "Order.objects",
    "contracts.py",
    "every ",
    "from TypeScript",
    "a subject that",
    "service ",
    "what it will",
    "whoever ",
)
"""How comments begin that are not what is printed."""
