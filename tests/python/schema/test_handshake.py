"""The handshake: who must upgrade."""

from __future__ import annotations

import psycopg
import pytest

from arvo_plpg import errors
from arvo_plpg.schema import Offer, about_query, judge, migrate, offer
from arvo_plpg.schema.handshake import ABSENT


@pytest.mark.parametrize("revision", [7, 8, 9])
def test_equal_or_newer_is_good_enough(revision):
    judge((1, revision, 0), Offer(revision=8, needed=7))


@pytest.mark.parametrize("oldest", [None, 0, 8])
def test_a_client_that_is_still_served(oldest):
    judge((1, 9, oldest), Offer(revision=8, needed=7))


@pytest.mark.parametrize("row", [None, (1, None, None)])
def test_nothing_installed(row):
    with pytest.raises(errors.SchemaMissing, match="Run: arvo-plpg migrate"):
        judge(row, Offer(8, 7))


def test_a_database_that_lacks_a_migration():
    with pytest.raises(
        errors.SchemaTooOld, match=r"revision 6; this package needs 7[\s\S]*migrate"
    ):
        judge((1, 6, 0), Offer(8, 7))


def test_a_client_that_is_no_longer_served():
    with pytest.raises(errors.ClientTooOld, match=r"from 9 on[\s\S]*Upgrade the package"):
        judge((1, 9, 9), Offer(8, 7))


def test_an_offer_is_read_from_the_files(house):
    house.table(2, "two")
    house.table(3, "three", phase="after")
    assert offer(house.root) == Offer(revision=3, needed=2)


def test_a_name_that_is_no_name_never_becomes_sql():
    with pytest.raises(errors.InvalidSchemaName):
        about_query("x; DROP SCHEMA y")


ABOUT = """
CREATE FUNCTION {s}_v1.about(OUT contract int, OUT revision int, OUT oldest_client int)
LANGUAGE sql AS $$ SELECT 1, max(number), max(oldest_client) FROM {s}.revision $$
"""


def test_with_a_database_blocking_and_async(dsn, schema, house):
    with psycopg.connect(dsn) as conn, pytest.raises(ABSENT):
        conn.execute(about_query(schema))
    migrate(dsn, schema=schema, sql_root=house.root)
    with psycopg.connect(dsn) as conn:
        conn.execute(ABOUT.replace("{s}", schema))
        row = conn.execute(about_query(schema)).fetchone()
    assert row == (1, 1, 0)
    judge(row, offer(house.root))


async def test_with_a_database_asynchronously(dsn, schema, house):
    async with await psycopg.AsyncConnection.connect(dsn) as conn:
        with pytest.raises(ABSENT):
            await conn.execute(about_query(schema))
