"""What the other tests stand on: a fresh database each, and a clock that can be stopped."""

from datetime import UTC, datetime

import psycopg
import pytest


@pytest.mark.parametrize("time", [1, 2])
def test_each_test_has_a_database_of_its_own(connection, time):
    connection.execute("CREATE TABLE mine ()")
    schemas = connection.execute("SELECT to_regnamespace('arvo') IS NOT NULL").fetchone()
    assert schemas == (True,)


def test_two_databases_of_one_server_are_two(dsn, empty_dsn):
    with psycopg.connect(empty_dsn) as bare:
        assert bare.execute("SELECT to_regnamespace('arvo')").fetchone() == (None,)
    with psycopg.connect(dsn) as migrated:
        assert migrated.execute("SELECT to_regnamespace('arvo')").fetchone() == ("arvo",)


def test_a_dropped_database_takes_its_sessions_along(server):
    name = server.create()
    with psycopg.connect(server.dsn_of(name)) as left_open:
        server.drop(name)
        with pytest.raises(psycopg.OperationalError):
            left_open.execute("SELECT 1")


def test_the_clock_stands_still_and_runs_again(connection, frozen):
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    frozen(connection, moment)
    assert connection.execute("SELECT arvo.clock()").fetchone() == (moment,)
    frozen(connection, "2031-01-01T00:00:00Z")
    assert connection.execute("SELECT arvo.clock()").fetchone() == (moment.replace(year=2031),)
    frozen(connection, None)
    row = connection.execute(
        "SELECT clock_timestamp() - arvo.clock() < interval '1 min'"
    ).fetchone()
    assert row == (True,)


def test_a_condition_that_does_not_come_is_given_up(eventually):
    assert eventually(lambda: True)
    assert not eventually(lambda: False, seconds=0.02)
