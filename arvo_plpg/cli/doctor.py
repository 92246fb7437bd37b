"""``arvo-plpg doctor``: prove that a database is what its migrations made it, and well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arvo_plpg.cli.options import add_command, dsn
from arvo_plpg.cli.paper import Word, document, say
from arvo_plpg.cli.tree import plain_count
from arvo_plpg.schema.doctor import doctor

if TYPE_CHECKING:
    import argparse

    from arvo_plpg.cli.options import Subcommands
    from arvo_plpg.cli.paper import Tone
    from arvo_plpg.schema.doctor import Report

_MARKS: dict[str, Word] = {
    "ok": Word("  ✓ ", "good"),
    "notice": Word("  · ", "notice"),
    "warning": Word("  ! ", "bad"),
}


def add(subcommands: Subcommands) -> None:
    """Add the command."""
    parser = add_command(
        subcommands,
        "doctor",
        summary="prove that a database is what its migrations made it, and well",
        description="Compare functions, owners and privileges with the sealed migrations that "
        "this database has applied. Then tell what health() finds (clock, long snapshots, "
        "listeners, generations, lag, …) and which settings are worth changing, each with its "
        "remedy. Read-only. Exits with 1 if anything differs; with --strict also for warnings.",
        example="arvo-plpg doctor\narvo-plpg doctor --strict --json",
        run=run,
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings, too")
    parser.add_argument("--all", action="store_true", help="also tell what is well")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    report = doctor(dsn(arguments), schema=arguments.schema, sql_root=arguments.sql_root)
    levels = [vital.level for vital in report.vitals] + [one.level for one in report.advice]
    warned = "warning" in levels
    if arguments.json:
        document(report.as_dict())
    else:
        _print(report, everything=arguments.all)
    return int(not report.healthy or (arguments.strict and warned))


def _print(report: Report, *, everything: bool) -> None:
    for finding in report.findings:
        say(Word(f"{finding}", "bad"))
    for name in report.pending:
        say(Word(f"pending: {name}", "notice"))
    shown = [vital for vital in report.vitals if everything or vital.level != "ok"]
    if shown:
        say(Word("health", "strong"))
    for vital in shown:
        value = f" {vital.value}" if vital.value else ""
        _print_one(vital.level, vital.topic + value, vital.detail, vital.remedy)
    if report.advice:
        say(Word("settings", "strong"))
    for advice in report.advice:
        _print_one(advice.level, f"{advice.setting} = {advice.value}", advice.detail, advice.remedy)
    tone: Tone = "good" if report.healthy else "bad"
    state = "healthy" if report.healthy else plain_count(len(report.findings), "difference")
    head = f"{report.schema}: revision {report.revision}, {report.functions} functions, "
    say(head, Word(state, tone))


def _print_one(level: str, head: str, detail: str, remedy: str | None) -> None:
    say(_MARKS[level], Word(head, "strong" if level != "ok" else ""), Word(f"  {detail}", "quiet"))
    if remedy and level != "ok":
        say("      → ", remedy)
