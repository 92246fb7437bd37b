"""Command line: ``python -m chaos soak|matrix|check``."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chaos import checker, history, report
from chaos.matrix import Cell, cells, run
from chaos.soak import soak
from chaos.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0 if everything was kept."""
    options = _parser().parse_args(arguments)
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    if options.command == "check":
        return _check(options.directory)
    if options.command == "matrix":
        return _matrix(_chosen(options.only), seed, options.keep, write=not options.only)
    print(f"seed {seed}: repeat this choice of faults with --seed {seed}")
    outcome = soak(options.minutes, seed, options.keep)
    print()
    if outcome.verdict is not None:
        print("\n".join(outcome.verdict.details()))
    if not options.no_report:
        report.keep_soak(outcome)
    print(outcome)
    return 0 if outcome.passed else 1


def _chosen(only: Sequence[str]) -> list[Cell]:
    return [cell for cell in cells() if not only or any(words in str(cell) for words in only)]


def _matrix(chosen: Sequence[Cell], seed: int, keep: Path | None, *, write: bool) -> int:
    began = time.monotonic()
    results = []
    for result in run(chosen, seed, keep):
        results.append(result)
        print(f"{len(results)}/{len(chosen)} {result}", flush=True)
        if result.verdict is not None:
            for line in result.verdict.details():
                print(f"    {line}", flush=True)
    skipped = sum(bool(result.skipped) for result in results)
    failed = sum(not result.passed and not result.skipped for result in results)
    if write:
        report.keep_matrix(results, seed, time.monotonic() - began)
    print(
        f"{'FAILED' if failed else 'PASSED'}: seed {seed}, {len(results) - failed - skipped} of "
        f"{len(results)} cells kept everything, {failed} did not, {skipped} were skipped"
    )
    return 1 if failed else 0


def _check(directory: Path) -> int:
    """Judge again what was kept."""
    tables = Tables.from_dict(json.loads((directory / "tables.json").read_text()))
    verdict = checker.check(history.read(sorted(directory.glob("*.jsonl"))), tables)
    print("\n".join(verdict.details()))
    print(verdict)
    return 0 if verdict.kept else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("--seed", type=int, help="of all choices; a random one by default")
    every.add_argument("--keep", type=Path, help="a directory for logs and tables")
    command = commands.add_parser("soak", parents=[every], help="everything at once, for minutes")
    command.add_argument("--minutes", type=float, default=3.0)
    command.add_argument("--no-report", action="store_true", help="leave RESULTS.md as it is")
    command = commands.add_parser("matrix", parents=[every], help="every fault at every step")
    command.add_argument("--only", nargs="+", default=(), help="cells whose names contain this")
    command = commands.add_parser("check", parents=[every], help="judge what was kept once more")
    command.add_argument("directory", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
