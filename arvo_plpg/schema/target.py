"""Where to connect, and how to say so without the password."""

from __future__ import annotations

import os
import re
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from arvo_plpg.errors import DatabaseUnreachable, MigrationFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg.abc import Params

CONNECT_TIMEOUT = 10
"""Seconds until a server that does not answer is given up, unless the DSN says otherwise."""

_DRIVER = re.compile(r"^(?:postgres(?:ql)?\+[a-z0-9]+|postgres)://")


class QuietCursor(psycopg.Cursor[Any]):
    """A cursor that hides that there are rows, so that yoyo does not print them."""

    @property
    def description(self) -> None:
        """Always None; rows can still be fetched."""
        return


@dataclass(frozen=True, slots=True)
class Target:
    """One database.

    Args:
        conninfo: A libpq connection string without driver names; not shown by ``repr``.
    """

    conninfo: str = field(repr=False)

    @classmethod
    def parse(cls, dsn: str) -> Target:
        """Read a DSN: a URI (also with a driver, ``postgresql+psycopg://``) or ``key=value``.

        Raises:
            DatabaseUnreachable: It cannot be read. The message does not repeat it: what
                cannot be read may be a password.
        """
        given = None
        # Raised outside of it: libpq's error repeats the string, and would be this one's context.
        with suppress(psycopg.ProgrammingError):
            given = conninfo_to_dict(_DRIVER.sub("postgresql://", dsn))
        if given is None:
            raise _unreadable()
        return cls.of(given)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Target:
        """Take the parts of a connection string.

        Raises:
            DatabaseUnreachable: One of them is unknown.
        """
        parts = dict(given)
        if "connect_timeout" not in parts and "PGCONNECT_TIMEOUT" not in os.environ:
            parts["connect_timeout"] = CONNECT_TIMEOUT
        with suppress(psycopg.ProgrammingError):
            return cls(make_conninfo("", **parts))
        raise _unreadable()

    def connect(self, purpose: str) -> psycopg.Connection[Any]:
        """Open a connection in autocommit mode.

        Args:
            purpose: What it is for; seen in ``pg_stat_activity.application_name``.

        Raises:
            DatabaseUnreachable: No answer, no such database, or not let in.
        """
        try:
            return psycopg.connect(
                self.conninfo, autocommit=True, fallback_application_name=purpose
            )
        except psycopg.Error as error:
            reason = self.scrub(str(error)).strip()
        raise DatabaseUnreachable(
            "cannot connect to the database",
            detail=reason,
            hint="Check the DSN, that the server runs, and that it lets this user in.",
        ) from None

    @contextmanager
    def session(self, purpose: str) -> Iterator[psycopg.Connection[Any]]:
        """Hold a connection for a block, and explain what breaks in it.

        Args:
            purpose: As for ``connect``.

        Raises:
            DatabaseUnreachable: No connection, or it broke.
            MigrationFailed: The server refused a statement that is not a migration's.
        """
        with closing(self.connect(purpose)) as conn:
            try:
                yield conn
            except psycopg.Error as error:
                reason = f"{self.scrub(str(error)).strip()} (SQLSTATE {error.sqlstate})"
                broken = conn.closed or isinstance(error, psycopg.OperationalError)
                kind = DatabaseUnreachable if broken else MigrationFailed
                raise kind(
                    "the connection broke" if broken else "the server refused a statement",
                    detail=reason,
                    hint="Nothing is half done; run again.",
                ) from error

    def scrub(self, text: str) -> str:
        """Return the text without the password of this target."""
        password = conninfo_to_dict(self.conninfo).get("password")
        return text.replace(str(password), "***") if password else text


def _unreadable() -> DatabaseUnreachable:
    return DatabaseUnreachable(
        "the connection string cannot be read",
        hint="Write postgresql://user:password@host:5432/database; "
        "special characters in it must be percent-encoded.",
    )


def fetch_value(conn: psycopg.Connection[Any], query: str, params: Params | None = None) -> Any:  # noqa: ANN401
    """Return the first column of the first row; None when there is no row."""
    row = conn.execute(query, params).fetchone()
    return row[0] if row else None
