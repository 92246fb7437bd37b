"""The page in a real browser; skipped where there is no Chromium."""

import os
import shutil
import subprocess
import threading
import time

import httpx
import pytest
import uvicorn

from arvo_plpg.page import PageOptions, create_app

CHROMIUM = shutil.which("chromium")
OWNED = (
    "</title></text><script>document.title='owned'</script>"
    "<img src=x onerror=\"document.title='owned'\">"
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (Debian: chromium)")


@pytest.fixture
def address(dsn):
    """The page, served; and the paths that were asked for: address, asked."""
    asked = []
    app = create_app(PageOptions(dsn, show_payloads=True))

    async def noting(scope, receive, send):
        if scope["type"] == "http":
            asked.append(scope["path"])
        await app(scope, receive, send)

    config = uvicorn.Config(noting, host="127.0.0.1", port=0, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", asked
    server.should_exit = True
    thread.join(10)


def look(address, profile, *more):
    """Have Chromium open an address; give the document as it is then, and what it complained of."""
    command = [
        CHROMIUM,
        "--headless=new",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=9000",
        "--dump-dom",
        *more,
    ]
    if os.geteuid() == 0:
        command.append("--no-sandbox")
    run = subprocess.run(
        [*command, address], capture_output=True, text=True, timeout=90, check=True
    )
    complaints = [line for line in run.stderr.splitlines() if ":CONSOLE" in line]
    return run.stdout, complaints


def test_a_live_page_renews_itself_and_breaks_no_rule(address, dispatch, tmp_path):
    place, asked = address
    dispatch("1", "com.example.task")
    deadline = time.monotonic() + 20
    while "com.example.task" not in httpx.get(place).text:  # queues are looked up now and then
        assert time.monotonic() < deadline
    asked.clear()
    document, complaints = look(place, tmp_path)
    assert "com.example.task" in document
    assert asked.count("/") >= 2
    assert "/static/style.css" in asked
    assert not complaints


@pytest.mark.parametrize("path", ["/dead", "/dead/letter?dead=1", "/story?event=e1", "/health"])
def test_no_text_runs(address, kill, tmp_path, path):
    error = {"name": OWNED, "message": OWNED, "stack": OWNED}
    assert kill("e1", error=error, data={"x": OWNED}) == 1
    place, asked = address
    document, complaints = look(place + path, tmp_path)
    assert "<title>owned" not in document
    assert "/x" not in asked
    assert not complaints
    assert "</html>" in document
