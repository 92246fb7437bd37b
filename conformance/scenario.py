"""Scenario: a story as data, read from ``scenarios/*.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "scenarios"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story.

    Attributes:
        name: topic and name, such as ``dispatch/duplicate``.
        why: what it shows, in a sentence.
        steps: what happens, in order.
        clock: the time at which the database's clock stands still; None for one that runs.
    """

    name: str
    why: str
    steps: tuple[dict[str, Any], ...]
    clock: str | None = None


def scenarios(folder: Path = FOLDER) -> list[Scenario]:
    """Read all scenarios, in the order of their names.

    Raises:
        ValueError: a file is not as it should be.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        for given in json.loads(path.read_text(encoding="utf-8")):
            unknown = given.keys() - {"name", "why", "steps", "clock"}
            if unknown or not given.get("steps"):
                raise ValueError(f"{path.name}: {given.get('name')}: {unknown or 'no steps'}")
            found.append(
                Scenario(
                    name=f"{path.stem}/{given['name']}",
                    why=given["why"],
                    steps=tuple(given["steps"]),
                    clock=given.get("clock"),
                )
            )
    names = [scenario.name for scenario in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"named twice: {sorted(twice)}")
    return found
