"""Write docs/cli.md: commands and options from the parser, outputs from a run on a new server.

Usage: python tools/cli_docs.py write
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import psycopg
import pyte

from arvo_plpg import create_arvo_event, embedded
from arvo_plpg.cli import parser
from arvo_plpg.sync import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arvo_plpg.event import ArvoEvent

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cli.md"
WORKER = """
async def register(broker):
    pass  # await broker.register(handler)
"""
SEED = """
CREATE SCHEMA seed;
CREATE TABLE seed.arvopg_mm_state (
    subject varchar(255) PRIMARY KEY, data jsonb NOT NULL, version integer NOT NULL DEFAULT 1,
    execution_status varchar(255) NOT NULL, parent_subject varchar(255), initiator varchar(255),
    source varchar(255) NOT NULL, created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now()
);
CREATE TABLE seed.arvopg_mm_lock (
    subject varchar(255) PRIMARY KEY, locked_at timestamp NOT NULL, expires_at timestamp NOT NULL,
    created_at timestamp DEFAULT now()
);
CREATE TABLE seed.arvopg_mm_hierarchy (
    subject varchar(255) PRIMARY KEY, parent_subject varchar(255),
    root_subject varchar(255) NOT NULL, created_at timestamp DEFAULT now()
);
INSERT INTO seed.arvopg_mm_state (subject, data, version, execution_status, source)
SELECT 'order/' || n, '{"executionStatus": "normal"}', n, 'normal', 'com.example.order'
FROM generate_series(101, 103) AS n;
INSERT INTO seed.arvopg_mm_hierarchy (subject, root_subject)
SELECT subject, subject FROM seed.arvopg_mm_state;
INSERT INTO seed.arvopg_mm_lock (subject, locked_at, expires_at)
VALUES ('order/103', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' + interval '3 minutes');
"""
"""The tables of the TypeScript package, with something in them."""
COMMON = {"-h", "--help", "--dsn", "--schema", "--json", "--sql-root"}
PRELUDE = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
RUNS = {
    "migrate": ["migrate --dry-run", "migrate"],
    "rollback": ["rollback --to 3 --dry-run"],
    "doctor": ["doctor"],
    "queues": ["queues"],
    "stats": ["stats", "stats com.example.pay"],
    "top": ["top"],
    "trace": ["trace order/42"],
    "explain": ["explain 4"],
    "dispatch": ["dispatch event.json"],
    "dead list": ["dead list"],
    "dead show": ["dead show 1"],
    "dead redrive": ["dead redrive --queue com.example.mail --text Busy"],
    "dead discard": ["dead discard 2 --dry-run", "dead discard 2 --yes"],
    "pause": ["pause com.example.mail"],
    "resume": ["resume 'com.example.*'"],
    "drain": ["drain com.example.mail", "resume com.example.mail"],
    "purge": ["purge com.example.news --dry-run", "purge com.example.news --yes"],
    "recreate": ["recreate com.example.news --yes"],
    "drop": ["drop com.example.news --yes"],
    "cancel": ["cancel --queue com.example.mail --text newsletter --yes"],
    "retry": ["retry --queue com.example.mail"],
    "move": ["move --to com.example.slow --queue com.example.mail --limit 2"],
    "schedule add": ["schedule add nightly '0 3 * * *' night.json --time-zone Europe/Berlin"],
    "schedule list": ["schedule list"],
    "schedule pause": ["schedule pause nightly"],
    "schedule resume": ["schedule resume nightly"],
    "schedule remove": ["schedule remove nightly --yes"],
    "schedule next": [
        "schedule next '30 2 * * *' --time-zone Europe/Berlin --from 2030-03-29T12:00Z --count 3"
    ],
    "worker": ["worker shop:register --health 8080"],
    "export history": ["export history --queue com.example.pay --limit 1"],
    "export dead": ["export dead --resolved --output dead.jsonl"],
    "rebase": ["rebase --dry-run"],
    "accept-cluster": ["accept-cluster"],
    "import-v1": [
        "import-v1 --from-schema seed --time-zone UTC --dry-run",
        "import-v1 --from-schema seed --time-zone UTC --locked carry",
    ],
    "serve": ["serve --port 8321"],
    "sandbox": ["sandbox -- arvo-plpg doctor"],
    "demo": ["demo"],
    "completion": ["completion bash"],
}
"""What is run for each command, in this order."""
SHOWN_LINES = {"demo": 12, "completion": 4, "sandbox": 6}


def leaves(
    made: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Give the commands, by name, with their parsers."""
    groups = [one for one in made._actions if isinstance(one, argparse._SubParsersAction)]  # noqa: SLF001
    if not groups:
        yield " ".join(words), made
    for group in groups:
        for name, child in group.choices.items():
            yield from leaves(child, (*words, name))


def arguments_of(made: argparse.ArgumentParser) -> dict[str, str]:
    """Return the command's own arguments and what they mean."""
    told = {}
    for action in made._actions:  # noqa: SLF001
        if action.help == argparse.SUPPRESS or COMMON & set(action.option_strings):
            continue
        shown = action.metavar if isinstance(action.metavar, str) else None
        if action.option_strings:
            value = "" if action.nargs == 0 else f" {shown or action.dest.upper()}"
            name = ", ".join(action.option_strings) + value
        else:
            name = shown or action.dest
        told[name] = (action.help or "") % {**vars(action), "prog": made.prog}
    return told


class Stage:
    """A server with something to show.

    Args:
        uri: the server.
        folder: where files for the commands lie.
    """

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri = uri
        self.folder = folder
        places = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {
            **os.environ, "DATABASE_URL": uri, "COLUMNS": "118", "PATH": places
        }  # fmt: skip
        event = self.event("com.example.mail", "com.example.mail.send", to="com.example.mail")
        given = {name: value for name, value in event.to_dict().items() if value is not None}
        for gone in ("id", "time", "specversion", "datacontenttype"):
            del given[gone]
        (folder / "event.json").write_text(json.dumps(given))
        (folder / "night.json").write_text(json.dumps({**given, "subject": "night"}))
        (folder / "shop.py").write_text(WORKER)

    def event(self, source: str, kind: str, **more: object) -> ArvoEvent:
        """Make an event."""
        given = {"subject": "order/42", "data": {"amount": 7}} | more
        return create_arvo_event(source=source, type=kind, **given)  # type: ignore[arg-type]

    def fill(self) -> None:
        """Have a story told, and queues filled."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            calls = Broker(connection)
            for queue in ("order", "pay", "ship", "mail", "slow", "news"):
                calls.register_queue(f"com.example.{queue}", retry_limit=int(queue == "pay"))
            order = self.event(
                "com.example.shop", "com.example.order.placed", to="com.example.order"
            )
            calls.dispatch(order)
            asked = [
                self.event(
                    "com.example.order", f"com.example.{name}.do", to=f"com.example.{name}",
                    parentid=order.id,
                ).to_dict()
                for name in ("pay", "ship")
            ]  # fmt: skip
            settle(calls, "order", run_time=4200, events=asked)
            settle(calls, "pay", "failed", error={"name": "Busy", "message": "try again"})
            settle(calls, "pay", run_time=25_000)
            settle(calls, "ship", run_time=900)
            mails = [
                self.event(
                    "com.example.shop", "com.example.mail.send", to="com.example.mail",
                    subject=f"mail/{n}", data={"text": "newsletter" if n % 3 else "bill"},
                )
                for n in range(9)
            ]  # fmt: skip
            calls.dispatch_many(mails[:3])
            settle(calls, "mail", "failed", 2, error={"name": "Busy", "message": "421 try later"})
            settle(calls, "mail", "rejected", 1, error={"name": "NoSuchUser", "message": "550 no"})
            calls.dispatch_many(mails[3:7])
            calls.dispatch_many(mails[7:], start_after=timedelta(hours=2))
            news = [
                self.event(
                    "com.example.shop", "com.example.news.read", to="com.example.news",
                    subject=f"n/{n}",
                )
                for n in range(2500)
            ]  # fmt: skip
            calls.dispatch_many(news)
            calls.maintain()

    def run(self, line: str) -> str:
        """Run a command line and return what it prints."""
        if line == "top":
            return self.screen()
        if line.startswith("worker"):
            return self.ended(line, "ready")
        if line.startswith("serve"):
            return self.ended(line, "http://")
        environment = dict(self.environment)
        if line == "demo":
            del environment["DATABASE_URL"]
        ran = subprocess.run(
            [sys.executable, "-m", "arvo_plpg", *shlex.split(line)],
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        return ran.stdout

    def screen(self) -> str:
        """Return what ``top`` shows on a terminal."""
        size = (14, 104)
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        program = subprocess.Popen(
            [sys.executable, "-m", "arvo_plpg", "top", "--every", "500ms"],
            env={**self.environment, "TERM": "xterm", "COLUMNS": str(size[1]), "LINES": "14"},
            stdin=slave, stdout=slave, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        screen = pyte.Screen(size[1], size[0])
        stream = pyte.ByteStream(screen)
        deadline = time.monotonic() + 6
        while (left := deadline - time.monotonic()) > 0:
            if select.select([master], [], [], left)[0]:
                stream.feed(os.read(master, 65536))
        text = "\n".join(line.rstrip() for line in screen.display)
        program.terminate()
        program.wait()
        os.close(master)
        return text

    def seed(self) -> None:
        """Put the tables of the TypeScript package beside ours."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(SEED.encode())

    def ended(self, line: str, sign: str) -> str:
        """Start a command that goes on, end it when it has said so much, and return its log."""
        program = subprocess.Popen(
            [sys.executable, "-m", "arvo_plpg", *shlex.split(line)],
            cwd=self.folder, env=self.environment, text=True, stderr=subprocess.PIPE,
        )  # fmt: skip
        if program.stderr is None:
            raise SystemExit("no standard error")
        told = ""
        while sign not in told:
            read = program.stderr.readline()
            if not read:
                raise SystemExit(told)
            told += read
        program.send_signal(signal.SIGTERM)
        return told + program.communicate(timeout=60)[1]


def settle(
    calls: Broker, queue: str, outcome: str = "completed", limit: int = 10, **more: object
) -> None:
    """Claim and settle."""
    claimed = calls.claim([f"com.example.{queue}"], limit, "worker-1")
    calls.settle(
        [
            {"lease": one.lease, "delivery": one.delivery, "outcome": outcome, **more}
            for one in claimed
        ]
    )


def page() -> str:
    """Return the page, its examples run now."""
    outputs: dict[str, str] = {}
    with TemporaryDirectory() as folder, embedded.start(options=["fsync=on"]) as server:
        stage = Stage(server.uri, Path(folder))
        for name, lines in RUNS.items():
            told = []
            for line in lines:
                if name == "rollback":
                    stage.fill()
                if name == "import-v1" and line == lines[0]:
                    stage.seed()
                printed = stage.run(line).rstrip("\n").split("\n")
                most = SHOWN_LINES.get(name, 40)
                if len(printed) > most:
                    printed = [*printed[:most], "…"]
                told.append("\n".join([f"$ arvo-plpg {line}", *printed]))
            outputs[name] = "\n".join(told)
    parts = [PRELUDE]
    for name, made in leaves(parser()):
        parts.append(f"### `{name}`\n{made.description}\n")
        if meanings := arguments_of(made):
            rows = [f"| `{key}` | {escaped(value)} |" for key, value in meanings.items()]
            parts.append("\n".join(["| argument | |", "|---|---|", *rows, ""]))
        if name in outputs:
            parts.append(f"```console\n{outputs[name]}\n```\n")
        else:  # it serves until it is ended, or needs another database
            parts.append(f"```console\n{examples_of(made)}\n```\n")
    return "\n".join(parts)


def examples_of(made: argparse.ArgumentParser) -> str:
    """Return the examples of a command's help, as they are typed."""
    lines = (made.epilog or "").split("\n")[1:]
    return "\n".join(f"$ {line.strip()}" for line in lines)


def escaped(text: str) -> str:
    """Return a text for a cell of a table."""
    return re.sub(r"([|*<])", r"\\\1", text)


if __name__ == "__main__":
    if sys.argv[1:] != ["write"]:
        raise SystemExit(__doc__)
    PAGE.write_text(page(), encoding="utf-8")
