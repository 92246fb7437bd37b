"""The benchmark's own parts: what is counted, what is drawn, what a plan may cost."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree as ET

import psycopg
import pytest

from bench import report, targets
from bench.document import ORDERED, document, is_ordered, mixed
from bench.environment import ROOT, install
from bench.mode import LEASE_SECONDS, MODES, SMOKE
from bench.peers import PEERS
from bench.peers.peer import Configuration
from bench.plans import Cost, Inner, excess, measure, table
from bench.process import cpu_seconds, thread_seconds
from bench.profile import CALLS, profile
from bench.profile import table as profile_table
from bench.record import Measurement, Recording, Spread, percentile
from bench.scenarios import SCENARIOS
from bench.scenarios.drain import Drain
from bench.scenarios.flat import Flat, cases
from bench.scenarios.flow import Sample, claim_buffers, evaluate
from bench.scenarios.held import Held
from bench.scenarios.life import Life
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


def test_every_mode_has_a_drain_that_outlasts_a_lease_but_for_the_smallest():
    assert MODES["full"].seconds > LEASE_SECONDS
    assert MODES["quick"].steady_seconds > LEASE_SECONDS
    assert SCENARIOS["steady"].length(MODES["quick"]) > LEASE_SECONDS


def test_the_fast_configuration_of_a_peer_has_a_handler_for_each_event():
    assert PEERS["pgmq"].fast.name == "fast"
    assert PEERS["pgmq"].configurations[-1].batch
    assert all(not peer.fast.batch for peer in PEERS.values() if peer.configurations)


def context_of(*names, **rates):
    found = {(name, PEERS[name].fast.name, ""): rate for name, rate in rates.items()}
    return Context(None, dict.fromkeys(names), MODES["quick"], found)


def test_the_leaders_are_the_peers_that_drained_fastest_ours_and_the_floor():
    given = context_of(
        *("arvo", "graphile", "pgboss", "awa", "absurd", "raw"),
        graphile=9.0,
        pgboss=7.0,
        awa=8.0,
        absurd=1.0,
    )
    found = [(peer.name, known.name) for peer, known in given.leaders(2)]
    assert found == [("arvo", "default"), ("graphile", "fast"), ("awa", "fast"), ("raw", "fast")]


def test_a_peer_is_offered_no_more_than_it_can_bear_three_times_over():
    given = context_of("absurd", "graphile", absurd=600.0, graphile=40_000.0)
    assert Held().rate(given, Cell("absurd", "fast")) == 100
    assert Held().rate(given, Cell("graphile", "fast")) == MODES["quick"].held_rate


def test_the_mix_has_events_of_ordered_keys_some_of_which_fail():
    given = [mixed(document(number)) for number in range(60_000)]
    ordered = [one for one in given if one["to"] == ORDERED]
    assert len(ordered) == 20_000
    assert len({one["subject"] for one in ordered}) == 1000
    failing = [one["data"]["number"] for one in given if one["data"]["number"] % 20 == 0]
    assert {is_ordered(number) for number in failing} == {True, False}


def test_cpu_of_a_process_is_that_of_its_threads_and_of_its_children():
    own = thread_seconds(os.getpid())
    assert own > 0
    before = cpu_seconds(os.getpid())
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    assert cpu_seconds(os.getpid()) - before >= 0.02
    assert cpu_seconds(2**22 + 1) == 0.0


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
    made.measurements += [
        Measurement("held", "arvo", "default", case, 1, values, series)
        for case, values in (("clean", {"rate": 100.0}), ("snapshot", {"rate": 99.0}))
    ]
    return made


def test_tables_and_charts_come_from_the_record_alone(tmp_path):
    path = tmp_path / "quick.json"
    recording().write(path)
    report.write(Recording.read(path), tmp_path / "RESULTS.md", tmp_path / "charts")
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| **arvo default** | 2,000 (1,000 … 3,000) |" in text
    assert "raw fast : no figure: <it> failed" in text
    assert "| pgque | not measured | not to be had |" in text
    assert "Parts of it; not run: drain2, " in text
    assert "not measured |" not in text.split("## Who takes part")[0]
    assert "](charts/drain-0.svg)" in text
    drawn = {path.name for path in (tmp_path / "charts").glob("*.svg")}
    assert drawn == {"drain-0.svg", "held-ours-rate.svg", "held-ours-dead.svg"}
    for name in drawn:
        assert ET.fromstring((tmp_path / "charts" / name).read_text()).tag.endswith("svg")


def test_the_long_run_has_a_place_of_its_own():
    results, charts = report.place("full")
    assert results.name == "RESULTS-full.md"
    assert charts.name == "full"
    assert report.place("quick") == (results.with_name("RESULTS.md"), charts.parent)


def test_each_floor_of_the_targets_is_measured_by_a_scenario(context):
    """A name that no cell has would leave the floor out without anybody noticing."""
    everybody = replace(context, environments=dict.fromkeys(("arvo", "raw")))
    made = recording()
    for name, scenario in SCENARIOS.items():
        for cell in scenario.cells(everybody):
            add(made, name, cell.peer, cell.configuration, cell.case, rate=1.0, p50=1.0, p99=1.0)
    floors = [target for target in targets.TARGETS if target.floor is not targets.nothing]
    assert len(floors) > 15
    assert all(target.floor(made) for target in floors)


def targets_of(given):
    return {row.split(" | ")[1]: row.split(" | ")[2:] for row in list(targets.table(given))[2:]}


def add(made, scenario, peer, configuration, case="", **values):
    made.measurements.append(Measurement(scenario, peer, configuration, case, 1, values))


def test_targets_are_judged_by_the_median_and_beside_the_best_peer():
    made = recording()
    rows = targets_of(made)
    drain = "drain, one process, concurrency 10"
    assert rows[drain] == ["≥ 30,000 events/s", "2,000", "-", "-", "-", "-", "**no** |"]
    beside = "the same beside the fastest peer as it is tuned"
    assert rows[beside][-1] == "not measured |"
    held = rows["rate under a held snapshot, beside clean"]
    assert held[1:] == ["0.99", "-", "-", "-", "-", "yes |"]

    add(made, "drain", "graphile", "default", rate=900.0)
    add(made, "drain", "graphile", "fast", rate=1000.0)
    add(made, "drain", "pgmq", "batch", rate=5000.0)  # another kind of handler
    add(made, "drain", "raw", "fast", rate=8000.0)  # a floor, no peer
    rows = targets_of(made)
    floor = ["8,000", "0.25"]
    assert rows[drain][1:] == ["2,000", "1,000 (graphile fast)", "2.00", *floor, "**no** |"]
    assert rows[beside] == ["≥ 1.20 times", "2.00 (graphile fast)", "-", "-", "-", "-", "yes |"]
    assert rows["drain with a handler of lists"][2] == "5,000 (pgmq batch)"


def test_a_target_for_which_less_is_better_is_met_from_below():
    made = recording()
    add(made, "latency", "arvo", "default", p50=2.5, p99=9.0)
    add(made, "latency", "awa", "default", p50=5.0, p99=30.0)
    rows = targets_of(made)
    idle = "idle, dispatch until the handler starts, p50"
    assert rows[idle] == ["≤ 2.5 ms", "2.5", "5.0 (awa default)", "0.50", "-", "-", "yes |"]
    assert rows["the same, p99"][-1] == "**no** |"


def test_flat_is_judged_by_its_worst_case_and_cpu_by_the_sum_of_both_sides():
    made = recording()
    for case, ratio in (("empty", 1.0), ("10 ready", 0.97), ("10 in history", 0.9)):
        add(made, "flat", "arvo", "default", case, ratio=ratio)
    add(made, "flat", "arvo", "default", "ordered, 10 busy keys", ratio=0.99)
    add(made, "drain", "arvo", "default", client_cpu=1.0, server_cpu=2.0)
    add(made, "drain", "awa", "fast", client_cpu=2.0, server_cpu=4.0)
    add(made, "drain", "pgmq", "fast", client_cpu=5.0, server_cpu=0.5)
    rows = targets_of(made)
    worst = (
        "claim + settle with much that waits, is deferred or is history, beside empty: the worst"
    )
    assert rows[worst][1] == "0.90 (10 in history)"
    assert rows["claim + settle with busy keys, beside an empty ordered queue"][1] == (
        "0.99 (ordered, 10 busy keys)"
    )
    assert rows["server and client CPU of draining, beside the best peer's"][1] == (
        "0.55 (pgmq fast)"
    )


def test_log_beyond_the_payload_is_compared_over_the_whole_life():
    made = recording()
    add(made, "life", "arvo", "default", beyond=250.0, payload=600.0)
    add(made, "enqueue", "awa", "fast", "batches of 1000", wal=1000.0)
    add(made, "drain", "awa", "fast", wal=700.0)
    row = targets_of(made)["WAL beyond the event itself, whole life, 100 at a time"]
    assert row == ["≤ 300 bytes", "250", "1,100 (awa fast)", "0.23", "-", "-", "yes |"]


def test_a_flow_is_told_by_buckets_and_what_failed_first_has_no_latency():
    sent = {number: 10.0 + number * 0.1 for number in range(20)}
    handled = {number: at + (1.0 if number == 10 else 0.01) for number, at in sent.items()}
    del handled[19]
    samples = [
        Sample(10.0, 1.0, 0, 10_000_000, 0, None),
        Sample(11.0, 1.5, 5, 11_000_000, 100, 30),
        Sample(12.0, 2.5, 9, 12_000_000, 300, 32),
    ]
    values, series = evaluate(sent, handled, samples, 10)
    assert values["missing"] == 1
    assert values["p99"] == pytest.approx(10.0)
    assert values["dead"] == 9
    assert [count for _, count in series["rate"]] == [10.0, 8.0]  # one at the very end
    assert series["p50"] == [(0.5, pytest.approx(10.0)), (1.5, pytest.approx(10.0))]
    assert series["buffers"] == [(0.5, 10.0), (1.5, 25.0)]
    assert series["claim"] == [(1.0, 30.0), (2.0, 32.0)]
    assert values["claim_end"] == 32.0


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


@pytest.fixture(scope="module")
def context():
    """A server with production durability, and ours."""
    with Server() as server:
        assert server.settings["fsync"] == "on"
        assert server.settings["synchronous_commit"] == "on"
        yield Context(server, {"arvo": install(PEERS["arvo"])}, replace(SMOKE, seconds=0.05))


def test_ours_can_be_drained_by_the_harness(context):
    values, _ = Drain().run(context, Cell("arvo", "default"))
    assert values["handled"] == context.mode.seconds * PEERS["arvo"].configurations[0].guess
    assert values["wal"] > 0
    assert json.dumps(values)
    again, _ = Drain().run(context, Cell("arvo", "default"))  # on a copy of the same template
    assert again["twice"] == 0
    assert len(context.templates) == 1


def test_what_a_driver_cannot_do_is_said_at_once(context, monkeypatch):
    worse = Configuration("worse", {"concurrency": 0}, "nothing", 1)
    ours = replace(PEERS["arvo"], configurations=(*PEERS["arvo"].configurations, worse))
    monkeypatch.setitem(PEERS, "arvo", ours)
    with pytest.raises(DriverError, match="concurrency"):
        Drain().run(context, Cell("arvo", "worse"))


def test_flat_measures_every_case_beside_the_empty_one_of_its_queue(context):
    sizes = replace(SMOKE, flat_rounds=1)
    found = {
        cell.case: values
        for cell, values, _ in Flat().measure(replace(context, mode=sizes), Cell("arvo", "default"))
    }
    assert list(found) == [case for case, _, _ in cases(SMOKE.flat)]
    assert found["empty"]["ratio"] == found["ordered, empty"]["ratio"] == 1.0
    assert all(values["cpu_ratio"] > 0 for values in found.values())


def test_the_log_of_a_whole_life_holds_the_event_once(context):
    values, _ = Life().run(context, Cell("arvo", "default"))
    assert values["payload"] > 500
    assert 0 < values["beyond"] < 2 * values["payload"]


def test_the_buffers_of_a_claim_are_taken_from_a_queue_of_its_own(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT arvo_v1.register_queue('com.bench.probe')")
        connection.execute("CREATE TEMP TABLE bench_probe (lease bigint, delivery bigint)")
        assert all(claim_buffers(connection) > 0 for _ in range(3))
        left = connection.execute(
            "SELECT queued_count + active_count FROM arvo_v1.queue_stats('com.bench.probe')"
        ).fetchone()
    assert left == (0,)


def test_a_profile_tells_of_calls_and_of_functions(context):
    calls = ["work 100", "memory cycle"]
    found = list(profile(context.server, calls, functions=True, scale=0.01))
    assert [one.call for one in found] == calls
    assert all(one.cpu > 0 and one.wal > 0 for one in found)
    assert "arvo_v1.work" in {spent.name for spent in found[0].functions}
    lines = list(profile_table(found))
    assert lines[2].startswith("| work 100 |")
    assert set(calls) <= set(CALLS)
