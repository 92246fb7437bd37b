"""Everything that can go wrong, as one tree.

    ArvoError
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

from typing import ClassVar


class ArvoError(Exception):
    """The root: a constant message, the facts, and the remedy.

    Args:
        message: What happened, in words that do not change from case to case.
        detail: The facts of this case.
        hint: What the reader can do about it.
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

    def __init__(self, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message]
        if self.detail:
            lines.append(self.detail)
        if self.hint:
            lines.append(f"Hint: {self.hint}")
        return "\n".join(lines)


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
