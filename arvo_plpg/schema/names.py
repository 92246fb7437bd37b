"""The names one installation uses: its schemas, its roles, its channel."""

from __future__ import annotations

import re
from dataclasses import dataclass

from arvo_plpg.errors import InvalidSchemaName

ORIGIN = "arvo"
"""The name that every SQL file is written for."""

GROUPS = ("client", "worker", "operator", "monitor")
"""The group roles, by what their members do."""

_RULE = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class Names:
    """What an installation's objects are called.

    Args:
        schema: Name of the private schema. The rule is ``^[a-z][a-z0-9_]{0,39}$`` and not
            ``pg_*``: it leaves room for suffixes within PostgreSQL's 63 bytes, and a name
            that needs no quotes cannot change the meaning of a statement.
        roles: Whether the installation has roles of its own. Without them everything
            belongs to the user who migrates.

    Raises:
        InvalidSchemaName: The name breaks the rule.
    """

    schema: str = ORIGIN
    roles: bool = True

    def __post_init__(self) -> None:
        if not _RULE.fullmatch(self.schema) or self.schema.startswith("pg_"):
            raise InvalidSchemaName(
                "schema name is not allowed",
                detail=f"schema: {self.schema[:80]!r}",
                hint="Use 1 to 40 of a-z, 0-9 and _, starting with a letter and not with pg_.",
            )

    @property
    def owner(self) -> str:
        """The role that owns everything, when the installation has roles."""
        return f"{self.schema}_owner"

    @property
    def groups(self) -> tuple[str, ...]:
        """The group roles that contract functions are granted to."""
        return tuple(f"{self.schema}_{group}" for group in GROUPS)

    @property
    def all_roles(self) -> tuple[str, ...]:
        """The owner, then the group roles."""
        return (self.owner, *self.groups)

    def contract(self, version: int) -> str:
        """Return the schema of one contract version."""
        return f"{self.schema}_v{version}"

    def holds(self, schema: str) -> bool:
        """Tell whether a schema belongs to this installation."""
        return re.fullmatch(rf"{re.escape(self.schema)}(_v[0-9]+)?", schema) is not None
