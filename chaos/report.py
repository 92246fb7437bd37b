"""Report: RESULTS.md, from what the matrix and the soak have found."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.process import machine
from chaos.fault import FAULTS
from chaos.matrix import STEPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.matrix import Result
    from chaos.soak import Outcome

HERE: Final = Path(__file__).resolve().parent
RESULTS: Final = HERE / "RESULTS.md"
_KEPT: Final = HERE / "results"
_HEAD = """# What the faults have found

Written by `make crash-matrix` and `make chaos`; see
[docs/reliability.md](../docs/reliability.md).
"""


def keep_matrix(results: Sequence[Result], seed: int, seconds: float) -> None:
    """Keep the results of a matrix, and write the report."""
    cells = [
        {
            "step": result.cell.step.name,
            "fault": result.cell.fault.name,
            "passed": result.passed,
            "skipped": result.skipped,
            "trouble": result.trouble,
            "seconds": round(result.seconds, 1),
            "figures": dict(result.verdict.figures) if result.verdict else {},
            "forgotten": result.verdict.forgotten if result.verdict else 0,
            "violations": [str(one) for one in result.verdict.violations] if result.verdict else [],
        }
        for result in results
    ]
    _keep("matrix", {"seed": seed, "seconds": round(seconds), "cells": cells})


def keep_soak(outcome: Outcome) -> None:
    """Keep the outcome of a soak, and write the report."""
    verdict = outcome.verdict
    blows = [
        {
            "fault": blow.name,
            "before": round(blow.before, 1),
            "recovered": None if blow.recovered is None else round(blow.recovered, 1),
            "delay": round(blow.delay, 1),
        }
        for blow in outcome.blows
    ]
    _keep(
        "soak",
        {
            "line": str(outcome),
            "seed": outcome.seed,
            "minutes": outcome.minutes,
            "deadlocks": outcome.deadlocks,
            "blows": blows,
            "figures": dict(verdict.figures) if verdict else {},
        },
    )


def _keep(name: str, told: dict[str, Any]) -> None:
    about = machine() | {"date": time.strftime("%Y-%m-%d")}
    _KEPT.mkdir(exist_ok=True)
    text = json.dumps({"about": about, **told}, indent=1) + "\n"
    (_KEPT / f"{name}.json").write_text(text)
    parts = [_HEAD]
    for part, draw in (("matrix", _matrix), ("soak", _soak)):
        path = _KEPT / f"{part}.json"
        if path.exists():
            parts.append(draw(json.loads(path.read_text())))
    RESULTS.write_text("\n".join(parts))


def _about(told: Mapping[str, Any]) -> str:
    about = told["about"]
    return (
        f"{about['date']}, {about['cpu']}, {about['cores']} cores, load "
        f"{about['load when started']} at the end. Seed {told['seed']}."
    )


def _matrix(told: Mapping[str, Any]) -> str:
    cells = {(cell["fault"], cell["step"]): cell for cell in told["cells"]}
    tried = [cell for cell in told["cells"] if not cell["skipped"]]
    passed = [cell for cell in tried if cell["passed"]]
    events = sum(cell["figures"].get("events", 0) for cell in tried)
    lines = [
        "## Crash matrix",
        "",
        (
            f"{len(passed)} of {len(tried)} cells kept everything, {events} events, in "
            f"{told['seconds'] / 60:.0f} minutes. {_about(told)}"
        ),
        "",
        (
            "Seconds from the fault until every event had its final outcome (leases of 1 s). With "
            "`r`: runs for nothing, of something that ran again. With `f`: committed events that "
            "an asynchronous failover has forgotten."
        ),
        "",
        "| | " + " | ".join(step.name for step in STEPS) + " |",
        "|---|" + "---|" * len(STEPS),
    ]
    for fault in FAULTS:
        row = [_cell(cells.get((fault.name, step.name))) for step in STEPS]
        lines.append(f"| {fault.name} | " + " | ".join(row) + " |")
    lines += [
        f"- **{cell['fault']} / {cell['step']}**: {cell['trouble'] or cell['violations'][:3]}"
        for cell in tried
        if not cell["passed"]
    ]
    return "\n".join(lines) + "\n"


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "-"
    if cell["skipped"]:
        return "skipped"
    if not cell["passed"]:
        return "**BROKEN**"
    again, forgotten = cell["figures"].get("runs for nothing", 0), cell["forgotten"]
    more = (f", {again} r" if again else "") + (f", {forgotten} f" if forgotten else "")
    return f"{cell['seconds']:.1f}{more}"


def _soak(told: Mapping[str, Any]) -> str:
    names = sorted({blow["fault"] for blow in told["blows"]})
    lines = [
        "## Soak",
        "",
        f"    {told['line']}",
        "",
        _about(told),
        "",
        (
            "Seconds from the end of the fault until the rate of the last two seconds was 95 % of "
            "what it had been in the six before the fault; `-`: not within 30 s. Delay: the "
            "longest time from a commit to the beginning of its handler, during and after it."
        ),
        "",
        "| fault | times | seconds | longest delay |",
        "|---|---|---|---|",
    ]
    for name in names:
        waits = [blow["recovered"] for blow in told["blows"] if blow["fault"] == name]
        shown = ", ".join("-" if wait is None else f"{wait:.1f}" for wait in waits)
        delay = max(blow["delay"] for blow in told["blows"] if blow["fault"] == name)
        lines.append(f"| {name} | {len(waits)} | {shown} | {delay:.1f} s |")
    return "\n".join(lines) + "\n"
