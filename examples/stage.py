"""Where an example runs: the database DATABASE_URL, or an embedded server that goes with it."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from arvo_plpg import embedded, schema

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def database() -> Iterator[str]:
    """Give the connection string of a migrated database."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    given = os.environ.get("DATABASE_URL")
    if given:
        schema.migrate(given)
        yield given
        return
    with embedded.start() as server:
        schema.migrate(server.uri)
        yield server.uri
