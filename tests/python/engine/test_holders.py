"""health() tells who holds back cleaning, also when no session does."""

import contextlib

import psycopg
import pytest


def test_a_prepared_transaction_is_named(actors, stage):
    if stage.execute("SHOW max_prepared_transactions").fetchone() == ("0",):
        pytest.skip("the server has max_prepared_transactions = 0")
    ann = actors()
    ann.register()
    ann.connection.autocommit = False
    name = "arvo-holders"
    try:
        xid = ann.connection.xid(1, name, "test")
        ann.connection.tpc_begin(xid)
        ann.put("prepared")
        ann.connection.tpc_prepare()
        # younger ones hold less, also those of other databases
        for _ in range(3):
            stage.execute("SELECT pg_current_xact_id()")
        told = stage.execute(
            "SELECT detail FROM arvo_v1.health() WHERE topic = 'oldest_snapshot'"
        ).fetchone()
        gids = stage.execute(
            "SELECT gid FROM pg_prepared_xacts ORDER BY age(transaction) DESC LIMIT 1"
        ).fetchone()
        assert told is not None
        assert gids is not None
        assert "prepared transaction" in told[0]
        assert gids[0][:20] in told[0]
    finally:
        with contextlib.suppress(psycopg.ProgrammingError):
            ann.connection.tpc_rollback()
