"""Sealed blocks: the full text of a function inside a migration.

    --! function arvo_v1.claim
    …the function file, verbatim…
    --! end

An empty block says that the function is gone from here on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_BLOCK = re.compile(r"^--! function (\S+)\n(.*?)^--! end$", re.MULTILINE | re.DOTALL)


def block(name: str, text: str) -> str:
    """Return the block that seals one function's text (empty: the function is gone)."""
    return f"--! function {name}\n{text}--! end\n"


def blocks(migration: str) -> list[tuple[str, str]]:
    """Return the blocks of a migration, in order, as (name, text)."""
    return _BLOCK.findall(migration)


def fold(migrations: Iterable[str]) -> dict[str, str]:
    """Return the last sealed text of each function that still exists.

    Args:
        migrations: Texts of migrations, in order.
    """
    state: dict[str, str] = {}
    for migration in migrations:
        state.update(blocks(migration))
    return {name: text for name, text in state.items() if text}
