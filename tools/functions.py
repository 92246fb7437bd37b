"""Put every function file into the database DATABASE_URL as it stands, for development.

A database that others rely on is brought forward by `make migrate` instead.
"""

import os
import sys
from pathlib import Path

import psycopg

FUNCTIONS = Path(__file__).resolve().parent.parent / "sql" / "functions"
OWNER = "arvo_owner"


def main() -> int:
    """Run all files in one transaction, as the owner of the functions."""
    dsn = os.environ.get("DATABASE_URL")
    if not dsn:
        sys.stderr.write("functions: set DATABASE_URL to your development database\n")
        return 1
    files = sorted(FUNCTIONS.glob("*/*.sql"))
    with psycopg.connect(dsn) as connection:
        connection.execute("SET LOCAL check_function_bodies = off")  # bodies may name later ones
        connection.execute(f"SET LOCAL ROLE {OWNER}")
        for path in files:
            try:
                connection.execute(path.read_bytes())
            except psycopg.Error as error:
                remedy = "its signature changed: drop the old function first, or make migration"
                hint = f" ({remedy})" if error.sqlstate == "42P13" else ""
                sys.stderr.write(f"functions: {path.name}: {error.diag.message_primary}{hint}\n")
                return 1
    print(f"functions: {len(files)} files applied")
    return 0


if __name__ == "__main__":
    sys.exit(main())
