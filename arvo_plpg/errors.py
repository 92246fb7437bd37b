"""Everything that can go wrong, as one tree under ArvoError."""


class ArvoError(Exception):
    """The root: a constant message, the facts, and the remedy.

    Args:
        message: What happened, in words that do not change from case to case.
        detail: The facts of this case.
        hint: What the reader can do about it.
    """

    def __init__(self, message: str, *, detail: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        hint = f"Hint: {self.hint}" if self.hint else None
        return "\n".join(line for line in (self.message, self.detail, hint) if line)
