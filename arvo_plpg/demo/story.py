"""Story: the trace of a workflow, drawn as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arvo_plpg.rows import Step


def draw(steps: Sequence[Step]) -> Iterator[str]:
    """Give the lines of a tree: event, from, to, attempt, outcome, milliseconds.

    Each event hangs under the event that it answers; each delivery of it is a line of its own.
    Milliseconds are counted from acceptance to settlement. All texts are of validated form (types,
    sources, names of queues), so no event can forge a line.
    """
    deliveries: dict[str, list[Step]] = {}
    for step in steps:
        deliveries.setdefault(step.event_id, []).append(step)
    answers: dict[str | None, list[str]] = {}
    for event_id, (first, *_) in deliveries.items():
        asked = first.parent_id if first.parent_id in deliveries else None
        answers.setdefault(asked, []).append(event_id)

    def walk(event_id: str, depth: int) -> Iterator[tuple[str, Step]]:
        for step in deliveries[event_id]:
            yield "  " * depth + step.event_type, step
        for answer in answers.get(event_id, ()):
            yield from walk(answer, depth + 1)

    rows = [row for root in answers.get(None, ()) for row in walk(root, 0)]
    event_width = max((len(event) for event, _ in rows), default=0)
    source_width = max((len(step.source) for _, step in rows), default=0)
    queue_width = max((len(step.queue) for _, step in rows), default=0)
    for event, step in rows:
        yield (
            f"{event:<{event_width}}  {step.source:<{source_width}} → {step.queue:<{queue_width}}  "
            f"attempt {step.attempt}  {step.outcome:<10} {_milliseconds(step):>9}"
        )


def _milliseconds(step: Step) -> str:
    if step.settled_at is None:
        return "-"
    return f"{(step.settled_at - step.accepted_at).total_seconds() * 1000:.1f} ms"
