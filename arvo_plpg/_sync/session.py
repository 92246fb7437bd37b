# Pressed from _async/session.py by tools/unasync.py. Edit that file, not this one.
"""Session: a borrowed connection and a version of the contract; calls its functions."""

from __future__ import annotations

from dataclasses import fields
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import class_row, scalar_row

from arvo_plpg._call import MIGRATED, MOST_TRIES, call
from arvo_plpg.errors import translate
from arvo_plpg.flush import flush

if TYPE_CHECKING:
    from collections import abc
    from collections.abc import Hashable, Mapping

    from psycopg import Connection
    from psycopg.abc import Params
    from psycopg.rows import RowFactory

Row = TypeVar("Row")

_OPEN = {TransactionStatus.INTRANS, TransactionStatus.INERROR}


@cache
def _columns(row: Any) -> tuple[str, ...]:  # noqa: ANN401 - a dataclass or a named tuple
    if issubclass(row, tuple):
        columns: tuple[str, ...] = row._fields
        return columns
    return tuple(field.name for field in fields(row))


@cache
def _factory(row: Any) -> RowFactory[Any]:  # noqa: ANN401 - a dataclass or a named tuple
    if issubclass(row, tuple):
        # As its _make, but in one step; the columns come in the order of its fields.
        make = partial(tuple.__new__, row)
        return lambda _: make
    return class_row(row)


class Session:
    """Calls the functions of one contract on a connection that somebody else owns.

    It never opens, commits or closes: a call joins the transaction that the connection is in.

    Args:
        connection: an open connection.
        version: version of the contract.
        schema: name of the installation.
    """

    def __init__(
        self, connection: Connection[Any], *, version: int = 1, schema: str = "arvo"
    ) -> None:
        self.connection = connection
        self._schema = f"{schema}_v{version}"

    def rows(self, row: type[Row], function: str, **given: object) -> list[Row]:
        """Call a function and give its rows. An argument that is None is left to its default.

        Raises:
            ArvoError: what the function raised, as the class of its SQLSTATE.
            psycopg.Error: anything else that went wrong with the database.
        """
        columns = _columns(cast("Hashable", row))
        factory = _factory(cast("Hashable", row))
        found: list[Row] = self._fetch(factory, columns, function, given)
        return found

    def row(self, row: type[Row], function: str, **given: object) -> Row | None:
        """Call a function and give its first row, None if there is none."""
        found = self.rows(row, function, **given)
        return found[0] if found else None

    def one(self, row: type[Row], function: str, **given: object) -> Row:
        """Call a function that always answers one row."""
        (found,) = self.rows(row, function, **given)
        return found

    def scalar(self, function: str, **given: object) -> Any:  # noqa: ANN401 - as declared in SQL
        """Call a function that answers one value."""
        (value,) = self.values(function, **given)
        return value

    def values(self, function: str, **given: object) -> list[Any]:
        """Call a function that answers a set of single values."""
        return self._fetch(scalar_row, (), function, given)

    def stream(
        self,
        row: type[Row],
        function: str,
        calls: abc.Iterable[Mapping[str, object]],
        *,
        alone: bool,
    ) -> abc.Iterator[list[Row]]:
        """Call a function again and again and give the rows of each call.

        While the server works on a call, and commits it, the arguments of the next are made. What
        was under way when something went wrong is answered all the same.

        Args:
            row: the class of its rows.
            function: its name.
            calls: the arguments of each call, the same ones each time.
            alone: whether each call is a transaction of its own. psycopg sends the end of one in a
                pipeline only when it waits for the answer too; an explicit one ends at once.

        Raises:
            ArvoError: what the function raised, as the class of its SQLSTATE.
            psycopg.Error: anything else that went wrong with the database.
        """
        columns = _columns(cast("Hashable", row))
        factory = _factory(cast("Hashable", row))
        under_way = False
        try:
            with (
                self.connection.pipeline() as pipeline,
                self.connection.cursor(row_factory=factory) as cursor,
            ):
                try:
                    for given in calls:
                        if under_way:
                            under_way = False
                            pipeline.sync()
                            yield cursor.fetchall()
                        query = call(self._schema, function, tuple(given), columns)
                        if alone:
                            self.connection.execute("BEGIN")
                        cursor.execute(query, cast("Params", given))
                        if alone:
                            self.connection.execute("COMMIT")
                        self.connection.wait(flush(self.connection.pgconn))
                        under_way = True
                finally:
                    if under_way:
                        pipeline.sync()
                        yield cursor.fetchall()
        except (psycopg.Error, UnicodeEncodeError) as error:
            raise translate(error) from error
        finally:
            if alone and self.connection.info.transaction_status in _OPEN:
                self.connection.rollback()

    def _fetch(
        self,
        factory: RowFactory[Any],
        columns: tuple[str, ...],
        function: str,
        given: Mapping[str, object],
    ) -> list[Any]:
        arguments = {name: value for name, value in given.items() if value is not None}
        query = call(self._schema, function, tuple(arguments), columns)
        tries = 0
        while True:
            alone = self.connection.info.transaction_status == TransactionStatus.IDLE
            tries += 1
            try:
                with self.connection.cursor(row_factory=factory) as cursor:
                    cursor.execute(query, cast("Params", arguments))
                    return cursor.fetchall()
            except MIGRATED as error:
                # In a transaction of the caller's that is lost, and he must begin again.
                if tries == MOST_TRIES or not (alone and self.connection.autocommit):
                    raise translate(error) from error
            except (psycopg.Error, UnicodeEncodeError) as error:
                raise translate(error) from error
