"""The span around one operation of the machine memory, with the seed's names and attributes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.trace import Span

_TRACER = trace.get_tracer("arvo_plpg")


@contextmanager
def memory_span(operation: str, subject: str, *, enabled: bool) -> Iterator[Span]:
    """Open the span; errors are put on it. A span that records nothing, if it is not enabled."""
    if not enabled:
        yield trace.INVALID_SPAN
        return
    with _TRACER.start_as_current_span(
        f"PostgresMachineMemory.v1.{operation}",
        attributes={"subject": subject, "db.system.name": "postgresql"},
    ) as span:
        yield span
