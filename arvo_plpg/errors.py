"""Everything that can go wrong, as one tree.

::

    ArvoError
    ├── ModelError                  an event, a subject or a contract; see model_error.py
    │   └── InvalidEventError       RV001: also what the database refuses
    ├── CallerError                 RV0xx: a mistake of the caller
    │   ├── InvalidOption           RV002: an option of a queue or worker
    │   ├── UnknownQueue            RV003: nobody has named that queue yet
    │   ├── UnknownEvent            RV004: no such event is stored, or not any more
    │   ├── WrongIsolation          RV005: claims and settlements need READ COMMITTED
    │   ├── InvalidArgument         RV006: an argument of a contract function
    │   ├── QueueClosed             RV007: the role may not do that with the queue
    │   ├── AlreadyRegistered       this process has a handler of that source
    │   ├── InvalidHandler          a handler that no worker can run
    │   ├── BrokerNotStarted        start() comes first
    │   ├── WorkflowCompletionNotConfigured   a strict broker has nobody who listens to results
    │   ├── SourceMismatch          a strict broker listens to the results of other sources
    │   ├── DeadlineExceeded        a handler ran longer than its queue allows
    │   ├── ForeignSubject          a step touched the state of another workflow
    │   └── UnsupportedVersion      no such version of the contract
    ├── ConflictError               RV1xx: read again and decide again
    │   ├── VersionConflict         RV101: the state has moved on
    │   ├── RedrivesUsedUp          RV102: redriven as often as its queue allows
    │   ├── DeadLetterHeld          RV103: somebody else has the dead letter in hand
    │   └── PlaceTaken              RV104: another event has the place of its key
    ├── RoutingError                RV2xx: where an event should go
    │   └── HandlerNotRegistered    RV201: nobody has registered its queue
    ├── LostError                   RV3xx: no longer yours
    │   ├── LeaseLost               RV301
    │   ├── LockLost                RV302
    │   └── OutOfOrder              RV303: an earlier delivery of its key is still open
    ├── InvariantError              RV9xx: should be impossible
    │   ├── InvariantBroken         RV901
    │   └── ForeignCluster          RV902: restored into another cluster: call rebase
    ├── CopyInterrupted             a stream of events broke off; says how many are stored
    ├── PackageMissing              what an extra of this package would have installed
    ├── EmbeddedError               an embedded server; see embedded/errors.py
    └── SchemaError                 the installation, not the data
        ├── InvalidSchemaName       a name that cannot be installed under
        ├── SchemaMissing           nothing installed here: run migrate
        ├── SchemaTooOld            installed, but older than this package: run migrate
        ├── ClientTooOld            this package is older than the installation: upgrade it
        ├── SchemaOccupied          the name is taken by something else, or installed otherwise
        ├── DatabaseUnreachable     no answer, no such database, wrong password
        ├── PrivilegeMissing        the user may not do this; the hint says what a DBA runs
        ├── MigrationLocked         another run holds the lock
        ├── MigrationFailed         a migration's own statement failed; nothing of it stays
        ├── MigrationOrder          a step that must come first has not run yet
        ├── DataLossRefused         a rollback would lose data and nobody agreed to that
        └── SqlTreeBroken           the shipped SQL files are incomplete, misnamed or malformed
            └── SealBroken          a sealed migration was edited, removed or reordered

A class of an SQLSTATE registers itself by keyword::

    class VersionConflict(ConflictError, sqlstate="RV101"): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import psycopg


class ArvoError(Exception):
    """The root: a constant message, the facts, and the remedy.

    Args:
        message: What happened, in words that do not change from case to case.
        detail: The facts of this case.
        hint: What the reader can do about it.
        field: Name of the field, option or argument that it is about.
    """

    sqlstate: ClassVar[str | None] = None
    by_sqlstate: ClassVar[dict[str, type[ArvoError]]] = {}

    def __init_subclass__(cls, *, sqlstate: str | None = None) -> None:
        super().__init_subclass__()
        if sqlstate is None:
            return
        if sqlstate in ArvoError.by_sqlstate:
            raise TypeError(f"SQLSTATE {sqlstate} is registered twice")
        cls.sqlstate = sqlstate
        ArvoError.by_sqlstate[sqlstate] = cls

    def __init__(
        self,
        message: str,
        *,
        detail: str | None = None,
        hint: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        self.field = field

    def __str__(self) -> str:
        lines = [self.message]
        if self.detail:
            lines.append(self.detail)
        if self.hint:
            lines.append(f"Hint: {self.hint}")
        return "\n".join(lines)


class CopyInterrupted(ArvoError):
    """A stream of events broke off; those of the batches before are stored.

    Args:
        stored: How many events, from the beginning of the stream, are stored or were duplicates.
        error: What went wrong; also the cause of this error.
    """

    def __init__(self, stored: int, error: Exception) -> None:
        super().__init__(
            "the stream of events broke off",
            detail=f"{stored} events are stored. {type(error).__name__}: {error}",
            hint="Correct what is wrong and go on behind them, or give the whole stream again: "
            "what is stored is a duplicate then.",
        )
        self.stored = stored


class PackageMissing(ArvoError):
    """A package is not installed that an extra of this package names.

    Args:
        package: the package.
        extra: the extra that would have installed it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"the package {package!r} is missing", hint=f"pip install 'arvo-plpg[{extra}]'"
        )


class SchemaError(ArvoError):
    """Something about the installation in the database, or about its SQL files."""


class InvalidSchemaName(SchemaError):
    """The schema name breaks the rule for names."""


class SchemaMissing(SchemaError):
    """Nothing is installed under this name in this database."""


class SchemaTooOld(SchemaError):
    """The installation is older than this package needs."""


class ClientTooOld(SchemaError):
    """This package is older than the installation allows."""


class SchemaOccupied(SchemaError):
    """The schema exists and is not ours, or was installed in another way."""


class DatabaseUnreachable(SchemaError):
    """The database did not let us in."""


class PrivilegeMissing(SchemaError):
    """The connected user lacks a privilege that this needs."""


class MigrationLocked(SchemaError):
    """Another run held the migration lock until our deadline."""


class MigrationFailed(SchemaError):
    """A statement of a migration failed; the migration left nothing behind."""


class MigrationOrder(SchemaError):
    """A pending migration needs another pending one to come first."""


class DataLossRefused(SchemaError):
    """A rollback says that it loses data, and that was not agreed to."""


class SqlTreeBroken(SchemaError):
    """The SQL files cannot be used as they are."""


class SealBroken(SqlTreeBroken):
    """A sealed migration is no longer what was sealed."""


class CallerError(ArvoError):
    """A mistake of the caller: correct it and call again."""


class InvalidOption(CallerError, sqlstate="RV002"):
    """An option of a queue or of its workers breaks its rule."""


class UnknownQueue(CallerError, sqlstate="RV003"):
    """Nobody has named that queue yet."""


class UnknownEvent(CallerError, sqlstate="RV004"):
    """No such event is stored, or not any more."""


class WrongIsolation(CallerError, sqlstate="RV005"):
    """The transaction's isolation level would show a stale view of leases."""


class InvalidArgument(CallerError, sqlstate="RV006"):
    """An argument of a contract function breaks its rule."""


class QueueClosed(CallerError, sqlstate="RV007"):
    """The caller's role may not dispatch to the queue, consume it or operate it."""


class AlreadyRegistered(CallerError):
    """This process already has a handler or listener of that source."""


class InvalidHandler(CallerError):
    """No worker can run a handler like this."""


class WorkflowCompletionNotConfigured(CallerError):
    """A strict broker dispatches only when somebody listens to the results."""


class SourceMismatch(CallerError):
    """A strict broker dispatches only events of a source whose results somebody listens to."""


class BrokerNotStarted(CallerError):
    """The broker has no connections yet, or no longer."""


class DeadlineExceeded(CallerError):
    """A handler ran longer than ``expire_in_seconds`` and was cancelled."""


class ForeignSubject(CallerError):
    """A step asked for the state of a workflow that is not its own."""


class UnsupportedVersion(CallerError):
    """There is no such version of the contract."""


class ConflictError(ArvoError):
    """Somebody was faster: read again and decide again."""


class VersionConflict(ConflictError, sqlstate="RV101"):
    """The stored version is not the one that the write was based on."""


class RedrivesUsedUp(ConflictError, sqlstate="RV102"):
    """The dead letter was redriven as often as its queue allows; told in a row, not raised."""


class PlaceTaken(ConflictError, sqlstate="RV104"):
    """Another event has the one place that the queue's policy gives to its key."""


class DeadLetterHeld(ConflictError, sqlstate="RV103"):
    """Somebody else has the dead letter in hand; told in a row, not raised."""


class RoutingError(ArvoError):
    """The event cannot go where it should."""


class HandlerNotRegistered(RoutingError, sqlstate="RV201"):
    """Nobody has registered the queue, and the caller asked for one that is."""


class LostError(ArvoError):
    """Something that was yours no longer is."""


class LeaseLost(LostError, sqlstate="RV301"):
    """The delivery is not, or no longer, held under that lease."""


class LockLost(LostError, sqlstate="RV302"):
    """The lock is not, or no longer, held under that token."""


class OutOfOrder(LostError, sqlstate="RV303"):
    """An earlier delivery of its ordered key is still open: settle that one first."""


class InvariantError(ArvoError):
    """Something that should be impossible."""


class InvariantBroken(InvariantError, sqlstate="RV901"):
    """A rule that the engine rests on does not hold."""


class ForeignCluster(InvariantError, sqlstate="RV902"):
    """The stored transaction numbers belong to another cluster."""


_UNSTORABLE: tuple[type[ArvoError], str, str] = (
    InvalidArgument,
    "a text cannot be stored",
    "Remove NUL characters and text that is not Unicode.",
)
_UNREADABLE: tuple[type[ArvoError], str, str] = (
    InvalidArgument,
    "argument is not valid",
    "Give each argument in the type that its method names; a path is an SQL/JSON path.",
)
_FOREIGN: dict[str | None, tuple[type[ArvoError], str, str]] = {
    "22003": _UNREADABLE,
    "22P02": _UNREADABLE,
    "42601": _UNREADABLE,  # static SQL has none: it is the path
    "22021": _UNSTORABLE,
    "22P05": _UNSTORABLE,
    "3F000": (
        SchemaMissing,
        "arvo is not installed in this database",
        "Run: arvo-plpg migrate",
    ),
    "42501": (
        PrivilegeMissing,
        "the connected user may not do this",
        "Ask for the role that may: client, worker, operator or monitor of this installation.",
    ),
    "42703": (
        SchemaTooOld,
        "the rows of the contract lack a column",
        "Run: arvo-plpg migrate",
    ),
    "42883": (
        SchemaTooOld,
        "no function of the contract takes these arguments",
        "Check the arguments' types and sizes. If they are right, run: arvo-plpg migrate",
    ),
}
"""SQLSTATEs of PostgreSQL's own that say something about arvo: class, message, remedy."""


def translate(error: psycopg.Error | UnicodeEncodeError) -> Exception:
    """Give the class of an SQLSTATE of ours, with message, facts, remedy and field; else the error.

    Args:
        error: what psycopg raised. An error of the connection comes back as it is.
    """
    import psycopg  # noqa: PLC0415 - the launcher of embedded servers does without

    if isinstance(error, UnicodeEncodeError) or (
        isinstance(error, psycopg.DataError) and error.sqlstate is None
    ):
        known, message, hint = _FOREIGN["22021"]
        return known(message, detail=f"{str(error)[:200]!a}", hint=hint)
    state, diag = error.sqlstate, error.diag
    kind = ArvoError.by_sqlstate.get(state or "")
    if kind is not None:
        return kind(
            diag.message_primary or str(error),
            detail=diag.message_detail,
            hint=diag.message_hint,
            field=diag.column_name,
        )
    if state not in _FOREIGN:
        return error
    known, message, hint = _FOREIGN[state]
    return known(message, detail=diag.message_primary, hint=hint)
