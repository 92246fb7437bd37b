"""Violations: errors that mean "do not answer; let the broker deliver the event again".

Section 3.5 of the semantics. Anything else that a handler raises becomes a ``sys.*.error`` event.
They are recognised by their shape, so that a violation from another library is one too.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arvo_plpg.event import ArvoEvent


class ViolationError(Exception):
    """Base of the violations; subclass it for your own.

    Attributes:
        type: the kind, a word.
        name: ``ViolationError<type>``.
        message: the text, beginning with the name.
        metadata: anything that helps to find the cause.
        is_arvo_violation_error: the mark by which violations are recognised.
    """

    is_arvo_violation_error: Final = True

    def __init__(
        self,
        *,
        type: str,  # noqa: A002 - the attribute's name
        message: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.type = type
        self.name = f"ViolationError<{type}>"
        self.message = f"{self.name} {message}"
        self.metadata = metadata
        super().__init__(self.message)


class _KindError(ViolationError):
    kind: ClassVar[str]

    def __init__(self, message: str, metadata: Mapping[str, Any] | None = None) -> None:
        super().__init__(type=self.kind, message=message, metadata=metadata)


class ContractViolation(_KindError):  # noqa: N818 - upstream's name
    """An event, or what a handler made, does not fit its contract."""

    kind = "Contract"


class ConfigViolation(_KindError):  # noqa: N818 - upstream's name
    """Handlers, contracts or routing are set up wrongly."""

    kind = "Config"


class ExecutionViolation(_KindError):  # noqa: N818 - upstream's name
    """The execution cannot proceed, and must not be answered either."""

    kind = "Execution"


class TransactionViolationCause(StrEnum):
    """What failed at the memory of a workflow."""

    READ_MACHINE_MEMORY_FAILURE = "READ_MACHINE_MEMORY_FAILURE"
    LOCK_MACHINE_MEMORY_FAILURE = "LOCK_MACHINE_MEMORY_FAILURE"
    WRITE_MACHINE_MEMORY_FAILURE = "WRITE_MACHINE_MEMORY_FAILURE"
    LOCK_UNACQUIRED = "LOCK_UNACQUIRED"
    INVALID_SUBJECT = "INVALID_SUBJECT"


class TransactionViolation(ViolationError):  # noqa: N818 - upstream's name
    """Lock, read or write of the workflow's memory failed.

    Attributes:
        cause: what failed.
    """

    def __init__(
        self, *, cause: TransactionViolationCause, message: str, initiating_event: ArvoEvent
    ) -> None:
        super().__init__(
            type="OrchestratorTransaction",
            message=f"[{cause}] {message}",
            metadata={"initiatingEvent": initiating_event.to_dict()},
        )
        self.cause = cause


def is_violation_error(error: object) -> bool:
    """Say whether an error is a violation, by its shape rather than by its class."""
    return (
        isinstance(error, Exception)
        and getattr(error, "is_arvo_violation_error", False) is True
        and all(
            isinstance(text := getattr(error, part, None), str) and text
            for part in ("type", "name", "message")
        )
    )
