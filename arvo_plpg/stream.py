"""Streams of events, whatever they come in."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TypeAlias

from arvo_plpg.event import ArvoEvent

Events: TypeAlias = Iterable[ArvoEvent]
"""What a synchronous method takes."""

AsyncEvents: TypeAlias = AsyncIterable[ArvoEvent] | Iterable[ArvoEvent]
"""What an asynchronous method takes."""


class Stream:
    """Events one by one, for the synchronous twin."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def __iter__(self) -> Iterator[ArvoEvent]:
        return iter(self._events)


class AsyncStream:
    """Events one by one, out of either kind of iterable."""

    def __init__(self, events: AsyncEvents) -> None:
        self._events = events

    async def __aiter__(self) -> AsyncIterator[ArvoEvent]:
        if isinstance(self._events, AsyncIterable):
            async for event in self._events:
                yield event
        else:
            for event in self._events:
                yield event
