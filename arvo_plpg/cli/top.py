"""``arvo-plpg top``: queues and workers, live."""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

from arvo_plpg.cli.board import Board, Look, now
from arvo_plpg.cli.calls import broker
from arvo_plpg.cli.options import LONGEST_SLEEP_SECONDS, add_command, dsn, duration, positive
from arvo_plpg.cli.paper import has_colour, json_line
from arvo_plpg.errors import ArvoError, PackageMissing
from arvo_plpg.schema.target import Target

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.rows import Vital
    from arvo_plpg.sync import Broker

_HEALTH_SECONDS = 15.0
_KEYS = {
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"\x1b[H": "home",
    b"\x1b": "q",
}


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "top",
        summary="watch queues and workers, live",
        description="The whole screen, live: depth and its history, oldest, running, rates, "
        "failures, dead letters, workers, warnings (extra: cli). With --json one line for each "
        "look. It goes on when the database restarts.",
        example="arvo-plpg top\narvo-plpg top --json --every 10s --count 6",
        run=run,
    )
    parser.add_argument("queue", nargs="?", help="only this one")
    parser.add_argument(
        "--every",
        type=duration,
        default=duration("2s"),
        metavar="TIME",
        help="how often to look (default: 2s)",
    )
    parser.add_argument("--count", type=positive, metavar="N", help="end after so many looks")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    dsn(arguments)
    if arguments.json:
        return _run_json(arguments)
    if not sys.stdout.isatty():
        raise ArvoError(
            "arvo-plpg top needs a terminal", hint="Elsewhere: arvo-plpg top --json, or queues"
        )
    try:
        import rich  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise PackageMissing("rich", "cli") from None
    return _run_screen(arguments)


def _run_json(arguments: argparse.Namespace) -> int:
    looks = 0
    try:
        with broker(arguments, "arvo-plpg top") as calls:
            while True:
                sys.stdout.write(json_line(_look(calls, arguments.queue, ()).as_dict()))
                sys.stdout.flush()
                looks += 1
                if looks == arguments.count:
                    return 0
                time.sleep(_seconds(arguments))
    except KeyboardInterrupt:
        return 0


def _seconds(arguments: argparse.Namespace) -> float:
    return min(max(float(arguments.every.total_seconds()), 0.1), LONGEST_SLEEP_SECONDS)


def _look(calls: Broker, queue: str | None, warnings: Sequence[Vital]) -> Look:
    return Look(now(), calls.queue_stats(queue), calls.workers(), warnings)


def _run_screen(arguments: argparse.Namespace) -> int:
    from rich.console import Console  # noqa: PLC0415 - an extra
    from rich.live import Live  # noqa: PLC0415 - an extra

    console = Console(highlight=False, no_color=not has_colour(sys.stdout))
    board = Board(_title(arguments), _seconds(arguments))
    looks = _Looks(arguments, board)
    looks.next()  # what is wrong at the beginning is told plainly
    try:
        with (
            _keys() as read,
            Live(console=console, screen=True, auto_refresh=False) as live,
        ):
            while True:
                live.update(board.draw(console.width, console.height), refresh=True)
                if arguments.count and looks.number >= arguments.count:
                    return 0
                key = read(1.0 if board.held else looks.wait())
                if key and not board.press(key):
                    return 0
                if not board.held and looks.wait() <= 0:
                    looks.next()
    except KeyboardInterrupt:
        return 0
    finally:
        looks.close()


class _Looks:
    """Looks, one after the other, over a connection that is made anew when it breaks."""

    def __init__(self, arguments: argparse.Namespace, board: Board) -> None:
        self._arguments = arguments
        self._board = board
        self._context = broker(arguments, "arvo-plpg top")
        self._calls: Broker | None = None
        self._due = 0.0
        self._health_due = 0.0
        self._warnings: Sequence[Vital] = ()
        self.number = 0

    def wait(self) -> float:
        """Return how many seconds it is to the next look."""
        return max(self._due - time.monotonic(), 0.0)

    def next(self) -> None:
        """Look. Only the first one raises what is wrong."""
        try:
            if self._calls is None:
                self._context = broker(self._arguments, "arvo-plpg top")
                self._calls = self._context.__enter__()
            if self._health_due <= time.monotonic():
                vitals = self._calls.health()
                self._warnings = [vital for vital in vitals if vital.level == "warning"]
                self._health_due = time.monotonic() + _HEALTH_SECONDS
            self._board.see(_look(self._calls, self._arguments.queue, self._warnings))
        except Exception as error:
            self._give_up(error)
            if not self.number:
                raise
        self.number += 1
        self._due = time.monotonic() + self._board.every

    def _give_up(self, error: Exception) -> None:
        self.close(error)
        detail = error.message if isinstance(error, ArvoError) else type(error).__name__
        self._board.trouble = f"{detail}; trying again"

    def close(self, error: Exception | None = None) -> None:
        """Let go of the connection."""
        if self._calls is None:
            return
        self._calls = None
        with suppress(ArvoError):  # it has been told
            self._context.__exit__(type(error) if error else None, error, None)


def _title(arguments: argparse.Namespace) -> str:
    parts = conninfo_to_dict(Target.parse(dsn(arguments)).conninfo)
    host = str(parts.get("host") or os.environ.get("PGHOST") or "local")
    where = "local" if host.startswith("/") else host
    name = parts.get("dbname") or os.environ.get("PGDATABASE") or ""
    return f"arvo-plpg  {where}/{name}  {arguments.schema}"


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Give a function that waits for a key for so many seconds; empty when none was pressed."""
    import termios  # noqa: PLC0415 - not everywhere
    import tty  # noqa: PLC0415

    if not sys.stdin.isatty():

        def wait(seconds: float) -> str:
            time.sleep(seconds)
            return ""

        yield wait
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)

    def read(seconds: float) -> str:
        if not select.select([number], [], [], seconds)[0]:
            return ""
        pressed = os.read(number, 16)
        if not pressed:  # the terminal has gone
            return "q"
        return _KEYS.get(pressed) or pressed[:1].decode("ascii", "ignore")

    try:
        tty.setcbreak(number)
        yield read
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
