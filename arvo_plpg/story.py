"""Story: what a trace tells, as a tree: each event under the one that it answers.

How it is drawn is the affair of whoever draws it: ``cli/tree.py`` for a terminal,
``page/picture.py`` along a line of time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arvo_plpg.rows import Step


@dataclass(frozen=True, slots=True)
class Branch:
    """An event of a story, and its place in the tree.

    Args:
        deliveries: of the event, in order of acceptance; there is one at least.
        lasts: for each level from below the root down to the event, whether nothing follows
            there on the same level.
        answered: whether events hang under it.
    """

    deliveries: list[Step]
    lasts: tuple[bool, ...]
    answered: bool

    @property
    def depth(self) -> int:
        """How many events are above it."""
        return len(self.lasts)


def branches(steps: Sequence[Step]) -> Iterator[Branch]:
    """Walk through the events of a story, each followed by those that answer it.

    Each event comes once, also where events name each other as the one that they answer. A chain
    of answers may be long: nothing here recurses.

    Args:
        steps: what ``trace`` gives, in order of acceptance.
    """
    deliveries: dict[str, list[Step]] = {}
    for step in steps:
        deliveries.setdefault(step.event_id, []).append(step)
    answers: dict[str | None, list[str]] = {}
    for event_id, (first, *_) in deliveries.items():
        asked = first.parent_id if first.parent_id in deliveries else None
        answers.setdefault(asked, []).append(event_id)
    seen: set[str] = set()
    for root in (*answers.get(None, ()), *deliveries):  # the rest: events that name each other
        stack: list[tuple[str, tuple[bool, ...]]] = [(root, ())]
        while stack:
            event_id, lasts = stack.pop()
            if event_id in seen:
                continue
            seen.add(event_id)
            below = [answer for answer in answers.get(event_id, ()) if answer not in seen]
            yield Branch(deliveries[event_id], lasts, bool(below))
            stack += [(answer, (*lasts, answer == below[-1])) for answer in reversed(below)]
