"""The documentation builds as a site, without a warning and without a network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import reference

import arvo_plpg
from arvo_plpg.errors import ArvoError

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"


def build(root, target):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", str(root / "docs")]
    nowhere = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https")}
    return subprocess.run(
        [*command, str(root), str(target)],
        env=os.environ | nowhere,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def _errors():
    named = {name: getattr(arvo_plpg, name) for name in arvo_plpg.__all__}
    return {
        name
        for name, value in named.items()
        if isinstance(value, type) and issubclass(value, ArvoError)
    }


def test_the_site_builds_and_every_link_leads_somewhere(tmp_path):
    built = build(ROOT, tmp_path)
    assert (built.returncode, built.stderr) == (0, "")
    index = (tmp_path / "docs" / "index.html").read_text(encoding="utf-8")
    assert "learn/index.html" in index
    errors = (tmp_path / "docs" / "reference" / "errors.html").read_text(encoding="utf-8")
    for error in _errors():
        assert re.search(rf'id="arvo_plpg\.[a-z_.]+\.{error}"', errors), error
    for page in tmp_path.rglob("*.html"):  # nothing is fetched from elsewhere
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<(?:link|script|img)[^>]+(?:href|src)=\"(?:https?:)?//", text), page


def test_a_link_that_leads_nowhere_is_told(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "conf.py").write_text((DOCS / "conf.py").read_text(encoding="utf-8"), encoding="utf-8")
    (docs / "index.md").write_text("# Door\n\n[gone](gone.md)\n", encoding="utf-8")
    built = build(tmp_path, tmp_path / "site")
    assert built.returncode != 0
    assert "gone" in built.stderr


@pytest.mark.parametrize("name", ["sql.md", "options.md"])
def test_the_reference_is_that_of_the_code(connection, name):
    """Out of date? Write it anew: tools/reference.py write."""
    page = reference.documents(connection)[reference.REFERENCE / name]
    assert (reference.REFERENCE / name).read_text(encoding="utf-8") == page


def test_every_public_name_has_its_place_in_the_reference():
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\.\. auto(?:class|function|data):: (\w+)$", page, re.MULTILINE)
    assert len(shown) == len(set(shown))
    assert set(shown) == set(arvo_plpg.__all__) - _errors()
