"""Terms: what all parts of a worker know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arvo_plpg.runtime.log_fields import Logger
    from arvo_plpg.telemetry.observer import Observer


@dataclass(slots=True)
class Terms:
    """They hold for as long as the worker lives; the logger may be another one from some time on.

    Attributes:
        dsn: the database.
        schema: name of the installation.
        name: what leases are signed with.
        lease: seconds until a worker that has gone silent loses its deliveries.
        prepare_threshold: as in psycopg: after how many calls a statement is prepared.
        logger: where to report.
        observer: who is told what is measured.
    """

    dsn: str
    schema: str
    name: str
    lease: float
    prepare_threshold: int | None
    logger: Logger
    observer: Observer
