"""import_v1: take over the memory of the TypeScript package, version 1, while it goes on.

The package keeps states, locks and the tree of workflows in three tables, which are only read. Run
it as often as you like: what is there already is left alone, and what went on since the last run is
taken again, unless it has gone on here as well. See ``docs/import.md``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from arvo_plpg.errors import InvalidArgument
from arvo_plpg.schema.handshake import ABSENT, about_query, judge, offer
from arvo_plpg.schema.seed_tables import SeedTables
from arvo_plpg.schema.target import Target
from arvo_plpg.sync import Memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from arvo_plpg.rows import Imported

Locked = Literal["refuse", "carry", "ignore"]
MOST_PER_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A workflow that was not taken.

    Attributes:
        subject: the workflow, None when its row names none.
        code: ``locked``, ``diverged``, ``busy``, ``foreign``, ``subject``, ``data``, ``version``,
            ``time`` or ``row``.
        detail: the same with its facts.
    """

    subject: str | None
    code: str
    detail: str


@dataclass(slots=True)
class ImportReport:
    """What a run did, or would do.

    Attributes:
        dry_run: whether nothing was stored.
        read: subjects that were read.
        taken: states taken for the first time.
        updated: states that had gone on since they were taken.
        placed: subjects without a state, of which the place in a tree or the lock was taken.
        present: states that are here already.
        refused: subjects that were not taken.
        reasons: how many were refused, by code.
        refusals: the first of them.
    """

    dry_run: bool
    read: int = 0
    taken: int = 0
    updated: int = 0
    placed: int = 0
    present: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)

    def add(self, row: Imported, most: int) -> None:
        """Count one row; keep the first ``most`` refusals."""
        self.read += 1
        setattr(self, row.outcome, getattr(self, row.outcome) + 1)
        if row.outcome == "refused":
            self.reasons[row.code or ""] += 1
            if len(self.refusals) < most:
                self.refusals.append(Refusal(row.subject, row.code or "", row.detail or ""))

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "reasons": dict(self.reasons),
            "refusals": [
                {"subject": one.subject, "code": one.code, "detail": one.detail}
                for one in self.refusals
            ],
        }


def import_v1(
    dsn: str,
    *,
    from_dsn: str | None = None,
    tables: SeedTables | None = None,
    schema: str = "arvo",
    locked: Locked = "refuse",
    dry_run: bool = False,
    batch: int = 200,
    most_refusals: int = 100,
    progress: Callable[[ImportReport], None] | None = None,
    sql_root: Path | None = None,
) -> ImportReport:
    """Take over states, tree and, if wished, locks from the TypeScript package's tables.

    Each batch is one transaction: after an interruption, run it again.

    Args:
        dsn: the database that takes them; the user needs the role of an operator.
        from_dsn: the database they are in; None: the same.
        tables: what they are called.
        schema: name of the installation that takes them.
        locked: what to do with a workflow that somebody there has locked: ``refuse`` it, take it
            and ``carry`` the lock, or ``ignore`` the lock.
        dry_run: whether to say only what would be done.
        batch: subjects per transaction.
        most_refusals: how many refusals the report lists; it counts all of them.
        progress: called after each batch.
        sql_root: where the migrations are; None: those of this package.

    Raises:
        DatabaseUnreachable: one of the databases does not answer.
        SchemaMissing: the tables, or the installation, are not there.
        InvalidArgument: ``batch`` is not between 1 and 10000.
    """
    if not 1 <= batch <= MOST_PER_BATCH:
        raise InvalidArgument(
            "argument is not valid",
            detail=f"batch: {batch}",
            hint=f"Use 1 to {MOST_PER_BATCH}.",
            field="batch",
        )
    tables = tables or SeedTables()
    report = ImportReport(dry_run)
    with (
        Target.parse(dsn).session("arvo-plpg import-v1") as here,
        Target.parse(from_dsn or dsn).session("arvo-plpg import-v1 reading") as there,
    ):
        try:
            row = here.execute(about_query(schema)).fetchone()
        except ABSENT:
            row = None
        judge(row, offer(sql_root))
        tables.check(there)
        memory = Memory(here, schema=schema)
        for page in tables.pages(there, batch):
            for done in memory.import_states(page, locked, dry_run=dry_run):
                report.add(done, most_refusals)
            if progress is not None:
                progress(report)
    return report
