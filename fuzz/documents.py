"""JSON that breaks what trusts it: written out by hand, because json.dumps cannot be made to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fuzz import texts

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True)
class Raw:
    """A piece of JSON text that stands as it is."""

    text: str


PIECES = tuple(
    Raw(piece)
    for piece in (
        "null", "true", "0", "-0", "1e400", "-1e400", "1e131071", "1e131072", "1e-16383",
        "0.1e-20000",
        "123456789012345678901234567890", "9223372036854775808", "-9223372036854775809", "1.5",
        "1E2",
        "2147483648", r'"\u0000"', r'"\ud800"', r'"\udc00x"', r'"\ud83d\ude00"',
        r'"a\nb\tc\u001b[0m"',
        '""', '" "', '{"a": 1, "a": 2}', "{}", "[]", "[[]]", "[null]", '{"": null}',
        r'{"\u0000": 1}',
        "NaN", "Infinity", "'x'", "{", "[1,", '"\x01"', "", '{"__proto__": {}}', '{"$where": "1"}',
        '"2030-02-30T25:61:61Z"', '"infinity"', '"-1 second"', '"NaN"', "[1, 2, 3]", "[{}]",
    )
)  # fmt: skip


def piece(chance: Random) -> object:
    """One hostile value; one in some hundred is deep, wide or large."""
    way = chance.random()
    if way < 0.6:
        return chance.choice(PIECES)
    if way < 0.85:
        return texts.text(chance)
    if way < 0.97:
        return chance.choice((*texts.NUMBERS, 0.1, True, None))
    return chance.choice((
        lambda: Raw("[" * chance.choice((50, 900, 30_000))),
        lambda: nested(chance.choice((50, 900, 6_000, 30_000)), "[", "]"),
        lambda: nested(chance.choice((50, 900, 5_000)), '{"a":', "}"),
        lambda: list(range(chance.choice((1_000, 20_000)))),
        lambda: {f"k{n}": n for n in range(chance.choice((300, 5_000)))},
        lambda: Raw("[" + ",".join(["1e131071"] * chance.choice((3, 90))) + "]"),
        lambda: Raw("[" + ",".join(["{}"] * chance.choice((500, 10_002))) + "]"),
        lambda: "x" * chance.choice((70_000, 1_048_000, 1_100_000)),
    ))()  # fmt: skip


def nested(depth: int, opened: str, closed: str) -> Raw:
    """A value within a value, so often."""
    return Raw(opened * depth + "1" + closed * depth)


def mutated(value: object, chance: Random, rate: float = 0.12) -> object:
    """The same document with pieces replaced, left out, doubled or added."""
    if chance.random() < rate / 3:
        return piece(chance)
    if isinstance(value, dict):
        changed = {}
        for key, member in value.items():
            if chance.random() >= rate / 2:
                changed[key] = (
                    piece(chance) if chance.random() < rate else mutated(member, chance, rate)
                )
        if chance.random() < rate:
            changed[texts.text(chance)] = piece(chance)
        return changed
    if isinstance(value, list):
        items = [mutated(item, chance, rate) for item in value]
        return items + items[:1] if chance.random() < rate else items
    return piece(chance) if chance.random() < rate / 2 else value


def written(value: object, chance: Random) -> str:
    """The text of a document. Now and then a key stands there twice."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        members = [f"{json.dumps(key)}: {written(item, chance)}" for key, item in value.items()]
        if members and chance.random() < 0.02:
            members.append(chance.choice(members))
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(item, chance) for item in value) + "]"
    return json.dumps(value, ensure_ascii=chance.random() < 0.5)
