"""Record: what was measured, as it is kept in ``bench/results``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Measurement:
    """One cell of one round.

    Attributes:
        scenario: what was done.
        peer: by whom.
        configuration: how it was set.
        case: which variant of the scenario; empty when there is one only.
        round: of the interleaving, from 1.
        values: figures, by name.
        series: figures over time, by name: pairs of seconds and value.
        fault: why there are no figures, or why they do not count.
    """

    scenario: str
    peer: str
    configuration: str
    case: str
    round: int
    values: dict[str, float] = field(default_factory=dict)
    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    fault: str = ""


@dataclass
class Recording:
    """A whole run.

    Attributes:
        about: when, where, how, with what.
        measurements: in the order in which they were made.
    """

    about: dict[str, Any]
    measurements: list[Measurement] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Keep it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"about": self.about, "measurements": [asdict(one) for one in self.measurements]}
        path.write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Recording:
        """Take it up again."""
        content = json.loads(path.read_text())
        return cls(content["about"], [Measurement(**one) for one in content["measurements"]])

    def cells(self, scenario: str) -> Iterator[tuple[tuple[str, str, str], list[Measurement]]]:
        """The rounds of each peer, configuration and case of a scenario, as they came first."""
        found: dict[tuple[str, str, str], list[Measurement]] = {}
        for one in self.measurements:
            if one.scenario == scenario:
                found.setdefault((one.peer, one.configuration, one.case), []).append(one)
        yield from found.items()


@dataclass(frozen=True)
class Spread:
    """A figure over the rounds: its median, least and most."""

    middle: float
    least: float
    most: float
    rounds: int

    @classmethod
    def of(cls, rounds: list[Measurement], name: str) -> Spread | None:
        """Over those rounds that have it; None when none has."""
        values = [one.values[name] for one in rounds if name in one.values]
        if not values:
            return None
        return cls(median(values), min(values), max(values), len(values))


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of the values lies, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
