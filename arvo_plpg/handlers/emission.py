"""Emission: what a handler's function asks to be emitted, before it is an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arvo_plpg.event_factory import EventData
    from arvo_plpg.event_id import EventId


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """One wish to emit. What is None takes the default of the handler.

    Attributes:
        type: event type.
        data: payload; validated against the contract of the type.
        id: see :class:`~arvo_plpg.event_id.EventId`. With several domains the copies share a
            developer-managed id.
        time: by default the present.
        to: receiver.
        redirectto: where the answer to the emitted event shall go.
        accesscontrol: by default that of the consumed event.
        executionunits: by default those of the handler.
        domain: domains or symbols of :class:`~arvo_plpg.domain.ArvoDomain`, one event for each
            distinct one that they resolve to.
        dataschema: only looked at for types of which the handler has no contract.
        extensions: extension attributes.
    """

    type: str
    data: EventData
    id: EventId | str | None = None
    time: str | None = None
    to: str | None = None
    redirectto: str | None = None
    accesscontrol: str | None = None
    executionunits: float | None = None
    domain: Sequence[str | None] | None = None
    dataschema: str | None = None
    extensions: Mapping[str, str | int | float | bool | None] | None = None
