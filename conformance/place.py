"""Place: the database of one scenario, seen by its owner."""

from __future__ import annotations

import json
import secrets
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GROUPS = ("arvo_client", "arvo_worker", "arvo_operator", "arvo_monitor")

_ARGUMENTS = """
SELECT named.name, format_type(named.type, NULL)
FROM pg_proc, unnest(proargnames, proargtypes::oid[]) AS named (name, type)
WHERE pronamespace = 'arvo_v1'::regnamespace AND proname = %s
"""


@contextmanager
def login(dsn: str) -> Iterator[tuple[str, str]]:
    """Make a role that owns nothing and may call the contract; give its name and password."""
    name, password = f"conformance_{secrets.token_hex(6)}", secrets.token_hex(16)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                sql.Identifier(name),
                sql.Literal(password),
                sql.SQL(", ").join(map(sql.Identifier, GROUPS)),
            )
        )
    try:
        yield name, password
    finally:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


class Place:
    """A new, migrated database, and the owner's connections to it.

    Args:
        dsn: connection string of its owner, a superuser.
        user: name and password of a role that may call the contract; the client under test is it,
            unless the clock stands still, which only the owner's sessions see.
    """

    def __init__(self, dsn: str, user: tuple[str, str]) -> None:
        self._dsn = dsn
        self._user = user
        self._clock: datetime | None = None
        self._connection = psycopg.connect(dsn, autocommit=True, application_name="conformance")
        self._holder: psycopg.Connection[Any] | None = None
        self._connection.execute("CREATE TABLE public.conformance_note (note text NOT NULL)")
        self._connection.execute("GRANT SELECT, INSERT ON public.conformance_note TO PUBLIC")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self._connection.close()

    @property
    def clients_dsn(self) -> str:
        """How the client under test connects."""
        if self._clock is not None:
            return uri(self._dsn)
        name, password = self._user
        return uri(self._dsn, user=name, password=password)

    def stop_clock(self, moment: str) -> None:
        """Let time stand still, in this session and in all that are opened from now on."""
        self._set_clock(datetime.fromisoformat(moment))

    def advance(self, seconds: float) -> None:
        """Move the standing clock on.

        Raises:
            ValueError: the clock runs.
        """
        if self._clock is None:
            raise ValueError("the scenario has no clock of its own")
        self._set_clock(self._clock + timedelta(seconds=seconds))

    def terminate(self) -> int:
        """End all other connections to the database, as a restart would; give their number."""
        row = self._connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
        return int(row[0]) if row else 0

    def observe(self, function: str, given: Mapping[str, Any]) -> list[Any]:
        """Call a function of the contract as the owner, and give its rows."""
        return self._call(self._connection, function, given)

    def hold(self, function: str, given: Mapping[str, Any]) -> None:
        """Call it in a transaction that stays open, with its locks, until it is let go."""
        if self._holder is None:
            self._holder = psycopg.connect(self._dsn, application_name="conformance")
        self._call(self._holder, function, given)

    def let_go(self) -> None:
        """Roll back what is held."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None

    def notes(self) -> list[str]:
        """What the client has written down with its own SQL, in order."""
        rows = self._connection.execute("SELECT note FROM public.conformance_note ORDER BY note")
        return [note for (note,) in rows]

    def _set_clock(self, moment: datetime) -> None:
        self._clock = moment
        row = self._connection.execute("SELECT current_database()").fetchone()
        name = sql.Identifier(row[0] if row else "")
        text = sql.Literal(moment.isoformat())
        self._connection.execute(
            sql.SQL("ALTER DATABASE {} SET arvo.frozen_clock = {}").format(name, text)
        )
        self._connection.execute(sql.SQL("SET arvo.frozen_clock = {}").format(text))

    def _call(
        self, connection: psycopg.Connection[Any], function: str, given: Mapping[str, Any]
    ) -> list[Any]:
        kinds: dict[str, str] = dict(self._connection.execute(_ARGUMENTS, [function]).fetchall())
        arguments = [
            sql.SQL("{} => {}::{}").format(
                sql.Identifier(f"p_{name}"),
                sql.Literal(_text(value, kinds[f"p_{name}"])),
                sql.SQL(kinds[f"p_{name}"]),
            )
            for name, value in given.items()
        ]
        query = sql.SQL("SELECT to_jsonb(found) FROM {}({}) AS found").format(
            sql.Identifier("arvo_v1", function), sql.SQL(", ").join(arguments)
        )
        return [row for (row,) in connection.execute(query)]


def uri(dsn: str, **changes: str) -> str:
    """Give a connection string in the form that every language's driver reads."""
    parts = {**conninfo_to_dict(dsn), **changes}
    user, password, database = (
        quote(str(parts.pop(name, "")), safe="") for name in ("user", "password", "dbname")
    )
    known = f"{user}:{password}" if password else user
    return f"postgresql://{known}@/{database}?{urlencode(parts, quote_via=quote)}"


def _text(value: object, kind: str) -> object:
    if kind == "jsonb":
        return json.dumps(value)
    if kind == "interval" and isinstance(value, int | float):
        return f"{value} seconds"
    return value
