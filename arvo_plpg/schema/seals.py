"""Seals: proof that no migration that was published has changed since.

``SEALS`` has one line per file of the archive, undo files included, ordered by name:
a SHA-256 over the line before, the file's name and its text. Editing, removing,
renaming or inserting anything breaks every later line.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from arvo_plpg.errors import SealBroken

if TYPE_CHECKING:
    from arvo_plpg.schema.tree import SqlTree


def seal_lines(tree: SqlTree) -> list[str]:
    """Return the lines that ``SEALS`` would have, were everything recorded now."""
    chain = ""
    lines = []
    for path in tree.migration_files():
        text = path.read_bytes()
        chain = hashlib.sha256(f"{chain}\n{path.name}\n".encode() + text).hexdigest()
        lines.append(f"{chain}  {path.name}")
    return lines


def recorded(tree: SqlTree) -> list[str]:
    """Return the lines of ``SEALS``; none when the file does not exist."""
    if not tree.seals_path.exists():
        return []
    return tree.seals_path.read_text(encoding="utf-8").splitlines()


def verify(tree: SqlTree) -> list[str]:
    """Prove the recorded seals; return the names of files that are not sealed yet.

    Raises:
        SealBroken: A recorded file is not what was recorded.
    """
    now = seal_lines(tree)
    known = recorded(tree)
    for at, line in enumerate(known):
        if at < len(now) and now[at] == line:
            continue
        expected = line.partition("  ")[2]
        found = now[at].partition("  ")[2] if at < len(now) else "nothing"
        what = "its text was changed" if found == expected else f"{found} stands in its place"
        raise SealBroken(
            "a sealed migration was edited, removed or reordered",
            detail=f"{expected}: {what}",
            hint="Restore the file (reinstall the package) and put the change in a new migration.",
        )
    return [line.partition("  ")[2] for line in now[len(known) :]]
