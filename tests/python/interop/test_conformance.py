"""Both clients mean the same by the contract."""

import json

import pytest

from conformance.client import Misbehaved
from conformance.play import Failed, play
from conformance.scenario import scenarios

SCENARIOS = scenarios()


@pytest.fixture(params=["python", "typescript"])
def command(request, python_client):
    if request.param == "python":
        return python_client
    dist = request.getfixturevalue("typescript")
    return ("node", str(dist / "conformance" / "driver.js"))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(command, scenario, clients, client_of, place):
    client = client_of(*command)
    try:
        play(client, scenario, place)
        client.ask("disconnect")
    except (Failed, Misbehaved) as error:
        clients.pop(command).close()
        pytest.fail(f"{error}\n{client.said}")


def test_there_are_scenarios_for_everything_that_a_client_does():
    assert len(SCENARIOS) >= 80
    assert {scenario.name.split("/")[0] for scenario in SCENARIOS} == {
        "1-dispatch", "2-settle", "3-ordered", "4-memory", "5-transactions", "6-worker",
        "7-routes",
    }  # fmt: skip


@pytest.mark.parametrize("sample", ["event_minimal", "event_full_with_extensions"])
def test_the_text_of_a_golden_event_is_upstreams(command, sample, client_of, request):
    samples = request.config.rootpath / "tests" / "python" / "samples"
    golden = json.loads((samples / f"{sample}.json").read_text(encoding="utf-8"))
    text = client_of(*command).ask("canonical", event=golden["toJSON"])
    # Keys in their order. Numbers may be spelled otherwise: Python writes 1.5e-06.
    assert in_order(text) == in_order(golden["toString"])
    if "python" not in command[0] or sample == "event_minimal":
        assert text == golden["toString"]


def in_order(text):
    return json.loads(text, object_pairs_hook=lambda pairs: pairs)
