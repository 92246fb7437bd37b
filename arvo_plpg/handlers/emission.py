"""Emission: what a handler's function asks to be emitted, before it is an event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from typing_extensions import TypeVar

from arvo_plpg.payload import EventData

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arvo_plpg.event_id import EventId

_Data_co = TypeVar("_Data_co", covariant=True, default=EventData)


@dataclass(frozen=True, kw_only=True)  # slots=True would break Emission[Model](…) in Python 3.11
class Emission(Generic[_Data_co]):
    """One wish to emit. What is None takes the default of the handler.

    Attributes:
        data: payload; validated against the contract of the type.
        type: event type; left empty, it is the one that the contract emits with this model.
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

    data: _Data_co
    type: str = ""
    id: EventId | str | None = None
    time: str | None = None
    to: str | None = None
    redirectto: str | None = None
    accesscontrol: str | None = None
    executionunits: float | None = None
    domain: Sequence[str | None] | None = None
    dataschema: str | None = None
    extensions: Mapping[str, str | int | float | bool | None] | None = None
