"""Report: ``RESULTS.md`` and its charts, from recorded data alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.chart import Bar, Line, bars, lines
from bench.environment import ROOT
from bench.mode import LEASE_SECONDS, MODES
from bench.peers import PEERS
from bench.plans import inner_table
from bench.plans import table as plan_table
from bench.record import Measurement, Recording, Spread
from bench.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.scenarios.scenario import Column, Scenario

RESULTS = ROOT / "bench" / "RESULTS.md"
CHARTS = ROOT / "bench" / "results"
_HELD = {
    "rate": ("Rate while a snapshot is held", "events per second"),
    "p99": ("Latency p99 while a snapshot is held", "milliseconds"),
    "cpu": ("The server's work while a snapshot is held", "CPU seconds per 10 k events"),
    "dead": ("Dead rows while a snapshot is held", "rows, as the statistics know them"),
}


def write(recording: Recording, results: Path = RESULTS, charts: Path = CHARTS) -> None:
    """Draw the charts and write the tables."""
    charts.mkdir(parents=True, exist_ok=True)
    for old in charts.glob("*.svg"):
        old.unlink()
    drawn = dict(_charts(recording))
    for name, picture in drawn.items():
        (charts / f"{name}.svg").write_text(picture)
    results.write_text("\n".join([*_head(recording.about), *_sections(recording, set(drawn)), ""]))


def _head(about: dict[str, Any]) -> Iterator[str]:
    mode = MODES[about["mode"]]
    yield "# Results"
    yield ""
    yield (
        f"Made by `make bench{'-full' if mode.name == 'full' else ''}` ({mode.name}) on "
        f"{about['made']} at commit `{about['commit']}`, in {about.get('seconds', 0):,} s. "
        "[README.md](README.md) says how to read this. Written by a program: do not edit."
    )
    if about["remark"]:
        yield ""
        yield f"**{about['remark']}**"
    yield ""
    if mode.seconds <= LEASE_SECONDS:
        yield (
            f"Steady states last some {mode.seconds:g} s here, shorter than the lease of "
            f"{LEASE_SECONDS:g} s: what expired leases cost is seen by `make bench-full` only."
        )
        yield ""
    yield "Machine: " + _listed(about["machine"]) + "."
    yield ""
    yield "Server: " + _listed(about["server"]) + "."
    yield ""
    yield (
        "Figures are medians of the rounds, which are interleaved (A B C, A B C), with the least "
        "and the most where there are several. Each cell has a fresh database on the same server."
    )
    yield ""
    yield "## Who takes part"
    yield ""
    yield "| peer | versions | configurations | contract |"
    yield "|---|---|---|---|"
    for name, versions in about["versions"].items():
        peer = PEERS[name]
        shown = ", ".join(f"{package} {version}" for package, version in versions.items())
        says = "<br>".join(f"**{known.name}**: {known.says}" for known in peer.configurations)
        yield f"| {name} | {shown} | {says} | {peer.contract} |"
    for name, why in about["absent"].items():
        yield f"| {name} | not measured | {why} | {PEERS[name].contract} |"


def _sections(recording: Recording, drawn: set[str]) -> Iterator[str]:
    for scenario in SCENARIOS.values():
        cells = list(recording.cells(scenario.name))
        if not cells:
            continue
        yield ""
        yield f"## {scenario.title}"
        yield ""
        yield scenario.says
        yield ""
        for picture in sorted(drawn):
            if picture.split("-")[0] == scenario.name:
                yield f"![{scenario.title}](results/{picture}.svg)"
                yield ""
        yield from _table(scenario, cells)
    if plans := recording.about.get("plans"):
        yield ""
        yield "## Buffers of the contract's functions"
        yield ""
        yield (
            "EXPLAIN (ANALYZE, BUFFERS) of each call with so many events waiting, median of "
            "several; `bench/plans.py`."
        )
        yield ""
        yield from plan_table(plans)
        yield ""
        yield "<details><summary>The statements within, at the largest size</summary>"
        yield ""
        yield from inner_table(plans)
        yield ""
        yield "</details>"


def _table(
    scenario: Scenario, cells: list[tuple[tuple[str, str, str], list[Measurement]]]
) -> Iterator[str]:
    cases = any(case for (_, _, case), _ in cells)
    columns = [
        column
        for column in scenario.columns
        if any(column.name in one.values for _, rounds in cells for one in rounds)
    ]
    heads = ["peer", *(["case"] if cases else []), *(column.heading for column in columns)]
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * (len(heads) - len(columns)) + "---:|" * len(columns)
    for (peer, configuration, case), rounds in cells:
        name = f"{peer} {configuration}" if peer != "floor" else "floor"
        row = [f"**{name}**" if peer == "arvo" else name, *([case] if cases else [])]
        row += [_figure(column, rounds) for column in columns]
        faults = sorted({one.fault for one in rounds if one.fault})
        yield "| " + " | ".join(row) + " |" + (f" <!-- {len(faults)} faults -->" if faults else "")
    faulty = [(cell, one.fault) for cell, rounds in cells for one in rounds if one.fault]
    if faulty:
        yield ""
        for (peer, configuration, case), fault in faulty:
            yield f"- {peer} {configuration} {case}: no figure: {fault}".replace("  ", " ")


def _figure(column: Column, rounds: list[Measurement]) -> str:
    spread = Spread.of(rounds, column.name)
    if spread is None:
        return "-"
    middle = f"{spread.middle:,.{column.digits}f}"
    if spread.rounds == 1 or spread.least == spread.most:
        return middle
    return f"{middle} ({spread.least:,.{column.digits}f} … {spread.most:,.{column.digits}f})"


def _charts(recording: Recording) -> Iterator[tuple[str, str]]:
    for scenario in SCENARIOS.values():
        if not scenario.chart:
            continue
        column = next(known for known in scenario.columns if known.name == scenario.chart)
        by_case: dict[str, list[Bar]] = {}
        for (peer, configuration, case), rounds in recording.cells(scenario.name):
            spread = Spread.of(rounds, column.name)
            if spread is not None:
                bar = Bar(
                    f"{peer} {configuration}",
                    spread.middle,
                    spread.least,
                    spread.most,
                    ours=peer == "arvo",
                )
                by_case.setdefault(case, []).append(bar)
        for number, (case, given) in enumerate(by_case.items()):
            title = f"{scenario.title}: {case}" if case else scenario.title
            yield f"{scenario.name}-{number}", bars(title, column.heading, given)
    yield from _held_charts(recording)


def _held_charts(recording: Recording) -> Iterator[tuple[str, str]]:
    for series, (title, unit) in _HELD.items():
        given = [
            Line(f"{peer} {configuration} {case}", rounds[0].series[series])
            for (peer, configuration, case), rounds in recording.cells("held")
            if len(rounds[0].series.get(series, [])) > 1
        ]
        if given:
            yield f"held-{series}", lines(title, unit, given)


def _listed(facts: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
