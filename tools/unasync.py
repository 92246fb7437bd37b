"""Press ``arvo_plpg/_async`` into ``arvo_plpg/_sync``; ``--check`` only compares.

The layer is thin enough for four rules. Files are compared whole, so a missing tail is seen.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "arvo_plpg"
BANNER = "# Pressed from {} by tools/unasync.py. Edit that file, not this one.\n"
RULES = (
    (r"\bAsync(?=[A-Z])", ""),
    (r"\basync (?=def|with|for)", ""),
    (r"\bawait ", ""),
    (r"\barvo_plpg\._async\b", "arvo_plpg._sync"),
)


def pressed(source: Path) -> str:
    """Give the synchronous text of an asynchronous module."""
    text = source.read_text(encoding="utf-8")
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    return BANNER.format(f"_async/{source.name}") + text


def main() -> int:
    """Write what is stale, or only report it with ``--check``."""
    sources = [
        path for path in sorted((PACKAGE / "_async").glob("*.py")) if path.name != "__init__.py"
    ]
    stale = []
    for source in sources:
        target = PACKAGE / "_sync" / source.name
        if target.exists() and target.read_text(encoding="utf-8") == pressed(source):
            continue
        stale.append(f"stale: _sync/{source.name}")
        if "--check" not in sys.argv:
            target.write_text(pressed(source), encoding="utf-8")
    known = {source.name for source in sources} | {"__init__.py"}
    orphans = [p.name for p in (PACKAGE / "_sync").glob("*.py") if p.name not in known]
    stale += [f"orphan: _sync/{name}" for name in orphans]
    print("\n".join(stale) or "sync is current")
    return bool(orphans or (stale and "--check" in sys.argv))


if __name__ == "__main__":
    sys.exit(main())
