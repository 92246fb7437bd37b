"""The errors of this package: one tree under ArvoError."""


class ArvoError(Exception):
    """Anything that this package refuses or fails to do."""
