"""EventNode: an event, what became of it, and the events that it caused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from arvo_plpg.event import ArvoEvent
    from arvo_plpg.rows import Step

_COPIES: Final = ("dead", "unroutable")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNode:
    """One event in the tree of its workflow.

    Attributes:
        id: its id.
        type: its type.
        source: who emitted it.
        event: the event, None if no handler of this test has seen it.
        deliveries: every delivery of it: queue, attempt, outcome, times, error.
        children: the events that answer it or were caused by it, in order of acceptance.
    """

    id: str
    type: str
    source: str
    event: ArvoEvent | None
    deliveries: Sequence[Step]
    children: list[EventNode] = field(default_factory=list)

    @property
    def data(self) -> Mapping[str, Any]:
        """The data of the event."""
        if self.event is None:
            raise LookupError(f"no handler has seen event {self.id!r} of type {self.type}")
        return self.event.data

    @property
    def queue(self) -> str:
        """Where it went last, but for the copies in queues of dead letters and of notices."""
        return self._last.queue

    @property
    def outcome(self) -> str:
        """What became of it there: completed, dead, deferred, unroutable, domained, …."""
        return self._last.outcome

    @property
    def _last(self) -> Step:
        own = [step for step in self.deliveries if (step.cause or {}).get("outcome") not in _COPIES]
        return (own or self.deliveries)[-1]

    @property
    def attempts(self) -> int:
        """How often it was delivered or waits to be."""
        return max(step.attempt for step in self.deliveries)

    @property
    def error(self) -> Mapping[str, Any] | None:
        """The last error of a delivery: name, message and stack."""
        return next((step.error for step in reversed(self.deliveries) if step.error), None)

    def walk(self) -> Iterator[EventNode]:
        """Give it and all below it, each before what it caused."""
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, type: str) -> EventNode:  # noqa: A002 - the attribute's name
        """Give the one event of a type, here or below.

        Raises:
            LookupError: there is none, or there are several.
        """
        found = [node for node in self.walk() if node.type == type]
        if len(found) != 1:
            raise LookupError(f"{len(found)} events are of type {type}, not one:\n{self}")
        return found[0]

    def __str__(self) -> str:
        return "\n".join(_lines(self, 0))


def _lines(node: EventNode, depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}{node.type} → {node.queue}: {node.outcome}"
    for child in node.children:
        yield from _lines(child, depth + 1)


def grow(steps: Sequence[Step], seen: Mapping[tuple[str, str], ArvoEvent]) -> list[EventNode]:
    """Make the trees of a story.

    Args:
        steps: the trace of a workflow.
        seen: events that handlers have seen, by source and id.
    """
    nodes: dict[tuple[str, str], EventNode] = {}
    deliveries: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        key = (step.source, step.event_id)
        deliveries.setdefault(key, []).append(step)
        if key not in nodes:
            nodes[key] = EventNode(
                id=step.event_id,
                type=step.event_type,
                source=step.source,
                event=seen.get(key),
                deliveries=deliveries[key],
            )
    by_id = {node.id: node for node in nodes.values()}
    roots: list[EventNode] = []
    for (_, event_id), node in nodes.items():
        parent = by_id.get(deliveries[node.source, event_id][0].parent_id or "")
        (roots if parent is None or parent is node else parent.children).append(node)
    return roots
