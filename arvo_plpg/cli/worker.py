"""``arvo-plpg worker``: run a program's handlers until a signal ends them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from arvo_plpg.broker import PostgresEventBroker
from arvo_plpg.cli.health import Health
from arvo_plpg.cli.last_resort import LastResort
from arvo_plpg.cli.options import add_command, dsn, duration
from arvo_plpg.cli.reload import WATCHED, reloading
from arvo_plpg.errors import ArvoError, InvalidArgument
from arvo_plpg.plain import plain_lines
from arvo_plpg.runtime.log_fields import FIELDS
from arvo_plpg.runtime.signals import Signals
from arvo_plpg.schema.target import Target

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Callable

    from arvo_plpg.cli.options import Subcommands

_SPARE_SECONDS = 30.0
"""What connections to a database that is silent may take at most, beside the grace period."""

_LEFT_SECONDS = 5.0
"""How long the process may take to end when all is settled."""


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "worker",
        summary="run a program's handlers until a signal ends them",
        description="MODULE:BROKER names a function that is given a started PostgresEventBroker "
        "and registers handlers with it; or a function without parameters that gives an "
        "asynchronous context manager of a broker of its own. SIGTERM and SIGINT claim nothing "
        "more, let what runs finish, and end with 0; a second one gives back what still runs.",
        example="arvo-plpg worker shop.handlers:register --health 8080\n"
        "arvo-plpg worker shop.handlers:register --watch",
        run=run,
    )
    parser.add_argument("target", metavar="MODULE:BROKER", help="what to run")
    parser.add_argument("--name", help="the worker's name (default: host and process id)")
    parser.add_argument(
        "--grace",
        type=duration,
        default=duration("30s"),
        metavar="TIME",
        help="at the end, what still runs has so long (default: 30s)",
    )
    parser.add_argument(
        "--health",
        type=address,
        metavar="[HOST:]PORT",
        help="answer GET /live, /ready and /metrics over HTTP (host: 127.0.0.1; port 0: any); "
        "/metrics needs the extra 'metrics'",
    )
    parser.add_argument(
        "--watch",
        nargs="?",
        const=".",
        metavar="FOLDER",
        help="start again when a .py file below the folder changes (default: this one)",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="what to report on standard error (default: info)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    place = dsn(arguments)
    _log(arguments)
    if arguments.watch is not None and WATCHED not in os.environ:
        return reloading(Path(arguments.watch), arguments.grace.total_seconds())
    # As `python -m` does: what is named is looked for here first.
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - the path as text
    found = load(arguments.target)
    return asyncio.run(_serve(arguments, found, Target.parse(place).conninfo))


def address(text: str) -> tuple[str, int]:
    """Read ``8080`` or ``0.0.0.0:8080``."""
    import argparse  # noqa: PLC0415 - for the error only

    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text!r} is no port, such as 8080 or 0.0.0.0:8080")
    return host.strip("[]") or "127.0.0.1", int(port)


def load(target: str) -> Callable[..., Any]:
    """Import what MODULE:BROKER names.

    Raises:
        InvalidArgument: there is no such module or name, or it cannot be called.
    """
    module, _, name = target.partition(":")
    hint = "Name a function, as in: arvo-plpg worker shop.handlers:register"
    if not module or not name:
        raise InvalidArgument("MODULE:BROKER is not valid", detail=target, hint=hint)
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise InvalidArgument(
            "MODULE:BROKER is not valid", detail=f"no module named {error.name}", hint=hint
        ) from None
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        detail = f"{module} has no function {name}"
        raise InvalidArgument("MODULE:BROKER is not valid", detail=detail, hint=hint)
    return cast("Callable[..., Any]", found)


async def _serve(arguments: argparse.Namespace, found: Callable[..., Any], place: str) -> int:
    logger = logging.getLogger("arvo_plpg")
    grace = arguments.grace.total_seconds()
    last_resort = LastResort()

    def told(count: int) -> None:
        last_resort.within(_SPARE_SECONDS + (grace if count == 1 else 0))

    health = Health(arguments.health)
    with Signals(told) as signals:
        async with health, _broker(arguments, found, place, signals) as broker:
            health.watch(broker)
            logger.info("worker is ready: %s", ", ".join(broker.queues) or "no queues")
            await signals.first.wait()
            health.stopping = True
            await signals.stop(broker.stop, grace, logger)
        logger.info("worker has stopped")
        if _left_behind():
            sys.stdout.flush()  # nothing does when the process is ended by force
            last_resort.within(_LEFT_SECONDS, code=0)
    return 0


def _left_behind() -> bool:
    """Whether a handler that was cancelled may hold on to its task, or to a thread of a pool."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    threads = [one for one in threading.enumerate() if not one.daemon]
    return bool(others or threads[1:])


@contextlib.asynccontextmanager
async def _broker(
    arguments: argparse.Namespace, found: Callable[..., Any], place: str, signals: Signals
) -> AsyncIterator[PostgresEventBroker]:
    """Give a started broker with its handlers, in one of the two ways."""
    if not inspect.signature(found).parameters:
        async with found() as broker:
            if not isinstance(broker, PostgresEventBroker):
                raise InvalidArgument(
                    "MODULE:BROKER is not valid",
                    detail=f"it gives a {type(broker).__name__}",
                    hint="Yield a PostgresEventBroker that is started.",
                )
            yield broker
        return
    broker = PostgresEventBroker(place, schema=arguments.schema, name=arguments.name)
    await _start(broker, signals.first)
    try:
        answer = found(broker)
        if inspect.isawaitable(answer):
            await answer
        yield broker
    finally:
        await broker.stop(arguments.grace.total_seconds())


async def _start(broker: PostgresEventBroker, ended: asyncio.Event) -> None:
    """Start, unless a signal comes first."""
    starting = asyncio.create_task(broker.start())
    signalled = asyncio.create_task(ended.wait())
    try:
        await asyncio.wait([starting, signalled], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            raise ArvoError("stopped before it began")
        await starting
    finally:
        signalled.cancel()


class _Lines(logging.Formatter):
    """Log lines for people; nothing in them can forge another line or steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return plain_lines(super().format(record)).replace("\n", "\n    ")


class _JsonLines(logging.Formatter):
    """Log lines for programs."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told = {
            "at": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        told |= {
            name: found for name in FIELDS if (found := getattr(record, name, None)) is not None
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return json.dumps(told)


def _log(arguments: argparse.Namespace) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JsonLines() if arguments.json else _Lines("%(asctime)s %(levelname)s %(message)s")
    )
    logging.basicConfig(level=arguments.log_level.upper(), handlers=[handler])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
