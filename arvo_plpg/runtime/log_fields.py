"""Log fields: what a record tells of a delivery beside its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from typing import Any, TypeAlias

    from arvo_plpg.runtime.delivery import Delivery

    Logger: TypeAlias = logging.Logger | logging.LoggerAdapter[Any]

FIELDS = ("event_id", "subject", "queue", "attempt", "outcome", "code")
"""Names of the fields that records may have."""
_LONGEST = 512


def shown(text: str) -> str:
    """Give a text of others on one line, without control characters, and not too long."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return cut if cut.isprintable() else ascii(cut)[1:-1]


def log_fields(delivery: Delivery) -> dict[str, object]:
    """Give the fields of a record that tells of a delivery, for ``extra``."""
    return {
        "event_id": shown(delivery.event_id),
        "subject": shown(delivery.subject),
        "queue": shown(delivery.queue),
        "attempt": delivery.attempt,
    }
