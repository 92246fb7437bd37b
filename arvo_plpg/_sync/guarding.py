# Pressed from _async/guarding.py by tools/unasync.py. Edit that file, not this one.
"""Guarding: who may do what with which queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.rows import QueueGrant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arvo_plpg._sync.session import Session


class Guarding:
    """Grants of the broker: operator functions."""

    _session: Session

    def grant_queue(self, queue: str, role: str, may: Sequence[str]) -> list[QueueGrant]:
        """Let a role do something with a queue; others that were not granted it no longer may.

        Args:
            queue: its name, or a beginning with a star.
            role: a role of the server; "public" opens again what was closed.
            may: of dispatch, consume, operate, read. The last shows payloads to monitors.

        Returns:
            What is in force for that name.

        Raises:
            QueueClosed: The caller may not operate these queues.
            InvalidArgument: An argument breaks its rule.
        """
        return self._session.rows(
            QueueGrant, "grant_queue", queue=queue, role=role, may=list(may)
        )

    def revoke_queue(self, queue: str, role: str, may: Sequence[str]) -> list[QueueGrant]:
        """Take back what a role may do with a queue. What was closed stays closed.

        Args:
            queue: as it was granted.
            role: as it was granted; "public" closes to everybody what nobody has been granted.
            may: of dispatch, consume, operate, read.

        Returns:
            What is in force for that name.

        Raises:
            QueueClosed: The caller may not operate these queues.
            InvalidArgument: An argument breaks its rule.
        """
        return self._session.rows(
            QueueGrant, "revoke_queue", queue=queue, role=role, may=list(may)
        )

    def queue_grants(self, queue: str | None = None) -> list[QueueGrant]:
        """What is closed to all but some roles: all of it, or what covers a queue."""
        return self._session.rows(QueueGrant, "queue_grants", queue=queue)
