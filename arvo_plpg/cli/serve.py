"""``arvo-plpg serve``: a page to look at, and metrics for Prometheus."""

from __future__ import annotations

import ipaddress
import os
import secrets
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from arvo_plpg.cli.options import add_command, dsn, port
from arvo_plpg.cli.paper import json_line
from arvo_plpg.errors import InvalidOption, PackageMissing
from arvo_plpg.schema.target import Target

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands

TOKEN_VARIABLE = "ARVO_PAGE_TOKEN"  # noqa: S105 - its name


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "serve",
        summary="show queues, stories and dead letters in a browser",
        description="Serve pages that show queues with live charts, the story of a workflow, dead "
        "letters, schedules and health; /metrics for Prometheus, /healthz. Read-only unless "
        "actions are allowed. Needs the extra 'page'.",
        example="arvo-plpg serve --port 8321\narvo-plpg serve --allow-actions --token-file token",
        run=run,
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to bind (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=port, default=8321, help="port; 0: a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name that the page goes by, such as that of a proxy; may be repeated",
    )
    parser.add_argument(
        "--allow-actions",
        action="store_true",
        help="let those who sign in redrive, discard, pause and resume",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"holds the token to sign in with (default: ${TOKEN_VARIABLE}; with neither, actions "
        "have one that is printed)",
    )
    parser.add_argument(
        "--show-payloads", action="store_true", help="show the data of events, which are hidden"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    try:
        import uvicorn  # noqa: PLC0415 - an extra

        from arvo_plpg.page import PageOptions, create_app  # noqa: PLC0415
        from arvo_plpg.page.serving import Server  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise PackageMissing(str(error.name), "page") from error
    token = _token(arguments.token_file)
    local = _is_local(arguments.host)
    if token is None and arguments.allow_actions:
        token = secrets.token_hex(16)
        sys.stderr.write(f"arvo-plpg: sign in with the token {token}\n")
    if token is None and not local:
        raise InvalidOption(
            "a token is missing",
            hint=f"A page that others can reach needs one: set ${TOKEN_VARIABLE} or --token-file.",
            field="token",
        )
    names = {"127.0.0.1", "localhost", "[::1]", *map(str.lower, arguments.allowed_host)}
    if arguments.host not in {"0.0.0.0", "::"}:  # noqa: S104 - compared
        host = arguments.host.lower()
        names.add(f"[{host}]" if ":" in host else host)
    options = PageOptions(
        Target.parse(dsn(arguments)).conninfo,
        schema=arguments.schema,
        hosts=frozenset(names),
        token=token,
        protect_reading=not local,
        allow_actions=arguments.allow_actions,
        show_payloads=arguments.show_payloads,
    )
    config = uvicorn.Config(
        create_app(options),
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
    )
    try:
        Server(config, partial(_tell, arguments)).run()
    except KeyboardInterrupt:
        return 0
    except SystemExit:  # uvicorn has said why it cannot begin
        return 1
    return 0


def _tell(arguments: argparse.Namespace, bound: int) -> None:
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    url = f"http://{host}:{bound}/"
    if arguments.json:
        sys.stdout.write(json_line({"url": url}))
        sys.stdout.flush()
    else:
        sys.stderr.write(f"arvo-plpg: {url}\n")


def _token(file: Path | None) -> str | None:
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise InvalidOption(
                "the token cannot be read", detail=f"{file}: {reason}", field="token"
            ) from error
    return os.environ.get(TOKEN_VARIABLE) or None


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
