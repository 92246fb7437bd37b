"""The command that serves the page, as a program that starts it sees it."""

import json
import socket
import subprocess
import sys

import httpx
import pytest


@pytest.fixture
def serve(dsn):
    """Start `arvo-plpg serve …`; it is ended with the test."""
    started = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-m", "arvo_plpg", "serve", "--dsn", dsn, *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=20)


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize(
    ("host", "written"),
    [
        ("127.0.0.1", "127.0.0.1"),
        pytest.param("::1", "[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="needs IPv6")),
    ],
)
def test_the_address_that_is_told_can_be_asked(serve, host, written):
    """Whoever reads the line may ask at once, also where the system has chosen the port."""
    process = serve("--json", "--host", host, "--port", "0")
    url = json.loads(process.stdout.readline())["url"]
    assert url.startswith(f"http://{written}:")
    assert httpx.get(f"{url}healthz", timeout=20).status_code in {200, 503}


def test_without_its_port_it_tells_no_address(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = serve("--json", "--port", str(taken.getsockname()[1]))
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "in use" in err
    assert "Traceback" not in err
