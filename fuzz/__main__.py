"""The command line: ``python -m fuzz --inputs 100000``."""

from __future__ import annotations

import argparse
import secrets
import sys

import psycopg
from psycopg.conninfo import make_conninfo

from arvo_plpg import embedded, schema
from fuzz.run import Run, Verdict

EPOCH = 10_000
"""Inputs on one database: afterwards a new one, with a seed of its own."""


def main() -> int:
    """Fuzz an embedded server; the status is 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    given = parser.parse_args()
    found: list[str] = []
    made = 0
    outcomes: Verdict = Verdict()

    shown = 0

    def tell(verdict: Verdict) -> None:
        nonlocal shown
        for fault in verdict.faults[shown:]:
            print(f"\n{fault}")
        shown = len(verdict.faults)
        done = made + verdict.inputs
        print(
            f"\r{done} of {given.inputs} inputs, {len(found) + len(verdict.faults)} faults",
            end="", flush=True,
        )  # fmt: skip

    with embedded.start(options=("fsync=off",)) as server:
        while made < given.inputs:
            name = f"fuzz_{made}"
            with psycopg.connect(server.uri, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}".encode())
            dsn = make_conninfo(server.uri, dbname=name)
            schema.migrate(dsn)
            verdict = Run(dsn, given.seed + made).go(min(EPOCH, given.inputs - made), tell)
            made += verdict.inputs
            shown = 0
            found += verdict.faults
            outcomes.outcomes.update(verdict.outcomes)
            outcomes.slowest = max(outcomes.slowest, verdict.slowest)
            with psycopg.connect(server.uri, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
    print()
    print("outcomes:", ", ".join(f"{n} {state}" for state, n in outcomes.outcomes.most_common()))
    seconds, slowest = outcomes.slowest
    print(f"slowest: {slowest}, {seconds:.2f} s")
    print(
        f"fuzz: {made} inputs, seed {given.seed}: "
        + (f"{len(found)} FAULTS" if found else "no fault")
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
