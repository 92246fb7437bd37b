"""Extra: what to say when a library is needed that is not installed."""

from __future__ import annotations

from arvo_plpg.errors import ArvoError


def missing(command: str, library: str) -> ArvoError:
    """Return the error of a command that needs the extra ``cli``."""
    return ArvoError(
        f"arvo-plpg {command} needs the library {library}",
        hint="Install it: pip install 'arvo-plpg[cli]'",
    )
