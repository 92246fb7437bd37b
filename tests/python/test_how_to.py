"""The programs of docs/how-to and docs/learn run as they stand and print what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(
    page for page in (DOCS / "how-to").glob("*.md") if "```python" in page.read_text("utf-8")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page(page, dsn, tmp_path):
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
    says = re.findall(r"^ *(?:(?:print\(.*)?\)  )?# (.*)$", code, re.MULTILINE)
    said = [line for line in says if not line.startswith(NOTES)]
    assert said
    program = tmp_path / "program.py"
    program.write_text(code, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        env=os.environ | {"DATABASE_URL": dsn},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout.splitlines()) == (0, said), ran.stderr


NOTES = ("Order.objects", "contracts.py", "service ", "whoever ")
"""How comments begin that are not what is printed."""
