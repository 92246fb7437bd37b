"""Databases: what the tests of a session are given, made on a server."""

from __future__ import annotations

import secrets

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from arvo_plpg.schema import migrate


def dsn_of(server: str, database: str) -> str:
    """Give the connection string of one database of a server."""
    return make_conninfo(server, dbname=database)


def create(server: str, template: str = "template0") -> str:
    """Make a database as a copy of one that nobody is connected to; gives its name."""
    name = f"arvo_test_{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    return name


def drop(server: str, name: str) -> None:
    """Drop a database, and whoever is still connected to it."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


def make_template(server: str) -> str:
    """Make a migrated database to copy; gives its name."""
    name = create(server)
    with psycopg.connect(server, autocommit=True) as guard:
        # One session at a time: roles, which a first migration makes, are the whole server's.
        guard.execute("SELECT pg_advisory_lock(hashtext('arvo-plpg tests: roles'))")
        migrate(dsn_of(server, name))
    return name
