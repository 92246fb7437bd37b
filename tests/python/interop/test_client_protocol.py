"""docs/client-protocol.md says what the catalogue says."""

import re
from pathlib import Path

import client_protocol
import pytest

from arvo_plpg.errors import ArvoError
from conformance.scenario import scenarios

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = client_protocol.DOCUMENT.read_text(encoding="utf-8")
PROSE = DOCUMENT[: DOCUMENT.index("## Signatures")]


def test_signatures_and_rows_are_those_of_the_catalogue(connection):
    """Out of date? Write them anew: tools/client_protocol.py write."""
    for name, text in client_protocol.parts(connection):
        assert client_protocol.current(DOCUMENT, name) == text


def test_every_function_stands_there_with_its_real_signature(connection):
    block = " ".join(client_protocol.current(DOCUMENT, "signatures").split())
    rows = connection.execute(client_protocol.FUNCTIONS).fetchall()
    assert len(rows) > 50
    for name, arguments, result, _, _ in rows:
        plain = re.sub(r"::[a-z ]+(\[\])?", "", arguments)
        plain = plain.replace("timestamp with time zone", "timestamptz")
        assert f" {name}({plain}) → {result} " in block


def test_what_clients_and_workers_may_call_is_explained(connection):
    """Functions that operators and monitors have, too, are theirs to explain."""
    for name, _, _, _, roles in connection.execute(client_protocol.FUNCTIONS):
        if {"client", "worker"} & set(roles) and not {"monitor"} & set(roles) - {"client"}:
            assert f"`{name}(" in PROSE or f"`{name}`" in PROSE, name


def test_every_code_and_outcome_has_something_to_do():
    for code in ArvoError.by_sqlstate:
        assert code in PROSE, code
    for outcome in re.findall(
        r"\w+",
        "queued deferred domained unroutable duplicate throttled debounced unheard closed completed"
        " failed released snoozed rejected already retried dead conflict refused",
    ):
        assert f"`{outcome}`" in PROSE, outcome


@pytest.mark.parametrize("word", ["dispatch", "claim", "settle", "work", "extend", "dead_letters"])
def test_arguments_in_the_suite_are_arguments_of_the_contract(connection, word):
    named = {
        name: {part.split()[0].removeprefix("p_") for part in arguments.split(", ") if part}
        for name, arguments, *_ in connection.execute(client_protocol.FUNCTIONS)
    }
    steps = [step for scenario in scenarios() for step in scenario.steps]
    found = [step for step in steps if word in (step.get("call"), step.get("observe"))]
    assert found
    for step in found:
        assert step.get("with", {}).keys() <= named[word], step


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", DOCUMENT):
        assert (ROOT / "docs" / target).exists(), target
