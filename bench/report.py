"""Report: ``RESULTS.md`` and its charts, from recorded data alone."""

from __future__ import annotations

from os.path import relpath
from typing import TYPE_CHECKING, Any

from bench import targets
from bench.chart import Bar, Line, bars, lines
from bench.environment import ROOT
from bench.mode import LEASE_SECONDS, MODES
from bench.peers import PEERS
from bench.plans import inner_table
from bench.plans import table as plan_table
from bench.record import Measurement, Recording, Spread
from bench.scenarios import SCENARIOS
from bench.scenarios.held import SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.scenarios.scenario import Column, Scenario

_RESULTS = ROOT / "bench" / "RESULTS.md"
_CHARTS = ROOT / "bench" / "results"
_OVER_TIME = {
    "rate": ("Rate over time under a held snapshot", "events per second"),
    "p99": ("Latency p99 over time under a held snapshot", "milliseconds"),
    "cpu": ("Server CPU over time under a held snapshot", "seconds per 10 k events"),
    "claim": ("Buffers of one claim over time under a held snapshot", "pages"),
    "dead": ("Dead rows over time under a held snapshot", "rows, as the statistics know them"),
    "size": ("Size over time under a held snapshot", "MB of the database"),
}


def place(mode: str) -> tuple[Path, Path]:
    """Where a mode has its results and its charts: the long one has its own beside the others."""
    if mode == "full":
        return _RESULTS.with_stem("RESULTS-full"), _CHARTS / "full"
    return _RESULTS, _CHARTS


def write(recording: Recording, results: Path | None = None, charts: Path | None = None) -> None:
    """Draw the charts and write the tables, where :func:`place` says by default."""
    usual = place(recording.about["mode"])
    results, charts = results or usual[0], charts or usual[1]
    charts.mkdir(parents=True, exist_ok=True)
    for old in charts.glob("*.svg"):
        old.unlink()
    drawn = dict(_charts(recording))
    for name, picture in drawn.items():
        (charts / f"{name}.svg").write_text(picture)
    results.write_text(
        "\n".join(
            [
                *_head(recording),
                *_sections(recording, set(drawn), relpath(charts, results.parent)),
                "",
            ]
        )
    )


def _head(recording: Recording) -> Iterator[str]:
    about: dict[str, Any] = recording.about
    mode = MODES[about["mode"]]
    yield "# Results of long runs" if mode.name == "full" else "# Results"
    yield ""
    yield (
        f"Made by `make bench{'-full' if mode.name == 'full' else ''}` ({mode.name}) on "
        f"{about['made']} at commit `{about['commit']}`, in {about.get('seconds', 0):,} s. "
        "[README.md](README.md) says how to read this. Written by a program: do not edit."
    )
    left_out = [name for name in SCENARIOS if not any(recording.cells(name))]
    if left_out:
        yield ""
        yield f"Parts of it; not run: {', '.join(left_out)}."
    if about["remark"]:
        yield ""
        yield f"**{about['remark']}**"
    yield ""
    if mode.seconds <= LEASE_SECONDS:
        yield (
            f"Steady states marked *brief* last some {mode.seconds:g} s here, shorter than the "
            f"lease of {LEASE_SECONDS:g} s: they are blind to the search for expired leases. "
            "`Drain that outlasts a lease` is not, nor is what `make bench-full` measures."
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
    yield "## Targets"
    yield ""
    yield (
        "With the package's defaults and concurrency 10, unless the line says otherwise; made by "
        "`bench/targets.py` from the figures below. The best peer is the best in any of its "
        "configurations. The floor is what this machine lets anybody have: the bare minimum, done "
        "by `raw` or by pgbench. For rates more is better, for times and costs less."
    )
    yield ""
    unmeasured = "| not measured |" if left_out else "never"  # in parts, that goes without saying
    yield from (row for row in targets.table(recording) if not row.endswith(unmeasured))
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


def _sections(recording: Recording, drawn: set[str], charts: str) -> Iterator[str]:
    for scenario in SCENARIOS.values():
        cells = list(recording.cells(scenario.name))
        if not cells:
            continue
        mode = MODES[recording.about["mode"]]
        brief = scenario.steady and scenario.length(mode) <= LEASE_SECONDS
        yield ""
        yield f"## {scenario.title}"
        yield ""
        yield scenario.says + (" *Brief.*" if brief else "")
        yield ""
        for picture in sorted(drawn):
            if picture.split("-")[0] == scenario.name:
                yield f"![{scenario.title}]({charts}/{picture}.svg)"
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
        unit = next(one.heading for one in scenario.columns if one.name == scenario.chart)
        for number, (case, given) in enumerate(_bars(recording, scenario).items()):
            title = f"{scenario.title}: {case}" if case else scenario.title
            said = f"{unit}, with a line to {scenario.reach}" if scenario.reach else unit
            yield f"{scenario.name}-{number}", bars(title, said, given)
    yield from _held_charts(recording)
    memory = [
        Line(f"{configuration}, {name}", points)
        for (_, configuration, _), rounds in recording.cells("million")
        for name, points in rounds[0].series.items()
        if len(points) > 1
    ]
    if memory:
        yield "million-memory", lines("Memory of four workers", "MB", memory)


def _bars(recording: Recording, scenario: Scenario) -> dict[str, list[Bar]]:
    """The bars of each chart of a scenario, by what the chart is of."""
    charts: dict[str, list[Bar]] = {}
    for (peer, configuration, case), rounds in recording.cells(scenario.name):
        spread = Spread.of(rounds, scenario.chart)
        if spread is None or spread.middle <= 0:
            continue
        reach = Spread.of(rounds, scenario.reach) if scenario.reach else None
        bar = Bar(
            f"{peer} {case}" if scenario.one_chart and case else f"{peer} {configuration}",
            spread.middle,
            spread.middle if reach else spread.least,
            reach.middle if reach else spread.most,
            ours=peer == "arvo",
        )
        charts.setdefault("" if scenario.one_chart else case, []).append(bar)
    return charts


def _held_charts(recording: Recording) -> Iterator[tuple[str, str]]:
    """Ours in each way of holding; then everybody under a held snapshot."""
    cells = [(cell, rounds[0].series) for cell, rounds in recording.cells("held")]
    own = [(case, series) for (peer, _, case), series in cells if peer == "arvo"]
    everybody = [
        (f"{peer} {configuration}", series)
        for (peer, configuration, case), series in cells
        if case == SNAPSHOT
    ]
    for series, (title, unit) in _OVER_TIME.items():
        for mark, whose, chosen in (("ours", "ours", own), ("peers", "everybody", everybody)):
            given = [
                Line(label, known[series])
                for label, known in chosen
                if len(known.get(series, [])) > 1
            ]
            if len(given) > (mark == "peers"):
                yield f"held-{mark}-{series}", lines(f"{title}: {whose}", unit, given)


def _listed(facts: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())
