"""The benchmark's own parts: what is counted, what is drawn, what a plan may cost."""

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from bench import report
from bench.environment import ROOT, install
from bench.mode import MODES, SMOKE
from bench.peers import PEERS
from bench.plans import Cost, Inner, excess, measure, table
from bench.record import Measurement, Recording, Spread, percentile
from bench.scenarios.drain import Drain
from bench.scenarios.scenario import Cell, Context, check_each_once, rate
from bench.server import Server
from bench.session import DriverError
from bench.tally import Tally


def tally(*pairs):
    made = Tally()
    for number, at in pairs:
        made.add(number, at)
    return made


def test_a_tally_survives_being_written_and_a_record_that_was_cut_off(tmp_path):
    path = tmp_path / "tally"
    tally((7, 1.5), (8, 2.5), (7, 3.5)).write(path)
    assert Tally.read(path).firsts() == {7: 1.5, 8: 2.5}
    path.write_bytes(path.read_bytes()[:-1])
    assert list(Tally.read(path).numbers) == [7, 8]
    assert len(Tally.read(tmp_path / "absent")) == 0


def test_what_was_not_handled_is_an_error_and_what_ran_twice_is_counted():
    values = check_each_once([tally((0, 1.0), (1, 2.0)), tally((1, 3.0))], 2)
    assert values == {"handled": 2.0, "twice": 1.0}
    with pytest.raises(DriverError, match="1 of 3 handlers did not run"):
        check_each_once([tally((0, 1.0), (1, 2.0))], 3)


def test_a_rate_is_taken_between_the_first_and_the_last_over_all_processes():
    tallies = [tally((0, 10.0), (2, 12.0)), tally((1, 11.0), (3, 20.0))]
    assert rate(tallies) == pytest.approx(3 / 10)
    assert rate(tallies, 3) == pytest.approx(2 / 2)


def test_a_spread_ignores_rounds_without_the_figure():
    rounds = [Measurement("s", "p", "c", "", n, {"x": v}) for n, v in enumerate((3.0, 1.0, 2.0))]
    rounds.append(Measurement("s", "p", "c", "", 3, fault="it did not work"))
    assert Spread.of(rounds, "x") == Spread(2.0, 1.0, 3.0, 3)
    assert Spread.of(rounds, "y") is None
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 3.0
    assert percentile([1.0], 0.99) == 1.0


def test_every_peer_has_a_default_first_and_a_driver():
    for name, peer in PEERS.items():
        assert peer.name == name
        if peer.missing:
            continue
        assert peer.configurations[0].name == "default"
        suffix = "mjs" if peer.kind == "node" else "py"
        assert (ROOT / "bench" / "peers" / name / f"driver.{suffix}").exists()


def test_only_the_full_mode_outlasts_a_lease_and_it_says_so():
    assert MODES["full"].seconds > 8
    assert MODES["quick"].seconds <= 8


def recording():
    about = {
        "mode": "quick",
        "made": "2026-01-02 03:04 UTC",
        "commit": "abc",
        "remark": "a remark",
        "machine": {"cores": "2"},
        "server": {"fsync": "on"},
        "versions": {"arvo": {"arvo-plpg": "0.1.0"}},
        "absent": {"pgque": "not to be had"},
        "plans": [],
    }
    made = Recording(about)
    for number, value in enumerate((1000.0, 3000.0, 2000.0), 1):
        made.measurements.append(
            Measurement("drain", "arvo", "default", "", number, {"rate": value})
        )
    made.measurements.append(Measurement("drain", "raw", "fast", "", 1, fault="<it> failed"))
    series = {"rate": [(0.5, 10.0), (1.5, 20.0)], "dead": [(0.0, 0.0), (1.0, 0.0)]}
    made.measurements.append(Measurement("held", "arvo", "default", "snapshot", 1, {}, series))
    return made


def test_tables_and_charts_come_from_the_record_alone(tmp_path):
    path = tmp_path / "quick.json"
    recording().write(path)
    report.write(Recording.read(path), tmp_path / "RESULTS.md", tmp_path / "charts")
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| **arvo default** | 2,000 (1,000 … 3,000) |" in text
    assert "raw fast : no figure: <it> failed" in text
    assert "| pgque | not measured | not to be had |" in text
    drawn = {path.name for path in (tmp_path / "charts").glob("*.svg")}
    assert drawn == {"drain-0.svg", "held-rate.svg", "held-dead.svg"}
    for name in drawn:
        assert ET.fromstring((tmp_path / "charts" / name).read_text()).tag.endswith("svg")


def test_a_call_that_grows_with_what_waits_exceeds_and_one_beyond_its_limit_too():
    flat = [Cost("claim", 0, 60, 1.0, []), Cost("claim", 1000, 90, 1.0, [])]
    assert excess(flat) == []
    grown = [*flat, Cost("claim", 10**6, 5000, 9.0, [Inner("SELECT", 4900, ["Seq Scan"], 1)])]
    assert excess(grown) == ["claim: 5000 buffers with 1,000,000 waiting, 60 with 0"]
    assert excess(flat, {"claim": 80}) == ["claim: 90 buffers with 1,000 waiting, limit 80"]
    assert list(table(grown))[2].count("buffers") == 3


def test_plans_of_every_call_are_taken_on_a_migrated_database(dsn):
    costs = measure(dsn, [0, 200])
    assert {cost.waiting for cost in costs} == {0, 200}
    assert all(cost.buffers > 0 for cost in costs)
    claim = next(cost for cost in costs if cost.call == "claim 100" and cost.waiting)
    assert any("lease" in one.text for one in claim.inner)


def test_ours_can_be_drained_by_the_harness(monkeypatch):
    mode = replace(SMOKE, seconds=0.05)
    with Server() as server:
        assert server.settings["fsync"] == "on"
        assert server.settings["synchronous_commit"] == "on"
        context = Context(server, {"arvo": install(PEERS["arvo"])}, mode)
        values, _ = Drain().run(context, Cell("arvo", "default"))
    assert values["handled"] == 100
    assert values["wal"] > 0
    assert json.dumps(values)
