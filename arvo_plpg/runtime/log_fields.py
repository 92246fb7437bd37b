"""Log fields: what a record tells of a delivery beside its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.plain import plain

if TYPE_CHECKING:
    import logging
    from typing import Any, TypeAlias

    from arvo_plpg.runtime.delivery import Delivery

    Logger: TypeAlias = logging.Logger | logging.LoggerAdapter[Any]

FIELDS = ("event_id", "subject", "queue", "attempt", "outcome", "code")
"""Names of the fields that records may have."""
LONGEST = 512
"""Characters of a text of others that a field shows."""


def log_fields(delivery: Delivery) -> dict[str, object]:
    """Give the fields of a record that tells of a delivery, for ``extra``."""
    return {
        "event_id": plain(delivery.event_id, LONGEST),
        "subject": plain(delivery.subject, LONGEST),
        "queue": plain(delivery.queue, LONGEST),
        "attempt": delivery.attempt,
    }
