"""Command line: ``python -m bench run|draw|plans|profile|peers``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from bench import plans, profile, report
from bench.environment import ROOT, NotInstallableError, install
from bench.mode import MODES, Sizes
from bench.peers import PEERS
from bench.record import Recording
from bench.run import run
from bench.scenarios import SCENARIOS
from bench.server import Server

RESULTS = ROOT / "bench" / "results"


def main() -> int:
    """Do what the command line says."""
    parser = _parser()
    options = parser.parse_args()
    if options.command == "run":
        return _run(options)
    if options.command == "draw":
        path = options.data or _newest()
        recording = Recording.read(path)
        report.write(recording)
        drawn, _ = report.place(recording.about["mode"])
        print(f"{drawn.relative_to(ROOT)} drawn from {path.name}")
        return 0
    if options.command == "plans":
        with Server() as server:
            found = _plans(server, options.sizes)
        print("\n".join(plans.table(found)))
        print()
        print("\n".join(plans.inner_table(found)))
        for line in plans.excess(found):
            print(f"not flat: {line}")
        return 0
    if options.command == "profile":
        calls = options.calls or list(profile.CALLS)
        if unknown := set(calls) - set(profile.CALLS):
            parser.error(f"not known: {', '.join(sorted(unknown))}")
        with Server(autovacuum="off") as server:  # whose log would be counted
            taken = profile.profile(server, calls, functions=options.functions, scale=options.scale)
            print("\n".join(profile.table(list(taken))))
        return 0
    return _peers()


def _run(options: argparse.Namespace) -> int:
    mode = MODES[options.mode]
    if options.sizes:
        mode = replace(mode, flat=Sizes(*4 * [tuple(options.sizes)]))
    path = options.data or RESULTS / f"{mode.name}.json"
    recording = run(mode, options.only, options.peers, options.remark, path)
    if "arvo" in options.peers and not options.no_plans:
        with Server() as server:
            recording.about["plans"] = plans.as_data(_plans(server, mode.plan_sizes))
        recording.write(path)
    if not options.no_report:
        report.write(recording)
    faults = sum(bool(one.fault) for one in recording.measurements)
    print(f"\n{len(recording.measurements)} measurements, {faults} without a figure; {path}")
    return 0


def _plans(server: Server, sizes: tuple[int, ...]) -> list[plans.Cost]:
    from arvo_plpg.schema import migrate  # noqa: PLC0415 - costly, and not for drawing

    with server.database() as database:
        migrate(database.dsn)
        return plans.measure(database.dsn, sizes)


def _peers() -> int:
    for name, peer in PEERS.items():
        try:
            versions = install(peer).versions
        except NotInstallableError as error:
            print(f"{name:<14} not installable: {error}")
        else:
            print(f"{name:<14} {', '.join(f'{k} {v}' for k, v in versions.items())}")
    return 0


def _newest() -> Path:
    found = sorted(RESULTS.glob("*.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        sys.exit("bench: nothing has been recorded; run `make bench`")
    return found[-1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("run", help="measure, record and draw")
    command.add_argument("--mode", choices=MODES, default="quick")
    command.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    command.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    command.add_argument("--remark", default="", help="a sentence for the top of the results")
    command.add_argument("--data", type=Path, help="where to record; bench/results/MODE.json")
    command.add_argument(
        "--sizes",
        nargs="+",
        type=int,
        help="of the scenario flat: so many ready, deferred, busy keys and in history, each alone",
    )
    command.add_argument("--no-plans", action="store_true", help="leave out the buffers")
    command.add_argument("--no-report", action="store_true", help="only record")
    command = commands.add_parser("draw", help="write tables and charts from recorded data")
    command.add_argument("data", nargs="?", type=Path, help="the newest of bench/results")
    command = commands.add_parser("plans", help="buffers of each call of the contract")
    command.add_argument("--sizes", nargs="+", type=int, default=(0, 10_000))
    command = commands.add_parser("profile", help="server CPU of each hot call and its functions")
    command.add_argument("calls", nargs="*", metavar="CALL", help=f"of {', '.join(profile.CALLS)}")
    command.add_argument("--functions", action="store_true", help="the time within each function")
    command.add_argument("--scale", type=float, default=1.0, help="of the number of events")
    commands.add_parser("peers", help="install every peer and tell its version")
    return parser


if __name__ == "__main__":
    sys.exit(main())
