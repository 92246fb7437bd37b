"""The overhead of telemetry can be measured, in every way that is compared."""

import json

from bench import telemetry


def test_every_way_is_measured(capsys):
    assert telemetry.main(["--json", "--events", "20", "--rounds", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["microseconds"].keys() == telemetry.WAYS.keys()
    assert all(cost > 0 for cost in found["microseconds"].values())
