"""Learn: every file is written and every command run, in order, and what they show is what is said.

In the pages ``…`` stands for anything, and a word in capitals after ``$`` for what it was before. A
command that only looks is repeated until it shows what is expected.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

LEARN = Path(__file__).resolve().parents[2] / "docs" / "learn"
PAGES = sorted(LEARN.glob("[0-9]-*.md"), key=lambda page: page.name)
LOOKS = ("arvo-plpg trace", "arvo-plpg queues", "arvo-plpg dead list")
BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
PATIENCE = 45


class Shell:
    """Runs the commands of the pages in a folder, as a shell would."""

    def __init__(self, folder, dsn):
        self.folder = folder
        self.environment = os.environ | {
            "DATABASE_URL": dsn,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "200",
        }
        self.jobs = {}
        self.known = {}

    def run(self, command, expected):
        """Run one command, and compare what it shows."""
        command = re.sub(r"\$([A-Z]+)", lambda found: shlex.quote(self.known[found[1]]), command)
        if job := re.fullmatch(r"(kill|wait) %\?(\S+)", command):
            process = self.jobs.pop(job[2])
            if job[1] == "kill":
                process.terminate()
            shown, _ = process.communicate(timeout=PATIENCE)
            assert process.returncode in (0, None), shown
        elif command.endswith("&"):
            name = re.search(r"shop\.\w+", command)[0]
            self.jobs[name] = self._start(command.removesuffix("&"))
            return
        else:
            shown = self._repeated(command, expected)
        found = re.fullmatch(self._pattern(expected), shown, re.DOTALL)
        assert found, f"{command}\n--- shows\n{shown}\n--- and not\n{expected}"
        self.known |= found.groupdict()

    def _repeated(self, command, expected):
        deadline = time.monotonic() + PATIENCE
        while True:
            shown, _ = (process := self._start(command)).communicate(timeout=PATIENCE)
            if re.fullmatch(self._pattern(expected), shown, re.DOTALL):
                assert process.returncode == 0
                return shown
            if not command.startswith(LOOKS) or time.monotonic() > deadline:
                return shown
            time.sleep(0.2)

    def _start(self, command):
        return subprocess.Popen(
            shlex.split(command),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _pattern(self, expected):
        pattern = re.escape(expected).replace("…\n", ".*").replace("…", ".*")
        named = re.sub(r"\\\$([A-Z]+)", r"(?P<\1>\\S+)", pattern)
        return named or ".*"

    def close(self):
        for process in self.jobs.values():
            process.kill()
            process.communicate()


@pytest.fixture
def shell(tmp_path, dsn):
    (tmp_path / "shop").mkdir()
    made = Shell(tmp_path, dsn)
    yield made
    made.close()


def write(folder, name, body):
    path = folder / name.removesuffix(" (more)")
    before = path.read_text(encoding="utf-8") if name.endswith(" (more)") else ""
    path.write_text(before + ("\n\n" if before else "") + body, encoding="utf-8")


@pytest.mark.timeout(400)
def test_the_chapters(shell, tmp_path):
    assert len(PAGES) == 6
    ran = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            kind, body = block["kind"], block["body"]
            if kind == "python":
                name, _, code = body.partition("\n")
                write(tmp_path, name.removeprefix("# "), code)
            elif kind == "json":
                *_, name = re.findall(r"`(\w+\.json)`", text[: block.start()])
                write(tmp_path, name, body)
            elif kind == "console":
                for command, expected in re.findall(
                    r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", body, re.MULTILINE
                ):
                    shell.run(command, expected)
                    ran.append(command)
    assert len(ran) > 20


def test_its_files_satisfy_a_strict_type_checker(tmp_path):
    (tmp_path / "shop").mkdir()
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            if block["kind"] == "python":
                name, _, code = block["body"].partition("\n")
                write(tmp_path, name.removeprefix("# "), code)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache")]
    checked = subprocess.run(
        [*command, "-p", "shop"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_it_is_read_in_ten_minutes():
    """220 words a minute, every word of the programs among them; and the README's quickstart."""
    readme = (LEARN.parents[1] / "README.md").read_text(encoding="utf-8")
    start = readme[readme.index("## Quickstart") : readme.index("[**Learn**]")]
    pages = [page.read_text(encoding="utf-8") for page in LEARN.glob("*.md")]
    assert sum(len(text.split()) for text in (start, *pages)) <= 10 * 220
