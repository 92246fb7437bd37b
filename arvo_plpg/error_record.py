"""ErrorRecord: an exception written down as text that events and states can keep."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Final

MAX_MESSAGE: Final = 8_192
"""Characters kept of an error message."""

MAX_STACK: Final = 32_768
"""Characters kept of a stack trace; its end, where the error arose, is what is kept."""


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """Name, message and stack of an exception, bounded, without NUL and lone surrogates."""

    name: str
    message: str
    stack: str | None

    @classmethod
    def of(cls, error: BaseException) -> ErrorRecord:
        """Write an exception down, also one that cannot say what it is."""
        try:
            message = str(error)
        except Exception as other:  # noqa: BLE001 - code of whoever made the class
            message = f"(its text cannot be had: {type(other).__name__})"
        try:
            stack = "".join(traceback.format_exception(error))
        except Exception:  # noqa: BLE001 - as above
            stack = "".join(traceback.format_tb(error.__traceback__))
        return cls(
            name=type(error).__name__,
            message=_clean(message)[:MAX_MESSAGE],
            stack=_clean(stack)[-MAX_STACK:],
        )

    def to_dict(self) -> dict[str, str | None]:
        """Give it as kept in a failure record."""
        return {"name": self.name, "message": self.message, "stack": self.stack}

    def to_event_data(self) -> dict[str, str | None]:
        """Give it as the data of a ``sys.*.error`` event."""
        return {
            "errorName": self.name,
            "errorMessage": self.message,
            "errorStack": self.stack,
        }


def _clean(text: str) -> str:
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
