"""The SQL files: where they are, and what may be among them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from arvo_plpg.errors import SqlTreeBroken
from arvo_plpg.schema.blocks import blocks

_NAME = re.compile(r"(?P<number>[0-9]{4})\.(?P<phase>before|after)\.(?P<slug>[a-z0-9][a-z0-9-]*)")
_LOSES = re.compile(r"-- loses: *(?P<what>.+)")


@dataclass(frozen=True)
class Migration:
    """One migration file and its undo.

    Args:
        path: ``NNNN.<before|after>.<slug>.sql``.
        number: NNNN.
        phase: ``before`` runs ahead of the new code, ``after`` once the old code is gone.
    """

    path: Path
    number: int
    phase: str

    @property
    def id(self) -> str:
        """The name that yoyo keeps: the file's name without ``.sql``."""
        return self.path.stem

    @property
    def rollback_path(self) -> Path:
        """The file that undoes this one."""
        return self.path.with_suffix(".rollback.sql")

    @cached_property
    def text(self) -> str:
        """The migration as written."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def rollback_text(self) -> str:
        """The undo as written."""
        return self.rollback_path.read_text(encoding="utf-8")

    @property
    def loses(self) -> str | None:
        """What its undo loses, if its first line says so."""
        first = self.rollback_text.split("\n", 1)[0]
        found = _LOSES.fullmatch(first)
        return found["what"] if found else None

    @property
    def functions(self) -> frozenset[str]:
        """Names of the functions that it seals."""
        return frozenset(name for name, _ in blocks(self.text))


@dataclass(frozen=True)
class SqlTree:
    """The folder ``sql``: ``functions/``, ``migrations/`` and ``roles.sql``.

    Args:
        root: The folder.
    """

    root: Path

    @classmethod
    def find(cls, root: Path | None = None) -> SqlTree:
        """Return the given tree, else the package's own, else the checkout's.

        Raises:
            SqlTreeBroken: There is none.
        """
        package = Path(__file__).resolve().parent.parent
        candidates = [root] if root else [package / "sql", package.parent / "sql"]
        for candidate in candidates:
            if (candidate / "migrations").is_dir():
                return cls(candidate)
        raise SqlTreeBroken(
            "no SQL files found",
            detail="looked in: " + ", ".join(map(str, candidates)),
            hint="Reinstall the package; its wheel carries them.",
        )

    @property
    def functions_dir(self) -> Path:
        """The library: one current file for each function."""
        return self.root / "functions"

    @property
    def migrations_dir(self) -> Path:
        """The archive: what databases run."""
        return self.root / "migrations"

    @property
    def seals_path(self) -> Path:
        """The chained checksums of the archive."""
        return self.migrations_dir / "SEALS"

    @property
    def roles_text(self) -> str:
        """The statements that create the roles.

        Raises:
            SqlTreeBroken: ``roles.sql`` is missing.
        """
        try:
            return (self.root / "roles.sql").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise SqlTreeBroken("roles.sql is missing", detail=str(self.root)) from error

    def functions(self) -> dict[str, str]:
        """Return the text of every function file by the name that its path spells."""
        return {
            f"{path.parent.name}.{path.stem}": path.read_text(encoding="utf-8")
            for path in sorted(self.functions_dir.glob("*/*.sql"))
        }

    def migration_files(self) -> list[Path]:
        """Return every SQL file of the archive, undo files included, by name."""
        return sorted(self.migrations_dir.glob("*.sql"))

    def migrations(self) -> list[Migration]:
        """Return the migrations in order; possibly none.

        Raises:
            SqlTreeBroken: A file is misnamed, out of sequence, or has no undo, or yoyo would
                run a file that is no migration of ours.
        """
        stray = [p.name for p in self.migrations_dir.glob("*.py")]
        found: list[Migration] = []
        for path in self.migration_files():
            name = _NAME.fullmatch(path.name.removesuffix(".sql").removesuffix(".rollback"))
            if not name:
                stray.append(path.name)
            elif not path.name.endswith(".rollback.sql"):
                found.append(Migration(path, int(name["number"]), name["phase"]))
            elif not path.with_name(path.name.replace(".rollback.sql", ".sql")).exists():
                stray.append(path.name)
        if stray:
            raise SqlTreeBroken(
                "file among the migrations is not a migration",
                detail="files: " + ", ".join(sorted(stray)),
                hint="Migrations are called NNNN.before.slug.sql or NNNN.after.slug.sql.",
            )
        for expected, migration in enumerate(found, start=1):
            if migration.number != expected:
                raise SqlTreeBroken(
                    "migrations are not numbered 1, 2, 3 …",
                    detail=f"{migration.path.name} stands where {expected:04d} should",
                )
            if not migration.rollback_path.exists():
                raise SqlTreeBroken(
                    "migration has no undo", detail=f"missing: {migration.rollback_path.name}"
                )
        return found

    def shipped(self) -> list[Migration]:
        """Return the migrations in order, and refuse to find none.

        Raises:
            SqlTreeBroken: As ``migrations``, or there are none: a run that silently
                migrates nothing looks like a run that worked.
        """
        found = self.migrations()
        if not found:
            raise SqlTreeBroken(
                "there are no migrations", detail=f"looked in: {self.migrations_dir}"
            )
        return found
