"""Which migrations a run will take: a decision about lists, without a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.errors import DataLossRefused, MigrationOrder, SqlTreeBroken

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from arvo_plpg.schema.tree import Migration


def forward(
    migrations: Sequence[Migration],
    applied: Collection[int],
    *,
    after: bool = False,
    to: int | None = None,
) -> list[Migration]:
    """Return what to apply, in order.

    Args:
        migrations: All that this package ships.
        applied: Numbers that the database has.
        after: Also those that may only run once the last old client is gone.
        to: Number of the last one to apply; None for all.

    Raises:
        MigrationOrder: A function is sealed by a pending ``after`` migration that would be
            passed over, and again by a later one that would run: the database would end up
            with the older text.
        SqlTreeBroken: There is no migration of that number.
    """
    _check_number(migrations, to)
    within = [m for m in migrations if to is None or m.number <= to]
    pending = [m for m in within if m.number not in applied]
    todo = [m for m in pending if after or m.phase == "before"]
    for held in pending:
        for migration in todo:
            shared = held.functions & migration.functions
            if held not in todo and held.number < migration.number and shared:
                raise MigrationOrder(
                    "a pending 'after' migration must run first",
                    detail=f"{held.id} and the later {migration.id} both define "
                    + ", ".join(sorted(shared)),
                    hint="Retire the clients of the release before, then migrate with --after.",
                )
    return todo


def backward(
    migrations: Sequence[Migration],
    applied: Collection[int],
    *,
    to: int,
    yes_lose_data: bool = False,
) -> list[Migration]:
    """Return what to undo, newest first.

    Args:
        migrations: All that this package ships.
        applied: Numbers that the database has.
        to: Number to go back to; 0 undoes everything.
        yes_lose_data: Agree to what the undo files say they lose.

    Raises:
        DataLossRefused: Some lose data and that was not agreed to.
        SqlTreeBroken: There is no migration of that number.
    """
    _check_number(migrations, to or None)
    undo = [m for m in reversed(migrations) if m.number in applied and m.number > to]
    losing = [f"{m.id} loses {m.loses}" for m in undo if m.loses]
    if losing and not yes_lose_data:
        raise DataLossRefused(
            "rolling back would lose data",
            detail="\n".join(losing),
            hint="Take a backup, then say --yes-lose-data (make rollback: YES=1).",
        )
    return undo


def _check_number(migrations: Sequence[Migration], number: int | None) -> None:
    if number is not None and number not in {m.number for m in migrations}:
        raise SqlTreeBroken(
            "there is no such migration",
            detail=f"number {number:04d}",
            hint=f"Numbers go from 0001 to {migrations[-1].number:04d}.",
        )
