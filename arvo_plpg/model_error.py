"""What can be wrong with an event, a subject or a contract before any database is asked.

ModelError                     everything below; a ValueError
├── InvalidEventError          an attribute or the data breaks a rule
│   └── EventTooLargeError     the JSON text is longer than MAX_EVENT_BYTES
├── InvalidSubjectError        a subject cannot be made or read
└── InvalidContractError       a contract, a version or a payload breaks its definition
"""

from __future__ import annotations

from arvo_plpg.errors import ArvoError


class ModelError(ArvoError, ValueError):
    """Base of the errors of the model layer."""


class InvalidEventError(ModelError, sqlstate="RV001"):
    """An event breaks a rule; the message names each attribute and its rule."""


class EventTooLargeError(InvalidEventError):
    """The JSON text of an event is too long.

    Attributes:
        size: bytes of the UTF-8 JSON text.
        limit: bytes allowed.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"the event is {size} bytes of JSON, more than the limit of {limit} bytes; "
            "store the large part elsewhere and send a reference"
        )
        self.size = size
        self.limit = limit


class InvalidSubjectError(ModelError):
    """An orchestration subject cannot be created or parsed; the message says why."""


class InvalidContractError(ModelError):
    """A contract is malformed, lacks a version or an event type, or a payload does not fit it."""
