"""Screenshots of the page, of a live run: ``python tools/screenshots.py [DIRECTORY]``.

Starts an embedded database, lets the demonstration and a small shop work in it for half a minute,
serves the page and has Chromium (Debian: chromium) look at it. Writes docs/images/*.png.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import uvicorn

import arvo_plpg as arvo
from arvo_plpg import embedded, schema
from arvo_plpg.demo.show import show
from arvo_plpg.page import PageOptions, create_app
from arvo_plpg.page.looks import query

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SECONDS = 30.0
STEPS = {
    "com.shop.order": 0.004,
    "com.shop.payment": 0.03,
    "com.shop.stock": 0.012,
    "com.shop.parcel": 0.05,
    "com.shop.mail": 0.008,
}


class Shop:
    """One step of a shop: takes a while, sometimes fails, and asks the next one."""

    def __init__(self, source: str, following: str | None) -> None:
        self.source = source
        self._following = following

    async def execute(self, event: arvo.ArvoEvent) -> list[arvo.ArvoEvent]:
        """Do the step."""
        await asyncio.sleep(random.expovariate(1 / STEPS[self.source]))
        if self.source == "com.shop.payment" and random.random() < 0.04:  # noqa: S311, PLR2004
            raise ConnectionError("the bank does not answer")
        if self._following is None:
            return []
        return [
            arvo.create_arvo_event(
                source=self.source,
                type=self._following,
                to=self._following,
                subject=event.subject,
                parentid=event.id,
                data=dict(event.data),
            )
        ]


async def live(dsn: str, stop: threading.Event) -> None:
    """Work until told to stop."""
    await show(dsn, "arvo", lambda _: None, lambda _: None)
    names = list(STEPS)
    options = arvo.HandlerOptions(
        worker=arvo.WorkerOptions(concurrency=6, retry_limit=1, retry_delay=1)
    )
    async with arvo.PostgresEventBroker(dsn, name="shop-1:4711") as broker:
        for name, following in zip(names, [*names[1:], None], strict=True):
            await broker.register(Shop(name, following), options)
        async with broker.connection() as contract:
            template = {"source": "com.shop.clock", "subject": "nightly", "data": {}}
            for name, cron in (("nightly-report", "30 2 * * *"), ("restock", "*/15 * * * *")):
                event = template | {"type": "com.shop.stock", "to": "com.shop.stock"}
                await contract.schedule(name, cron, event, time_zone="Europe/Berlin")
            await contract.register_queue("com.shop.newsletter", policy="ordered")
            await contract.pause_queue("com.shop.newsletter")
        began = time.monotonic()
        while not stop.is_set():
            busy = int(time.monotonic() - began) % 7 < 2  # noqa: PLR2004
            burst = 25 if busy else random.randint(2, 8)  # noqa: S311
            await broker.dispatch_many(
                [
                    arvo.create_arvo_event(
                        source="com.shop.web",
                        type=to,
                        to=to,
                        subject=f"order-{random.randrange(10**6)}",  # noqa: S311
                        data={"cents": 1999},
                    )
                    for to in [names[0]] * burst + ["com.shop.newsletter"]
                ]
            )
            await asyncio.sleep(0.25)


@contextmanager
def served(options: PageOptions) -> Iterator[str]:
    """Serve the page in a thread; give its address."""
    server = uvicorn.Server(
        uvicorn.Config(create_app(options), host="127.0.0.1", port=0, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def alive(dsn: str) -> Iterator[None]:
    """Have the shop work in a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(live(dsn, stop)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def shoot(address: str, file: Path, *, height: int = 860, dark: bool = False) -> None:
    """Have Chromium look at a page."""
    browser = shutil.which("chromium")
    if browser is None:
        sys.exit("screenshots: chromium is not installed; on Debian: apt install chromium")
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser,
            "--headless=new",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            f"--window-size=1240,{height}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            f"--screenshot={file}",
        ]
        if os.geteuid() == 0:
            command.append("--no-sandbox")
        subprocess.run([*command, address], check=True, capture_output=True, timeout=60)
    print(file, file.stat().st_size)


def main() -> int:
    """Make them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=IMAGES)
    directory = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    logging.getLogger("arvo_plpg").setLevel(logging.CRITICAL)
    with embedded.start() as server:
        schema.migrate(server.uri)
        with served(PageOptions(server.uri, sample_seconds=0.5)) as address, alive(server.uri):
            time.sleep(SECONDS)
            with psycopg.connect(server.uri) as connection:
                subject, event = connection.execute(_EXAMPLES).fetchone() or ("", "")
            dead = query("/story", event=event)
            shoot(address, directory / "queues.png")
            shoot(address, directory / "queues-dark.png", dark=True)
            story = query("/story", subject=subject)
            shoot(address + story, directory / "story.png", height=920)
            shoot(address + dead, directory / "story-dead.png", height=600, dark=True)
    return 0


_EXAMPLES = """
SELECT
    (
        SELECT lineage.subject FROM arvo.lineage
        ORDER BY (SELECT count(*) FROM arvo_v1.trace(lineage.subject)) DESC LIMIT 1
    ),
    letter.event_id
FROM arvo_v1.dead_letters('com.shop.payment') AS letter
ORDER BY letter.dead DESC
LIMIT 1
"""

if __name__ == "__main__":
    raise SystemExit(main())
