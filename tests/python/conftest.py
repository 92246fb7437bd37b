"""A PostgreSQL server for the session, a migrated template, and a fresh database for each test.

The server is ARVO_TEST_DSN's (its role must be able to create databases and roles), or an embedded
one without durability. With pytest-xdist the controller owns the server and the workers share it,
each with a template of its own. ARVO_TEST_TEMPLATE names a database of ARVO_TEST_DSN's server that
is copied instead: tools/mutants.py judges functions with faults so.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import pytest
import scratch
from hypothesis import HealthCheck, settings
from psycopg import sql
from psycopg.conninfo import make_conninfo

from arvo_plpg import embedded

GIVEN = "ARVO_TEST_DSN"
GIVEN_TEMPLATE = "ARVO_TEST_TEMPLATE"
# Machines are shared: how long an example takes says nothing about what it shows.
settings.register_profile("arvo", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("arvo")
OPTIONS = ("max_connections=200", "deadlock_timeout=100ms", "max_prepared_transactions=20")

CONNECTED = "SELECT FROM pg_stat_activity WHERE datname = %s"


def migrate_database(dsn: str) -> None:
    """Bring a database to the newest migration: the one place where the rig does so."""
    from arvo_plpg.schema import migrate

    migrate(dsn)


@dataclass(frozen=True)
class TestServer:
    """Where the databases of this session are made.

    Attributes:
        dsn: Connection string of a role that may create databases.
        prefix: What their names begin with; other sessions have other prefixes.
    """

    __test__ = False

    dsn: str
    prefix: str

    def dsn_of(self, database: str) -> str:
        """Connection string for one of its databases."""
        return make_conninfo(self.dsn, dbname=database)

    def create(self, template: str = "template0") -> str:
        """Make a database from a template that nobody is connected to; returns its name."""
        name = f"{self.prefix}_{secrets.token_hex(6)}"
        # About as fast as a copy through the log on a server without fsync, and it writes no log.
        self._run("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", name, template)
        return name

    def drop(self, name: str) -> None:
        """Drop a database, and whoever is still connected to it."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            # Whom it finds leaving costs DROP DATABASE a nap of a tenth of a second.
            deadline = time.monotonic() + 0.1
            while time.monotonic() < deadline and connection.execute(CONNECTED, [name]).fetchone():
                time.sleep(0.001)
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def drop_all(self) -> None:
        """Drop what this session may have left."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            names = connection.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, %s)",
                [f"{self.prefix}_"],
            ).fetchall()
        for (name,) in names:
            self.drop(name)

    def _run(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


shared_server = pytest.StashKey[embedded.Server]()
temporary_files = pytest.StashKey[ExitStack]()


class Sharing:
    """With pytest-xdist: the controller's server is the workers' server."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker about it; the first one has it started."""
        if not os.environ.get(GIVEN):
            if shared_server not in self.config.stash:
                self.config.stash[shared_server] = embedded.start(options=OPTIONS)
            node.workerinput["arvo_dsn"] = self.config.stash[shared_server].uri


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # workers inherit it
        config.stash[temporary_files] = stack = ExitStack()
        stack.enter_context(scratch.temporary_files())
    if config.pluginmanager.hasplugin("dsession"):
        config.pluginmanager.register(Sharing(config))


def pytest_unconfigure(config: pytest.Config) -> None:
    server = config.stash.get(shared_server, None)
    if server is not None:
        server.stop()
    if temporary_files in config.stash:
        config.stash[temporary_files].close()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take longer than usual begins first: no worker is left with it at the end."""

    def patience(item: pytest.Item) -> float:
        mark = item.get_closest_marker("timeout")
        return mark.args[0] if mark else 0

    items.sort(key=patience, reverse=True)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[TestServer]:
    """The server of this session."""
    prefix = f"arvo_test_{secrets.token_hex(4)}"
    workerinput = getattr(request.config, "workerinput", {})
    given = os.environ.get(GIVEN) or workerinput.get("arvo_dsn")
    if given:
        place = TestServer(given, prefix)
        yield place
        place.drop_all()
    else:
        with embedded.start(options=OPTIONS) as own:
            yield TestServer(own.uri, prefix)


@pytest.fixture(scope="session")
def template(server: TestServer) -> str:
    """Name of a migrated database to copy; connect to a copy, never to it."""
    given = os.environ.get(GIVEN_TEMPLATE)
    if given:
        return given
    name = server.create()
    with psycopg.connect(server.dsn, autocommit=True) as guard:
        # One worker at a time: roles, which a first migration makes, are the whole server's.
        guard.execute("SELECT pg_advisory_lock(hashtext('arvo-plpg tests: roles'))")
        migrate_database(server.dsn_of(name))
    return name


@pytest.fixture
def empty_dsn(server: TestServer) -> Iterator[str]:
    """Connection string of a new database that nothing was migrated into."""
    name = server.create()
    yield server.dsn_of(name)
    server.drop(name)


@pytest.fixture
def dsn(server: TestServer, template: str) -> Iterator[str]:
    """Connection string of a new, migrated database."""
    name = server.create(template)
    yield server.dsn_of(name)
    server.drop(name)


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    """An autocommit connection to the test's own database."""
    with psycopg.connect(dsn, autocommit=True) as open_connection:
        yield open_connection


@pytest.fixture
def frozen() -> Callable[[psycopg.Connection, datetime | str | None], None]:
    """Stop a connection's clock: frozen(connection, "2030-01-01T00:00:00Z"); None: it runs."""

    def freeze(open_connection: psycopg.Connection, moment: datetime | str | None) -> None:
        text = moment.isoformat() if isinstance(moment, datetime) else moment or ""
        open_connection.execute("SELECT set_config('arvo.frozen_clock', %s, false)", [text])

    return freeze


@pytest.fixture(scope="session")
def eventually() -> Callable[..., bool]:
    """Wait for a condition: eventually(condition, seconds=15.0) is false if it does not come."""

    def wait(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    return wait
