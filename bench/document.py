"""Document: what every queue carries here, the same some 600 bytes of JSON for each.

It is a whole Arvo event. Ours stores it as one; a job queue gets it as the payload of a job, as one
would use it to carry events.
"""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]
QUEUE = "com.bench.work"
ORDERED = "com.bench.ordered"
_FILLER = "The quick brown fox jumps over the lazy dog. " * 6


def document(number: int, *, hop: int = 0, subject: str | None = None, to: str = QUEUE) -> Document:
    """One event of a run.

    Args:
        number: which event, or which chain of events.
        hop: which event of the chain.
        subject: what it belongs to; by default each chain is a subject of its own.
        to: the queue.
    """
    return {
        "id": f"bench-{number}-{hop}",
        "source": "com.bench.producer",
        "specversion": "1.0",
        "type": "com.bench.work",
        "subject": subject or f"bench-subject-{number}",
        "datacontenttype": "application/cloudevents+json;charset=UTF-8;profile=arvo",
        "time": "2026-01-02T03:04:05.678+00:00",
        "to": to,
        "data": {"number": number, "hop": hop, "filler": _FILLER},
    }


def following(given: Document) -> Document:
    """The next event of a chain."""
    data = given["data"]
    return document(data["number"], hop=data["hop"] + 1, subject=given["subject"])


ORDERED_SHARE = 3
ORDERED_KEYS = 1000


def is_ordered(number: int) -> bool:
    """Whether an event of the mix goes to the ordered queue: every third does."""
    return number % ORDERED_SHARE == 0


def mixed(given: Document) -> Document:
    """The event as it is in the mix: those of the ordered queue have one of a thousand keys."""
    number = given["data"]["number"]
    if not is_ordered(number):
        return given
    key = number // ORDERED_SHARE % ORDERED_KEYS
    return {**given, "to": ORDERED, "subject": f"bench-key-{key}"}
