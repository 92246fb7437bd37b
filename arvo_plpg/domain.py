"""ArvoDomain: where an emitted event belongs (section 4.3 of the semantics)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry import trace

from arvo_plpg.model_error import InvalidSubjectError
from arvo_plpg.subject import ArvoOrchestrationSubject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arvo_plpg.event import ArvoEvent


class ArvoDomain:
    """Symbols that are resolved when an event is emitted; any other text stands for itself."""

    LOCAL: Final = None
    """The local broker."""
    FROM_SELF_CONTRACT: Final = "domain.contract.self.inherit"
    """The domain of the handler's own contract."""
    FROM_EVENT_CONTRACT: Final = "domain.contract.inherit"
    """The domain of the contract of the emitted event."""
    FROM_TRIGGERING_EVENT: Final = "domain.event.inherit"
    """The domain of the consumed event."""
    FROM_CURRENT_SUBJECT: Final = "domain.event.current.subject"
    """The domain in the subject of the consumed event."""
    FROM_PARENT_SUBJECT: Final = "domain.parent.subject"
    """The domain in the subject of the parent workflow."""
    ORCHESTRATION_CONTEXT: Final = "domain.orchestration.context"
    """Back to where the workflow came from: the domain of the subject, or of its parent."""


def resolve_event_domain(  # noqa: PLR0911 - one return for each symbol
    symbol: str | None,
    *,
    triggering_event: ArvoEvent,
    self_domain: str | None,
    event_domain: str | None,
    parent_subject: str | None,
) -> str | None:
    """Give the domain that a symbol stands for.

    Args:
        symbol: one of :class:`ArvoDomain`, or a domain.
        triggering_event: the consumed event.
        self_domain: domain of the handler's contract.
        event_domain: domain of the contract of the emitted event.
        parent_subject: subject of the parent workflow, None at the root.
    """
    match symbol:
        case ArvoDomain.FROM_SELF_CONTRACT:
            return self_domain
        case ArvoDomain.FROM_EVENT_CONTRACT:
            return event_domain
        case ArvoDomain.FROM_TRIGGERING_EVENT:
            return triggering_event.domain
        case ArvoDomain.FROM_CURRENT_SUBJECT:
            return _subject_domain(triggering_event.subject)
        case ArvoDomain.FROM_PARENT_SUBJECT:
            return _subject_domain(parent_subject)
        case ArvoDomain.ORCHESTRATION_CONTEXT:
            return _orchestration_domain(triggering_event, parent_subject)
        case _:
            return symbol or None


def resolve_event_domains(
    symbols: Sequence[str | None],
    *,
    triggering_event: ArvoEvent,
    self_domain: str | None,
    event_domain: str | None,
    parent_subject: str | None,
) -> list[str | None]:
    """Resolve a list of symbols and give each distinct domain once, in order."""
    return list(
        dict.fromkeys(
            resolve_event_domain(
                symbol,
                triggering_event=triggering_event,
                self_domain=self_domain,
                event_domain=event_domain,
                parent_subject=parent_subject,
            )
            for symbol in symbols
        )
    )


def _orchestration_domain(event: ArvoEvent, parent_subject: str | None) -> str | None:
    if parent_subject is None and event.domain is None:
        return None
    own = _subject_domain(event.subject)
    if parent_subject is None:
        return None if own == event.domain else own
    parent = _subject_domain(parent_subject)
    return None if own == parent else parent


def _subject_domain(subject: str | None) -> str | None:
    if not subject:
        return None
    try:
        return ArvoOrchestrationSubject.parse(subject).execution.domain
    except InvalidSubjectError as error:
        trace.get_current_span().record_exception(error)
        return None
