"""Memory: one method per function of the contract that keeps the state of workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from arvo_plpg._async.session import Session
from arvo_plpg.jsonb import as_jsonb
from arvo_plpg.rows import Imported, Kin, Lock, LockedState, State, StateRetention

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from psycopg import AsyncConnection


class Memory:
    """The memory's functions on a borrowed connection; every call joins its transaction.

    Args:
        connection: an open connection, never committed or closed here.
        version: version of the contract.
        schema: name of the installation.
    """

    def __init__(
        self, connection: AsyncConnection[Any], *, version: int = 1, schema: str = "arvo"
    ) -> None:
        self._session = Session(connection, version=version, schema=schema)

    async def read_state(self, subject: str) -> State | None:
        """The state of a subject with its version; None when it has none."""
        return await self._session.row(State, "read_state", subject=subject)

    async def write_state(
        self,
        subject: str,
        data: Mapping[str, Any],
        expected_version: int | None = None,
        *,
        parent_subject: str | None = None,
        initiator: str | None = None,
        source: str | None = None,
        lock: int | None = None,
    ) -> int:
        """Store the next state of a subject and give its version.

        Raises:
            VersionConflict: the stored version is not ``expected_version`` (0: there is none yet).
            LockLost: ``lock`` is not, or no longer, held.
        """
        version: int = await self._session.scalar(
            "write_state",
            subject=subject,
            data=as_jsonb(dict(data)),
            expected_version=expected_version,
            parent_subject=parent_subject,
            initiator=initiator,
            source=source,
            lock=lock,
        )
        return version

    async def acquire_lock(
        self, subject: str, ttl: timedelta | None = None, *, durable: bool | None = None
    ) -> Lock | None:
        """Take the lock on a subject; None when somebody holds it. Never waits.

        ``durable=False`` does not wait for the disk, and neither does the commit of the transaction
        that the call is in: use it only where the call is a transaction of its own. A crash of the
        server may undo such a lock; its holder's next write is refused then.
        """
        return await self._session.row(
            Lock, "acquire_lock", subject=subject, ttl=ttl, durable=durable
        )

    async def lock_state(
        self, subject: str, ttl: timedelta | None = None, *, durable: bool | None = None
    ) -> LockedState | None:
        """Take the lock on a subject and read its state, in one round trip; see acquire_lock."""
        return await self._session.row(
            LockedState, "lock_state", subject=subject, ttl=ttl, durable=durable
        )

    async def renew_lock(self, subject: str, token: int, ttl: timedelta | None = None) -> bool:
        """Keep a lock that is still held under this token; false when it is not."""
        renewed: bool = await self._session.scalar(
            "renew_lock", subject=subject, token=token, ttl=ttl
        )
        return renewed

    async def release_lock(self, subject: str, token: int, *, durable: bool | None = None) -> bool:
        """Give back the lock held under this token; false when it is not held under it.

        ``durable=False`` as in acquire_lock: after a crash of the server the lock may last until
        its time is over.
        """
        released: bool = await self._session.scalar(
            "release_lock", subject=subject, token=token, durable=durable
        )
        return released

    async def cleanup_state(self, subject: str) -> bool:
        """Forget the state and lock of a subject; true when it had a state."""
        forgotten: bool = await self._session.scalar("cleanup_state", subject=subject)
        return forgotten

    async def root_subject(self, subject: str) -> str | None:
        """Subject of the root of a workflow's tree; None when the workflow is unknown."""
        root: str | None = await self._session.scalar("root_subject", subject=subject)
        return root

    async def subjects_by_root(self, root: str) -> list[str]:
        """Subjects of all descendants of a root workflow, parents before children."""
        return await self._session.values("subjects_by_root", root=root)

    async def lineage(self, subject: str) -> list[Kin]:
        """The tree of workflows that a subject belongs to, from the root down."""
        return await self._session.rows(Kin, "lineage", subject=subject)

    async def import_states(
        self,
        rows: Sequence[Mapping[str, Any]],
        locked: str | None = None,
        *,
        dry_run: bool | None = None,
    ) -> list[Imported]:
        """Take over states that another memory has kept; see :mod:`arvo_plpg.import_v1`.

        Args:
            rows: what it has kept, as ``docs/import.md`` describes.
            locked: what a lock means that is held there: ``refuse``, ``carry`` or ``ignore``.
            dry_run: whether to say only what would become of them.
        """
        return await self._session.rows(
            Imported,
            "import_states",
            rows=as_jsonb([dict(row) for row in rows]),
            locked=locked,
            dry_run=dry_run,
        )

    async def retain_states(
        self, source: str | None = None, age: timedelta | None = None
    ) -> list[StateRetention]:
        """Say how long states of finished workflows are kept, of one handler or of all others.

        Without ``age`` the rule is removed: without any, states are kept for ever. ``maintain``
        removes what is older. Answers all rules.

        Raises:
            InvalidArgument: ``age`` is less than a minute or more than 3650 days.
        """
        return await self._session.rows(StateRetention, "retain_states", source=source, age=age)

    async def state_retentions(self) -> list[StateRetention]:
        """Rules that say how long states of finished workflows are kept."""
        return await self._session.rows(StateRetention, "state_retentions")
