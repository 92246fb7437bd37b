"""Flush: what a connection in a pipeline has to send, sent to its end.

psycopg's pipeline sends what the socket takes at once. The rest would wait for the next call, and
when that is one that reads, both sides wait for each other: the server for the rest of a long
message, and the client for the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.waiting import Ready, Wait

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGconn


def flush(connection: PGconn) -> PQGen[None]:
    """Send everything; to be driven by the ``wait`` of a connection of psycopg."""
    while connection.flush():
        if (yield Wait.RW) & Ready.R:
            connection.consume_input()
