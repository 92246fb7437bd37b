"""Advice: settings of a server that are worth changing, each with the reason and the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg


@dataclass(frozen=True, slots=True)
class Advice:
    """One setting that is worth changing.

    Args:
        setting: its name.
        level: ``warning``: events may be lost, or calls refused; ``notice``: it could be better.
        value: what it is, with its unit.
        detail: why that matters.
        remedy: what to run.
    """

    setting: str
    level: Literal["notice", "warning"]
    value: str
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class _Rule:
    setting: str
    level: Literal["notice", "warning"]
    is_poor: Callable[[str], bool]
    detail: str
    better: str
    restart: bool = False
    database: bool = False


def _off(value: str) -> bool:
    return value == "off"


_MEGABYTE = 1 << 20
_RULES = (
    _Rule("fsync", "warning", _off, "A crash of the machine can destroy the database.", "on"),
    _Rule(
        "full_page_writes",
        "warning",
        _off,
        "A crash of the machine can destroy the database.",
        "on",
    ),
    _Rule(
        "synchronous_commit",
        "warning",
        _off,
        "A crash loses what was acknowledged in the last moments; workers save that wait by "
        "themselves where nothing can be lost.",
        "on",
    ),
    _Rule(
        "default_transaction_isolation",
        "warning",
        lambda value: value != "read committed",
        "Claims, settlements and operators' calls are refused (RV005).",
        "read committed",
        database=True,
    ),
    _Rule(
        "default_transaction_read_only",
        "warning",
        lambda value: value == "on",
        "Nothing can be dispatched.",
        "off",
        database=True,
    ),
    _Rule("autovacuum", "warning", _off, "What is deleted is never cleared away.", "on"),
    _Rule("track_counts", "warning", _off, "Autovacuum does not work without it.", "on"),
    _Rule(
        "idle_in_transaction_session_timeout",
        "notice",
        lambda value: value == "0",
        "A session that forgets its transaction keeps history from being emptied, and what it "
        "dispatched from being claimed, for ever.",
        "10min",
        database=True,
    ),
    _Rule(
        "shared_buffers",
        "notice",
        lambda value: int(value) * 8192 < 128 * _MEGABYTE,
        "The ends of log and lease do not stay in memory beside other tables.",
        "1GB",
        restart=True,
    ),
    _Rule(
        "max_wal_size",
        "notice",
        lambda value: int(value) < 1024,  # noqa: PLR2004 - of megabytes
        "Checkpoints come often, and after each one pages are written to the log whole.",
        "4GB",
    ),
    _Rule(
        "checkpoint_timeout",
        "notice",
        lambda value: int(value) < 300,  # noqa: PLR2004 - of seconds
        "Checkpoints come often, and after each one pages are written to the log whole.",
        "15min",
    ),
    _Rule(
        "track_activities",
        "notice",
        _off,
        "health() cannot see how old snapshots are.",
        "on",
    ),
)


def advise(connection: psycopg.Connection[Any]) -> list[Advice]:
    """Return what is worth changing, warnings first. Reads only.

    Args:
        connection: of any user who may connect; one in autocommit or in a transaction.
    """
    names = [rule.setting for rule in _RULES]
    found = connection.execute(
        "SELECT name, setting, pg_catalog.current_setting(name)"
        " FROM pg_catalog.pg_settings WHERE name = ANY (%s)",
        [names],
    ).fetchall()
    values = {name: (raw, shown) for name, raw, shown in found}
    told = [
        Advice(rule.setting, rule.level, values[rule.setting][1], rule.detail, _remedy(rule))
        for rule in _RULES
        if rule.setting in values and rule.is_poor(values[rule.setting][0])
    ]
    told += _connections(connection)
    return sorted(told, key=lambda advice: advice.level != "warning")


def _remedy(rule: _Rule) -> str:
    if rule.database:
        return f"ALTER DATABASE … SET {rule.setting} = '{rule.better}';"
    then = "then restart the server" if rule.restart else "SELECT pg_reload_conf();"
    return f"ALTER SYSTEM SET {rule.setting} = '{rule.better}'; {then}"


def _connections(connection: psycopg.Connection[Any]) -> list[Advice]:
    row = connection.execute(
        "SELECT count(*), pg_catalog.current_setting('max_connections')::integer"
        " FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'"
    ).fetchone()
    if row is None or row[0] < 0.8 * row[1]:
        return []
    return [
        Advice(
            "max_connections",
            "warning",
            str(row[1]),
            f"{row[0]} connections are in use; soon nobody is let in.",
            "Use fewer or smaller pools, or a pooler such as PgBouncer, before more connections.",
        )
    ]
