"""A mutant: one function of the installation with one thing wrong in it, and why that is wrong."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "mutants"
FUNCTIONS = ROOT / "sql" / "functions"
TRAPS = range(1, 20)
KINDS = {
    "comparison",
    "missing predicate",
    "missing lock",
    "wrong order",
    "boundary",
    "missing step",
}


class MutantError(Exception):
    """A mutant is not what it should be: its text is rotten, or its entry is."""


@dataclass(frozen=True)
class Mutant:
    """One entry of tests/mutants/*.toml.

    Attributes:
        name: Words with hyphens; no other mutant has it.
        why: What goes wrong with it.
        kind: One of KINDS.
        function: Schema and name of the function.
        old: Text of the function's file, there exactly once.
        new: What stands there instead.
        sql: Instead of function, old and new: a statement that does the harm in another way.
        trap: Number of the trap that it puts back; see tests/python/engine/test_traps.py.
        scenario: Key of that trap's scenario there, which then must fail.
        machine: A state machine that must notice it: queue, grouping, crowd, or gated and a queue.
        tests: Those that should notice first: files, specs, or names for pytest.
        equivalent: Why nothing can notice it; then it does not count.
        survives: Why nothing notices it although something could; then it counts against the suite.
    """

    name: str
    why: str
    kind: str
    function: str = ""
    old: str = ""
    new: str = ""
    sql: str = ""
    trap: int = 0
    scenario: str = ""
    machine: str = ""
    tests: tuple[str, ...] = ()
    equivalent: str = ""
    survives: str = ""

    @property
    def path(self) -> Path:
        """The function's file."""
        return FUNCTIONS.joinpath(*self.function.split(".")).with_suffix(".sql")

    def statement(self) -> str:
        """The function's file with the fault in it.

        Raises:
            MutantError: The text is not there, or not once.
        """
        if self.sql:
            return self.sql
        text = self.path.read_text() if self.path.exists() else ""
        if text.count(self.old) != 1:
            raise MutantError(
                f"{self.name}: its text is there {text.count(self.old)} times, not once,"
                f" in {self.path.relative_to(ROOT)}"
            )
        return text.replace(self.old, self.new)


def load(folder: Path = FOLDER) -> list[Mutant]:
    """All mutants of a folder, in the order of files and entries.

    Args:
        folder: Where the .toml files are.

    Raises:
        MutantError: An entry lacks something, or has too much.
    """
    entries = [
        entry
        for path in sorted(folder.glob("*.toml"))
        for entry in tomllib.loads(path.read_text())["mutant"]
    ]
    found = [_read(entry) for entry in entries]
    names = [mutant.name for mutant in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MutantError(f"two mutants have one name: {', '.join(twice)}")
    return found


def rotten(mutants: Iterable[Mutant]) -> list[str]:
    """What is wrong with mutants whose functions or tests have moved on."""
    faults = []
    for mutant in mutants:
        try:
            mutant.statement()
        except MutantError as error:
            faults.append(str(error))
        faults += [
            f"{mutant.name}: there is no {test}"
            for test in mutant.tests
            if not (ROOT / test.partition("::")[0]).exists()
        ]
    return faults


def _read(entry: dict[str, object]) -> Mutant:
    name = entry.get("name", "?")
    known = {field.name for field in fields(Mutant)}
    unknown = sorted(entry.keys() - known)
    wanted = {"name", "why", "kind"} | ({"sql"} if "sql" in entry else {"function", "old", "new"})
    missing = sorted(wanted - entry.keys())
    if unknown or missing:
        raise MutantError(f"{name}: unknown {unknown}, missing {missing}")
    mutant = Mutant(**{**entry, "tests": tuple(entry.get("tests", ()))})  # type: ignore[arg-type]
    if mutant.kind not in KINDS:
        raise MutantError(f"{name}: kind is one of {', '.join(sorted(KINDS))}")
    if mutant.equivalent and mutant.survives:
        raise MutantError(f"{name}: it is equivalent or it survives, not both")
    return mutant
