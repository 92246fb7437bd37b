"""The overhead of the model can be measured: every line of the table is there."""

import json

from bench import python


def test_every_cost_is_measured(capsys):
    assert python.main(["--json", "--milliseconds", "0.01"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["microseconds"].keys() == python.subjects().keys() | python.runs().keys()
    assert all(cost > 0 for cost in found["microseconds"].values())


def test_the_table_names_them_all(capsys):
    assert python.main(["--milliseconds", "0.01"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n{name} " in said for name in (*python.subjects(), *python.runs()))


def test_what_is_measured_does_what_it_says():
    for name, call in python.subjects().items():
        made = call()
        assert made is not None, name
    event = python.subjects()["factory.accepts"]()
    assert 600 < len(json.dumps(event.to_dict()["data"], separators=(",", ":"))) < 800


async def test_the_handlers_that_are_measured_answer():
    for name, run in python.runs().items():
        (answer,) = await run()
        assert answer.type in {"evt.order.placed", "com.order.place"}, name
