"""Workload: the queues of the proof, and what their handlers do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from chaos.checker import Promise

ORDER: Final = "com.chaos.order"
"""Ordered and stateful: each event is one step of its subject, and emits one to ``SHIP``."""
SHIP: Final = "com.chaos.ship"
"""Plain: books its amount, fails now and then, dies now and then, emits one to ``CLIENT``."""
SCARCE: Final = "com.chaos.scarce"
"""Limited to ``LIMIT`` at a time; books its amount, and emits one to ``CLIENT``."""
CLIENT: Final = "com.chaos.client"
"""The completion listener."""
QUEUES: Final = (ORDER, SHIP, SCARCE, CLIENT)
LIMIT: Final = 3

PROMISES: Final = {
    ORDER: Promise(emits=1, ordered=True, stateful=True),
    SHIP: Promise(emits=1, effects=True),
    SCARCE: Promise(emits=1, effects=True, limit=LIMIT),
    CLIENT: Promise(),
}
PLAN: Final = {queue: asdict(promise) for queue, promise in PROMISES.items()}


class FlakyError(Exception):
    """A failure that goes away."""


class HopelessError(Exception):
    """A failure that does not: the event is dead at once."""


def trouble(number: int, attempt: int) -> Exception | None:
    """What the handler of ``SHIP`` is to raise, if anything."""
    if number % 11 == 5:  # noqa: PLR2004 - some of eleven
        return HopelessError(f"number {number}")
    if number % 7 == 3 and attempt == 1:  # noqa: PLR2004 - some of seven
        return FlakyError(f"number {number}")
    return None
