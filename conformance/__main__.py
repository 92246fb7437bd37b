"""Command line: ``python -m conformance [--only PART] [--dsn DSN] -- COMMAND …``."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
import time
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from conformance.client import Client, Misbehaved
from conformance.place import Place, login
from conformance.play import Failed, play
from conformance.scenario import scenarios

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> int:
    """Play the scenarios with a client, and say which failed."""
    options = _parser().parse_args()
    chosen = [one for one in scenarios() if options.only in one.name]
    if options.list:
        print("\n".join(f"{one.name:<36} {one.why}" for one in chosen))
        return 0
    if not options.command or not chosen:
        print("conformance: no command after --, or no such scenario", file=sys.stderr)
        return 2
    failed = 0
    with _server(options.dsn) as dsn, _template(dsn) as template, login(dsn) as user:
        client = Client(options.command)
        try:
            for scenario in chosen:
                began = time.monotonic()
                try:
                    with _database(dsn, template) as own, Place(own, user) as place:
                        play(client, scenario, place)
                        client.ask("disconnect")
                except (Failed, Misbehaved) as error:
                    failed += 1
                    print(f"not ok  {scenario.name}\n        {error}")
                    client.close()
                    client = Client(options.command)
                else:
                    print(f"ok      {scenario.name} ({time.monotonic() - began:.2f} s)")
        finally:
            client.close()
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


@contextlib.contextmanager
def _server(dsn: str | None) -> Iterator[str]:
    if dsn is not None:
        yield dsn
        return
    from arvo_plpg import embedded  # noqa: PLC0415 - only if there is none

    with embedded.start() as server:
        yield server.uri


@contextlib.contextmanager
def _template(dsn: str) -> Iterator[str]:
    from arvo_plpg.schema import migrate  # noqa: PLC0415 - slow to import

    with _database(dsn, "template0") as own:
        migrate(own)
        yield str(conninfo_to_dict(own)["dbname"])


@contextlib.contextmanager
def _database(dsn: str, template: str) -> Iterator[str]:
    name = f"conformance_{secrets.token_hex(6)}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        try:
            yield make_conninfo(dsn, dbname=name)
        finally:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument("--only", default="", help="scenarios whose names contain this")
    parser.add_argument("--dsn", help="a server where databases may be made; else an embedded one")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("command", nargs="*", help="how to start the client under test")
    return parser


if __name__ == "__main__":
    sys.exit(main())
