"""A lock that did not wait for the disk, and a server that crashes."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from arvo_plpg import embedded
from arvo_plpg.schema import migrate


def crash(server, data):
    """Kill the server and all its processes: what is not on disk is lost."""
    with psycopg.connect(server.uri, autocommit=True) as connection:
        others = [pid for (pid,) in connection.execute("SELECT pid FROM pg_stat_activity")]
        postmaster = int(Path(data, "postmaster.pid").read_text().split()[0])
        for pid in [postmaster, *others]:
            os.kill(pid, signal.SIGKILL)
    server.stop()


def test_its_holder_is_refused_although_its_number_is_given_again(public_path):
    data = public_path / "data"
    server = embedded.start(data, durable=True)
    migrate(server.uri)
    with psycopg.connect(server.uri, autocommit=True) as connection:
        connection.execute("SELECT arvo_v1.write_state('flow', '{}')")
        connection.execute("CHECKPOINT")
        ((writer,),) = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
        )
        os.kill(writer, signal.SIGSTOP)
        ((lost,),) = connection.execute(
            "SELECT token FROM arvo_v1.lock_state('flow', '1 hour', false)"
        )
    crash(server, data)

    with (
        embedded.start(data, durable=True) as server,
        psycopg.connect(server.uri, autocommit=True) as connection,
    ):
        assert connection.execute("SELECT count(*) FROM arvo.state_lock").fetchone() == (0,)
        taken = lost
        while taken == lost:  # one in 4096
            ((taken,),) = connection.execute("SELECT token FROM arvo_v1.acquire_lock('flow')")
            assert taken >> 12 == lost >> 12, "the number has been given twice"
            if taken == lost:
                connection.execute("DELETE FROM arvo.state_lock")
                connection.execute("SELECT setval('arvo.lock_token', %s, false)", [lost >> 12])
        write = "SELECT arvo_v1.write_state('flow', '{}', 1, p_lock => %s)"
        with pytest.raises(psycopg.DatabaseError) as caught:
            connection.execute(write, [lost])
        assert caught.value.sqlstate == "RV302"
        assert connection.execute(write, [taken]).fetchone() == (2,)
