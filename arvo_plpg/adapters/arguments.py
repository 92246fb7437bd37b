"""Arguments: what the adapters' functions are given, in the form of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from arvo_plpg.errors import InvalidOption
from arvo_plpg.event import check_events
from arvo_plpg.options import DispatchOptions, StartAfter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arvo_plpg.event import ArvoEvent


class DispatchFields(TypedDict, total=False):
    """The options of a dispatch, as those of :meth:`~arvo_plpg.PostgresEventBroker.dispatch`.

    Attributes:
        start_after: not to be delivered before.
        priority: higher is delivered first; the queue's own by default.
        options: further options of this delivery.
        schema: name of the installation.
    """

    start_after: StartAfter | None
    priority: int | None
    options: DispatchOptions | None
    schema: str


def checked(events: Sequence[ArvoEvent], fields: DispatchFields) -> tuple[str, dict[str, Any]]:
    """Check the arguments, and give the name of the installation and the contract's options.

    Raises:
        InvalidArgument: something is no ArvoEvent.
        InvalidOption: an option is not valid.
    """
    check_events(events)
    unknown = sorted(fields.keys() - DispatchFields.__annotations__.keys())
    if unknown:
        raise TypeError(f"dispatch() has no argument {unknown[0]!r}")
    options = fields.get("options")
    if options is not None and not isinstance(options, DispatchOptions):
        raise InvalidOption(
            "option is not valid",
            detail=f"options is of type {type(options).__name__}",
            hint="Give DispatchOptions(…).",
            field="options",
        )
    named = DispatchOptions(start_after=fields.get("start_after"), priority=fields.get("priority"))
    given = ((options and options.to_dict()) or {}) | (named.to_dict() or {})
    return fields.get("schema", "arvo"), {"options": given or None}
