"""docs/cli.md names the commands and arguments that there are, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import cli_docs

from arvo_plpg.cli import parser

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `([^`]+)`\n(.*?)(?=^### |\Z)", PAGE, re.DOTALL | re.MULTILINE))


def test_every_command_has_a_section_and_an_example():
    commands = dict(cli_docs.leaves(parser()))
    assert set(SECTIONS) == set(commands)
    for name, text in SECTIONS.items():
        assert f"$ arvo-plpg {name}" in text, name
        assert text.startswith(f"{commands[name].description}\n"), name


def test_every_argument_stands_there_with_its_meaning():
    for name, made in cli_docs.leaves(parser()):
        rows = dict(re.findall(r"^\| `(.+?)` \| (.*) \|$", SECTIONS[name], re.MULTILINE))
        told = cli_docs.arguments_of(made)
        assert rows == {key: cli_docs.escaped(text) for key, text in told.items()}, name


def test_the_commands_of_the_examples_exist():
    for line in re.findall(r"^\$ arvo-plpg (.+)$", PAGE, re.MULTILINE):
        assert any(line.split(" --")[0].startswith(name) for name in SECTIONS), line


def test_the_document_of_each_command_is_described():
    table = PAGE.split("## JSON")[1].split("## Commands")[0]
    named = set(re.findall(r"`([a-z0-9-]+(?: [a-z]+)?)`", "\n".join(
        row.split("|")[1] for row in table.splitlines() if row.startswith("| `")
    )))  # fmt: skip
    nouns = {"schedule add", "list", "pause", "resume", "remove", "export"}
    for name in SECTIONS:
        first = name.split()[0]
        assert name in named or (first in {"schedule", "export"} and nouns & named), name
