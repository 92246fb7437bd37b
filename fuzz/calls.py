"""Calls: the functions of the contract as the catalogue has them, with arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fuzz import documents, texts

if TYPE_CHECKING:
    from random import Random

    import psycopg

    from fuzz.sense import Sense

_CATALOGUE = """
SELECT p.proname, p.proargnames,
       array(SELECT format_type(a, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS u (a, n)
             ORDER BY n),
       p.pronargdefaults
FROM pg_proc AS p
WHERE p.pronamespace = 'arvo_v1'::regnamespace
ORDER BY p.proname
"""


@dataclass(frozen=True)
class Function:
    """One function of the contract.

    Attributes:
        name: without its schema.
        arguments: names and types, in order.
        required: how many of them have no default.
    """

    name: str
    arguments: tuple[tuple[str, str], ...]
    required: int


@dataclass(frozen=True)
class Call:
    """One input.

    Attributes:
        function: what is called.
        arguments: names, types and the texts that are cast to them.
    """

    function: Function
    arguments: tuple[tuple[str, str, str | None], ...]

    @property
    def statement(self) -> str:
        """Its SQL, with a placeholder for each argument."""
        given = ", ".join(f"{name} => %s::{kind}" for name, kind, _ in self.arguments)
        return f"SELECT * FROM arvo_v1.{self.function.name}({given})"  # noqa: S608 - the catalogue's

    @property
    def values(self) -> list[str | None]:
        """The arguments."""
        return [value for _, _, value in self.arguments]

    def __str__(self) -> str:
        given = ", ".join(
            f"{name} => {value if value is None or len(value) < 200 else value[:200] + '…'!r}"
            for name, _, value in self.arguments
        )
        return f"{self.function.name}({given})"


def functions(connection: psycopg.Connection[Any]) -> list[Function]:
    """All functions of the contract.

    Args:
        connection: to a migrated database.
    """
    return [
        Function(name, tuple(zip(names or (), kinds, strict=False)), len(kinds) - defaults)
        for name, names, kinds, defaults in connection.execute(_CATALOGUE)
    ]


def argument(name: str, kind: str, sense: Sense, chance: Random, rate: float) -> str | None:
    """One argument: sensible, sensible with something wrong in it, or hostile altogether.

    Args:
        name: without its ``p_``.
        kind: its SQL type.
        sense: what makes sense.
        chance: where choices come from.
        rate: how likely it is hostile altogether.
    """
    hostile = chance.random() < rate
    if name == "within":  # a wait that was asked for is no session that hangs
        return chance.choice((None, "0", "0.05 seconds", "-1 second", "-178000000 years"))
    if kind == "jsonb":
        if hostile:
            value = documents.piece(chance)
        else:
            value = documents.mutated(sense.document(name), chance, chance.choice((0, 0.05, 0.2)))
        return documents.written(value, chance)
    if kind.endswith("[]"):
        element = kind.removesuffix("[]")
        if hostile:
            return texts.several(element, chance)
        known = [sense.scalar(name.removesuffix("s"), element) for _ in range(chance.randint(1, 3))]
        return texts.array(known)
    value = None if hostile else sense.scalar(name, kind)
    return texts.scalar(kind, chance) if value is None else value


def made(function: Function, sense: Sense, chance: Random) -> Call:
    """A call of a function with arguments of every kind.

    Args:
        function: what to call.
        sense: what makes sense.
        chance: where choices come from.
    """
    rate = chance.choice((0, 0.1, 0.5, 1))
    share = chance.choice((0.1, 0.3, 0.8))
    given = [
        (name, kind, argument(name.removeprefix("p_"), kind, sense, chance, rate))
        for number, (name, kind) in enumerate(function.arguments)
        if number < function.required or chance.random() < share
    ]
    return Call(function, tuple(given))
