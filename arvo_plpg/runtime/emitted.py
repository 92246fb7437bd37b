"""Emitted: what a handler returned, if that is what handlers return."""

from __future__ import annotations

from arvo_plpg.event import ArvoEvent


def checked(events: object, source: str) -> list[ArvoEvent]:
    """Give what a handler returned, if it is a list of events.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(events, list | tuple) and all(isinstance(event, ArvoEvent) for event in events):
        return list(events)
    raise TypeError(f"{source!a} must return a list of ArvoEvent, not {type(events).__name__}")
