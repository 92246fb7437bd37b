"""Prove that docs/parity.md has every row, and that each row names tests which exist.

    tools/parity.py check

A row of a table begins with its number: 1 to 58 for features, W-B1 to W-B29 and W-M1 to W-M20 for
weaknesses; or, in the list of what is not there, with "of" and the number of its row. The last cell
names tests, each between backticks, by their paths below tests/:

    python/client/test_broker.py::test_dispatch_joins_the_callers_transaction    a test of pytest
    sql/arvo_v1/settle.sql: settled twice: already              an assertion, by its description
    sql/arvo_v1/settle.sql                                      all assertions of a pgTAP file
    sql/isolation/specs/settle_vs_expiry.spec                   an isolation spec
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "parity.md"
TESTS = ROOT / "tests"
NUMBERS = (
    *(str(number) for number in range(1, 59)),
    *(f"W-B{number}" for number in range(1, 30)),
    *(f"W-M{number}" for number in range(1, 21)),
)

_NUMBER = re.compile(r"(?:of )?(?:[0-9]+|W-[A-Z][0-9]+)\Z")
_CELLS = re.compile(r"(?<!\\)\|")
_REFERENCE = re.compile(r"`([^`]+)`")
_TARGETS = {"match", "beat", "match, beat"}
_FEATURE = 5  # columns: number, feature, target, how it is here, tests
_OTHER = 4  # number, weakness, how it is here, tests; or "of" number, what, why, tests


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        line: where it stands in the document.
        number: its first cell: its number, or "of" and a number.
        cells: the others, as they stand.
    """

    line: int
    number: str
    cells: tuple[str, ...]

    @property
    def references(self) -> list[str]:
        """The tests that it names."""
        last = self.cells[-1].replace("\\|", "|") if self.cells else ""
        return _REFERENCE.findall(last)


def read_rows(text: str) -> list[Row]:
    """Return the rows of all tables of a document that begin with a number."""
    rows = []
    for line, written in enumerate(text.splitlines(), start=1):
        if not written.startswith("|"):
            continue
        first, *others = (cell.strip() for cell in _CELLS.split(written.strip().strip("|")))
        if _NUMBER.match(first):
            rows.append(Row(line, first, tuple(others)))
    return rows


def faults(text: str, tests: Path, numbers: Iterable[str] = NUMBERS) -> list[str]:
    """Return what is wrong with a document.

    Args:
        text: the document.
        tests: the directory that references begin in.
        numbers: those that must be there, each once.
    """
    rows = read_rows(text)
    written = [row.number for row in rows if not row.number.startswith("of ")]
    expected = list(numbers)
    found = [f"{number}: is missing" for number in expected if number not in written]
    found += [
        f"{number}: is there {written.count(number)} times"
        for number in dict.fromkeys(written)
        if written.count(number) > 1
    ]
    found += [
        f"{row.number}: is no row" for row in rows if row.number.removeprefix("of ") not in expected
    ]
    for row in rows:
        found += [f"{row.number}, line {row.line}: {fault}" for fault in _row_faults(row, tests)]
    return found


def _row_faults(row: Row, tests: Path) -> Iterator[str]:
    columns = _FEATURE if row.number.isdigit() else _OTHER
    if len(row.cells) + 1 != columns:
        yield f"has {len(row.cells) + 1} cells, not {columns}"
        return
    if not all(row.cells):
        yield "has an empty cell"
    if columns == _FEATURE and row.cells[1] not in _TARGETS:
        yield f"its target is {row.cells[1]!r}, not one of: {'; '.join(sorted(_TARGETS))}"
    if not row.references:
        yield "names no test"
    for reference in row.references:
        if row.references.count(reference) > 1:
            yield f"names a test twice: {reference}"
        if (fault := reference_fault(reference, tests)) is not None:
            yield f"{fault}: {reference}"


def reference_fault(reference: str, tests: Path) -> str | None:
    """Return what is wrong with a reference; None if that test exists.

    A test that is always skipped, or expected to fail, shows nothing.
    """
    if "::" in reference:
        name, _, test = reference.partition("::")
        path = tests / name
        if path.suffix != ".py" or not path.is_file():
            return "there is no such file of pytest"
        return _pytest_fault(_defined(path), test)
    name, _, description = reference.partition(": ")
    path = tests / name
    if path.suffix not in {".sql", ".spec"} or not path.is_file():
        return "there is no such file"
    if not description:
        return None if _is_proved(path) else "that file is no test"
    if path.suffix != ".sql":
        return "a spec has no descriptions"
    quoted = description.replace("'", "''")
    return None if f"'{quoted}'" in _text(path) else "that file has no such description"


def _pytest_fault(defined: dict[str, bool], test: str) -> str | None:
    plain = test.partition("[")[0]
    if not plain.rpartition("::")[2].startswith("test_") or plain not in defined:
        return "that file has no such test"
    return None if defined[plain] else "that test does not run"


def _is_proved(path: Path) -> bool:
    text = _text(path)
    if path.suffix == ".spec":
        return "\npermutation " in text and path.parent.name == "specs"
    return "SELECT plan(" in text and "finish()" in text


@cache
def _text(path: Path) -> str:
    return path.read_text()


@cache
def _defined(path: Path) -> dict[str, bool]:
    """Return the functions of a module, and whether each is run; those of classes as C::f."""
    defined: dict[str, bool] = {}
    for node in ast.parse(_text(path)).body:
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    defined[f"{node.name}::{inner.name}"] = _runs(node) and _runs(inner)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            defined[node.name] = _runs(node)
    return defined


def _runs(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    marks = [ast.unparse(decorator).partition("(")[0] for decorator in node.decorator_list]
    return not {"pytest.mark.skip", "pytest.mark.xfail", "pytest.fixture"} & set(marks)


def main(words: list[str]) -> int:
    """Check, and print what is wrong."""
    if words != ["check"]:
        print("usage: tools/parity.py check", file=sys.stderr)
        return 2
    text = DOCUMENT.read_text()
    found = faults(text, TESTS)
    for fault in found:
        print(f"{DOCUMENT.relative_to(ROOT)}: {fault}")
    rows = read_rows(text)
    if not found:
        named = {reference for row in rows for reference in row.references}
        print(f"parity: {len(rows)} rows, {len(named)} tests")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
