"""Texts, numbers and times that break what trusts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

TEXTS = (
    "", " ", "'", '"', "''; DROP SCHEMA arvo CASCADE; --", "$$", "$1", "$dispatch$", "%",
    "%s %I %L",
    "*", "a*", "**", "\\", "\\x00", "\n", "\r\nERROR: forged", "\t", "\x1b[31mred\x1b[0m", "\x7f",
    "\x01\x02\x1f", "\u202e\u2066evil", "\ufeff", "é", "e\u0301", "😀", "\U0010ffff", "NULL",
    "null", "true", "-1", "0", "NaN", "Infinity", "1e400", "{}", "[]", "{1,2}",
    "(1,2)", "../../etc/passwd",
    "arvo.publish", "arvo.unroutable", "arvo.domain.x", "pg_catalog", "com.example.any", "a" * 512,
    "a" * 513, "." * 300, "(" * 2000, "x'y\"z", "<script>", "${jndi:ldap://x}", "now", "today",
    "-infinity", "infinity", "epoch", "UTC", "posixrules", "Europe/Berlin", "* * * * *",
    "0 0 30 2 *", "*/0 * * * *", "59-0 * * * *", "@reboot", "$.a", "$.** ? (@ > 1)", "strict $",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 7, 100, 9999, 10000, 10001, 32767, 32768, 2147483647, -2147483648, 2147483648,
    72057594037927935, 72057594037927936, 9223372036854775807, -9223372036854775808,
    9223372036854775808,
)  # fmt: skip
DOUBLES = (
    "0",
    "-0",
    "1",
    "-1",
    "0.001",
    "1e-300",
    "1e300",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
)
INTERVALS = (
    "0", "1 second", "-1 second", "1 microsecond", "30 seconds", "5 minutes", "1 day", "1 month",
    "-1 year", "3650 days", "3651 days", "178000000 years", "-178000000 years", "1e10 seconds",
    "2147483647 days", "-2147483648 days", "2147483647 months", "infinity", "-infinity", "", "NaN",
    "P1Y2M3DT4H5M6S", "1 fortnight", "9223372036854775807 microseconds", "24:00:00", "bogus",
)  # fmt: skip
TIMES = (
    "2030-01-01T00:00:00Z", "now", "infinity", "-infinity", "epoch", "4713-01-01 BC",
    "294276-12-31",
    "0001-01-01", "9999-12-31T23:59:60Z", "1899-12-31", "9900-01-01T00:00:01Z", "", "bogus",
    "2026-03-29T02:30:00 Europe/Berlin", "300000-01-01",
)  # fmt: skip
PATHS = (
    "$", "$.data.n", "strict $.missing", "$.** ? (@ > 1)", '$.data[*] ? (@ like_regex "(a+)+$")',
    "$.data.n / 0", "strict $.data.n.double()", "$.a.datetime()", "$x", "1 == 1", "", '$."', "$[",
    "$.**{0 to last}", "$.data.keyvalue()", "-$.subject", '$.type like_regex "^com"',
)  # fmt: skip


def text(chance: Random) -> str:
    """A text that may break what trusts it; up to a megabyte, most of them short."""
    kind = chance.random()
    if kind < 0.8:
        return chance.choice(TEXTS)
    if kind < 0.97:
        # No NUL and no half surrogates: the protocol cannot carry them.
        return "".join(
            chr(chance.choice((chance.randint(1, 127), chance.randint(160, 0xD7FF))))
            for _ in range(chance.randint(1, 60))
        )
    return chance.choice(("x", "'", "é", "\n", "a.", "%")) * chance.choice((1_000, 70_000, 500_000))


def scalar(kind: str, chance: Random) -> str | None:
    """A hostile value of an SQL type, as the text that is cast to it.

    Args:
        kind: name of the type.
        chance: where choices come from.
    """
    if chance.random() < 0.06:
        return None
    if kind in {"integer", "bigint", "smallint"}:
        return str(chance.choice((*NUMBERS, chance.randint(-20, 20), "bogus", "1.5")))
    choices = {
        "double precision": DOUBLES,
        "numeric": DOUBLES,
        "interval": INTERVALS,
        "timestamp with time zone": TIMES,
        "jsonpath": PATHS,
        "boolean": ("true", "false", "", "2"),
    }
    return chance.choice(choices[kind]) if kind in choices else text(chance)


def array(items: list[str | None]) -> str:
    """The text of an array of PostgreSQL."""
    quoted = [
        "NULL" if item is None else '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for item in items
    ]
    return "{" + ",".join(quoted) + "}"


def several(kind: str, chance: Random) -> str | None:
    """A hostile array of an SQL type: empty, long, with NULLs, nested, or no array at all."""
    way = chance.random()
    if way < 0.05:
        return None
    if way < 0.1:
        return chance.choice(("{", "{{1},{2}}", "[5:6]={1,2}", "{NULL}", "{}", "x", '{"a","b}'))
    length = chance.choice((0, 1, 1, 2, 2, 3, 20, 600)) if way < 0.99 else 20_000
    items = [scalar(kind, chance) for _ in range(min(length, 30))]
    # Long or many: both together would be gigabytes, of which the server knows nothing yet.
    if length > len(items):
        items = [item and item[:100] for item in items] * (length // len(items))
    return array(items)
