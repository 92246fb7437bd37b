"""The pytest plugin: a server for the session, a database of its own for each test.

The server is that of ``ARVO_TEST_DSN`` (whose role must be able to create databases and roles), or
an embedded one without durability, from the extra ``embedded``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from arvo_plpg.testing.broker import TestBroker
from arvo_plpg.testing.databases import create, drop, dsn_of, make_template

if TYPE_CHECKING:
    from collections.abc import Iterator

GIVEN = "ARVO_TEST_DSN"


@pytest.fixture(scope="session")
def arvo_server() -> Iterator[str]:
    """Connection string of a server to make databases on."""
    given = os.environ.get(GIVEN)
    if given:
        yield given
        return
    from arvo_plpg import embedded  # noqa: PLC0415 - an extra

    with embedded.start() as server:
        yield server.uri


@pytest.fixture(scope="session")
def arvo_template(arvo_server: str) -> Iterator[str]:
    """Name of a migrated database that each test gets a copy of."""
    name = make_template(arvo_server)
    yield name
    drop(arvo_server, name)


@pytest.fixture
def arvo_dsn(arvo_server: str, arvo_template: str) -> Iterator[str]:
    """Connection string of a database of the test's own, migrated and empty."""
    name = create(arvo_server, arvo_template)
    yield dsn_of(arvo_server, name)
    drop(arvo_server, name)


@pytest.fixture
def broker(arvo_dsn: str) -> TestBroker:
    """A broker on a database of the test's own; see :class:`arvo_plpg.testing.TestBroker`."""
    return TestBroker(arvo_dsn)
