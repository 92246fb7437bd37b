"""``arvo-plpg completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from arvo_plpg.cli.options import add_command
from arvo_plpg.cli.paper import document
from arvo_plpg.errors import PackageMissing

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands

SHELLS = ("bash", "zsh", "fish")


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "completion",
        summary="print the completion script for bash, zsh or fish",
        description="The script that lets a shell complete commands and options (extra: cli).",
        example="arvo-plpg completion bash > ~/.local/share/bash-completion/completions/arvo-plpg\n"
        'arvo-plpg completion zsh > "${fpath[1]}/_arvo-plpg"\n'
        "arvo-plpg completion fish > ~/.config/fish/completions/arvo-plpg.fish",
        run=run,
        database=False,
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from arvo_plpg.cli import parser  # noqa: PLC0415 - it has this command

    try:
        import shtab  # noqa: PLC0415 - an extra
    except ImportError:
        raise PackageMissing("shtab", "cli") from None
    script = shtab.complete(parser(), shell=arguments.shell)
    if arguments.json:
        document({"shell": arguments.shell, "script": script})
    else:
        sys.stdout.write(script.rstrip("\n") + "\n")
    return 0
