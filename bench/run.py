"""Run: installs the peers, starts the server, and goes through the scenarios round by round."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psycopg

from bench.environment import CACHE, ROOT, Environment, NotInstallableError, install
from bench.peers import PEERS
from bench.pgbench import PgbenchError
from bench.process import machine
from bench.record import Measurement, Recording
from bench.scenarios import SCENARIOS
from bench.scenarios.scenario import Context
from bench.server import Server
from bench.session import DriverError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from bench.mode import Mode
    from bench.scenarios.scenario import Cell, Scenario


def run(
    mode: Mode, scenarios: Iterable[str], peers: Iterable[str], remark: str, path: Path
) -> Recording:
    """Measure, and keep what was measured after each scenario."""
    began = time.monotonic()
    CACHE.mkdir(parents=True, exist_ok=True)
    environments, absent = _install(peers)
    with Server() as server:
        recording = Recording(_about(mode, server, environments, absent, remark))
        context = Context(server, environments, mode)
        for name in scenarios:
            _measure(context, SCENARIOS[name], recording, began)
            recording.about["seconds"] = round(time.monotonic() - began)
            recording.write(path)
    return recording


def _install(peers: Iterable[str]) -> tuple[dict[str, Environment], dict[str, str]]:
    environments: dict[str, Environment] = {}
    absent: dict[str, str] = {}
    for name in peers:
        try:
            environments[name] = install(PEERS[name])
        except NotInstallableError as error:
            absent[name] = str(error)
            _say(f"{name:<14} is not measured: {error}")
        else:
            versions = ", ".join(f"{k} {v}" for k, v in environments[name].versions.items())
            _say(f"{name:<14} {versions}")
    return environments, absent


def _measure(context: Context, scenario: Scenario, recording: Recording, began: float) -> None:
    _say(f"\n{scenario.title}")
    cells = scenario.cells(context)
    rounds = scenario.rounds(context.mode)
    for number in range(1, rounds + 1):
        for cell in cells:
            for one in _once(context, scenario, cell, number):
                recording.measurements.append(one)
                figures = one.fault or "  ".join(
                    f"{column.heading} {one.values[column.name]:,.{column.digits}f}"
                    for column in scenario.columns
                    if column.name in one.values
                )
                what = f"{one.peer}/{one.configuration} {one.case}".strip()
                _say(f"{time.monotonic() - began:6.0f} s  {number}/{rounds}  {what:<44} {figures}")


def _once(context: Context, scenario: Scenario, cell: Cell, number: int) -> Iterator[Measurement]:
    try:
        for found, values, series in scenario.measure(context, cell):
            rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
            brief = {
                name: [(round(at, 2), float(f"{value:.5g}")) for at, value in points]
                for name, points in series.items()
            }
            yield Measurement(
                scenario.name,
                found.peer,
                found.configuration,
                found.case,
                number,
                values=rounded,
                series=brief,
            )
    except (DriverError, PgbenchError, psycopg.Error) as error:
        place = (scenario.name, cell.peer, cell.configuration, cell.case, number)
        yield Measurement(*place, fault=f"{error}".replace(str(ROOT), "."))


def _about(
    mode: Mode,
    server: Server,
    environments: dict[str, Environment],
    absent: dict[str, str],
    remark: str,
) -> dict[str, object]:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607  the git of whoever runs this
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "mode": mode.name,
        "made": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": done.stdout.strip() or "unknown",
        "remark": remark,
        "machine": machine() | {"python": sys.version.split()[0]},
        "server": server.settings,
        "versions": {name: environment.versions for name, environment in environments.items()},
        "absent": absent,
        "sizes": {
            "a drain lasts": f"{mode.seconds:g} s",
            "rounds of drain": str(mode.rounds),
            "rounds of the others": str(mode.fewer_rounds),
        },
    }


def _say(text: str) -> None:
    print(text, flush=True)
