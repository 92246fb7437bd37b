"""Which functions of the contract touch the same rows, and where that is tried.

    python tools/meetings.py                 the rooms of each function, and the table of pairs
    python tools/meetings.py claim settle    where these two meet

Read from the text of the functions: what each one changes or locks, and all that it calls. Pairs
that tests/sql/isolation/meetings.toml does not explain are a failure of tests/python/rig.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ROOT / "sql" / "functions"
TABLE = ROOT / "tests" / "sql" / "isolation" / "meetings.toml"
BODY = re.compile(r"AS \$(?P<tag>\w+)\$(?P<body>.*?)\$(?P=tag)\$;", re.DOTALL)
CALL = re.compile(r"\b(arvo(?:_v1)?)\.(\w+)\s*\(")
CHANGE = re.compile(
    r"(?:INSERT INTO|UPDATE|DELETE FROM|TRUNCATE|LOCK TABLE)\s+((?:arvo\.\w+(?:,\s*)?)+)"
)
ROW_LOCK = re.compile(r"FOR (?:NO KEY )?(?:UPDATE|SHARE)\b")
SOURCE = re.compile(r"FROM arvo\.(\w+)(?![\w(])")
LOCKS = {
    "lane lock": r"advisory_xact_lock\(\s*hashtext\('arvo'\)",
    "lease lock": r"advisory_xact_lock\(\s*arvo\.lease_key\(",
    "subject lock": r"advisory_xact_lock\(\s*arvo\.lock_key\(",
}
Pair = tuple[str, str]


def rooms_of(body: str) -> set[str]:
    """The tables that a function's own text changes or locks rows of, and its advisory locks."""
    found = {
        re.sub(r"_\d$", "", name)
        for names in CHANGE.findall(body)
        for name in re.findall(r"arvo\.(\w+)", names)
    }
    for lock in ROW_LOCK.finditer(body):
        found |= set(SOURCE.findall(body, 0, lock.start())[-1:])
    return found | {name for name, pattern in LOCKS.items() if re.search(pattern, body)}


@dataclass(frozen=True)
class House:
    """All functions, by schema and name.

    Attributes:
        bodies: Their texts, without comments.
        gates: Functions by which all come to a room: what is done there counts for none of them.
    """

    bodies: dict[str, str]
    gates: frozenset[str]

    @cached_property
    def calls(self) -> dict[str, set[str]]:
        """What each one calls."""
        return {
            name: {f"{schema}.{called}" for schema, called in CALL.findall(body)}
            & (self.bodies.keys() - self.gates - {name})
            for name, body in self.bodies.items()
        }

    def rooms(self, function: str) -> set[str]:
        """Where a function of the contract goes, by itself or by what it calls."""
        met, ahead = set[str](), [f"arvo_v1.{function}"]
        while ahead:
            name = ahead.pop()
            if name not in met:
                met.add(name)
                ahead += self.calls[name]
        return set[str]().union(*(rooms_of(self.bodies[name]) for name in met))

    @property
    def contract(self) -> list[str]:
        """The names of the contract."""
        return sorted(name[8:] for name in self.bodies if name.startswith("arvo_v1."))


def read_house(gates: Iterable[str], functions: Path = FUNCTIONS) -> House:
    """Read all function files.

    Args:
        gates: See House.
        functions: Where they are.
    """
    bodies = {}
    for path in sorted(functions.glob("arvo*/*.sql")):
        text = BODY.search(path.read_text())
        bodies[f"{path.parent.name}.{path.stem}"] = re.sub(
            r"--.*", "", text["body"] if text else ""
        )
    return House(bodies, frozenset(gates))


def pairs(rooms: dict[str, set[str]]) -> dict[Pair, set[str]]:
    """Each two functions that meet, also one with itself, and the rooms that they share.

    Args:
        rooms: By function, the rooms that matter.
    """
    return {
        (one, other): rooms[one] & rooms[other]
        for one, other in combinations_with_replacement(sorted(rooms), 2)
        if rooms[one] & rooms[other]
    }


@dataclass(frozen=True)
class Table:
    """tests/sql/isolation/meetings.toml.

    Attributes:
        rooms: Rooms in which no pair needs a spec of its own, and why.
        gates: Functions of which the same is true, and why.
        kin: Functions that do what others do, and which.
        meetings: By pair, the specs and tests that try it.
        reasons: By pair, why it needs none, or where else it is tried.
    """

    rooms: dict[str, str]
    gates: dict[str, str]
    kin: dict[str, list[str]]
    meetings: dict[Pair, list[str]]
    reasons: dict[Pair, str]


def read_table(path: Path = TABLE) -> Table:
    """Read the table.

    Args:
        path: Where it is.
    """
    text = tomllib.loads(path.read_text())
    meetings: dict[Pair, list[str]] = {}
    reasons: dict[Pair, str] = {}
    for entry in text["meeting"]:
        for one in entry["of"]:
            for other in entry["with"]:
                pair = (min(one, other), max(one, other))
                meetings.setdefault(pair, []).extend(entry.get("specs", []))
                if "because" in entry:
                    reasons[pair] = entry["because"]
    return Table(text["rooms"], text["gates"], text["kin"], meetings, reasons)


def meetings(table: Table, functions: Path = FUNCTIONS) -> dict[Pair, set[str]]:
    """The pairs that the text of the functions makes, kin left out.

    Args:
        table: What is known of rooms, gates and kin.
        functions: Where the function files are.
    """
    house = read_house(table.gates, functions)
    rooms = {
        name: house.rooms(name) - table.rooms.keys()
        for name in house.contract
        if name not in table.kin
    }
    return pairs({name: found for name, found in rooms.items() if found})


def main() -> int:
    """Print what is known."""
    table = read_table()
    met = meetings(table)
    asked = sys.argv[1:]
    for pair, rooms in met.items():
        if set(asked) <= set(pair):
            tried = ", ".join(table.meetings.get(pair, [])) or table.reasons.get(pair, "NOT TRIED")
            print(f"{' and '.join(pair)}: {', '.join(sorted(rooms))}\n    {tried}")
    untried = met.keys() - {pair for pair in met if pair in table.meetings}
    print(f"meetings: {len(met)} pairs, {len(untried)} unexplained")
    return 1 if untried else 0


if __name__ == "__main__":
    sys.exit(main())
