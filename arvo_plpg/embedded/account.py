"""Who the server runs as: ourselves, or, when we are root, somebody without privileges."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from arvo_plpg.embedded.errors import OWN_SERVER, RootConfined

UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this system, as the server's processes need it.

    Attributes:
        uid: User id.
        gid: Primary group id; the server is given no other group.
        drop: Whether we must become this user (we are root) or already are.
    """

    uid: int
    gid: int
    drop: bool

    def may_enter(self, directory: Path) -> bool:
        """Whether this user can reach a directory, by its and its parents' mode bits."""
        return all(self._may_search(place) for place in (directory, *directory.parents))

    def _may_search(self, directory: Path) -> bool:
        facts = directory.stat()
        if facts.st_uid == self.uid:
            return bool(facts.st_mode & stat.S_IXUSR)
        if facts.st_gid == self.gid:
            return bool(facts.st_mode & stat.S_IXGRP)
        return bool(facts.st_mode & stat.S_IXOTH)


def choose(data: Path | None) -> Account:
    """The account for a server on a data directory (None: a throw-away one).

    PostgreSQL refuses to run as root and its initdb wants a user with a name, so root becomes the
    owner of existing data, or else ``nobody``. No user is created.

    Raises:
        RootConfined: We are root and there is nobody to become.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), drop=False)
    try:
        owner = data.stat().st_uid if data is not None and data.exists() else 0
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam(UNPRIVILEGED)
    except KeyError as missing:
        raise RootConfined(
            "PostgreSQL refuses to run as root, and there is no other user to run it as",
            detail=str(missing),
            hint=f"Run this as a plain user, or {OWN_SERVER}.",
        ) from None
    return Account(entry.pw_uid, entry.pw_gid, drop=True)
