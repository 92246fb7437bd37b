"""Loaders: how the worker's own connection reads what each row of an answer has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from psycopg.adapt import Loader
from pydantic_core import from_json

if TYPE_CHECKING:
    from psycopg import AsyncConnection


_MOST_DIGITS = 4300


def _whole(digits: str) -> int | float:
    """Read a whole number. One that Python does not read is infinite: it must not stop a claim."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


class Unread(bytes):
    """JSON as the database sent it.

    Deliveries wait for their turn, and for their settlement: a text weighs little on the garbage
    collector meanwhile, and what is read from it is gone soon.
    """

    __slots__ = ()

    def read(self) -> Any:  # noqa: ANN401 - any JSON
        """Read it as :func:`json.loads` does, three times as fast."""
        try:
            return from_json(self)
        except ValueError:  # deeper than it goes, or a number of very many digits
            return json.loads(self, parse_int=_whole)


class _JsonbLoader(Loader):
    """Leaves ``jsonb`` unread."""

    load = staticmethod(Unread)  # type: ignore[assignment]  # no step in Python for each value


def read_quickly(connection: AsyncConnection[Any]) -> None:
    """Let a connection, which must be the worker's own, read its answers this way.

    Whatever is ``jsonb`` in them is an :class:`Unread` then.
    """
    connection.adapters.register_loader("jsonb", _JsonbLoader)
