"""Judge: what became of the results that were sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from arvo_plpg.runtime.log_fields import log_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arvo_plpg.rows import Worked
    from arvo_plpg.runtime.delivery import Delivery
    from arvo_plpg.runtime.desk import Desk
    from arvo_plpg.runtime.log_fields import Logger
    from arvo_plpg.runtime.settlement import Report
    from arvo_plpg.telemetry.observer import Tally

POSTPONE_SECONDS = 2.0
"""How long a result waits for a lock that somebody else holds, the first time."""


def judge(
    desk: Desk,
    reports: Sequence[Report],
    answers: Sequence[Worked],
    logger: Logger,
    tally: Tally | None = None,
) -> None:
    """Take note of what became of the results, and of the workflows whose state may go.

    A result that was sent again is "already" settled: completed, unless there is a code with it.

    Args:
        desk: of the worker.
        reports: the results that were sent.
        answers: what the database says.
        logger: where to report.
        tally: takes what became of them, by queue and outcome, if that is wanted.
    """
    verdicts = {
        (answer.lease, answer.delivery): answer for answer in answers if answer.kind == "settled"
    }
    telling = logger.isEnabledFor(logging.INFO)
    for report in reports:
        if report.result is None and not verdicts and not telling:
            desk.settlement.let_go(report.deliveries[0].lease, len(report.deliveries))
            if tally is not None:
                tally.update((delivery.queue, "completed") for delivery in report.deliveries)
            continue
        for delivery in report.deliveries:
            verdict = verdicts.get((delivery.lease, delivery.number))
            outcome = _settled(desk, report, delivery, verdict, logger)
            if tally is not None and outcome:
                tally[delivery.queue, outcome] += 1
            done = verdict is None or (verdict.outcome == "already" and verdict.code is None)
            finished = done and delivery.finished and report.completed
            if finished and report.route.options.enable_cleanup:
                desk.over.append(delivery.subject)


def _settled(
    desk: Desk,
    report: Report,
    delivery: Delivery,
    verdict: Worked | None,
    logger: Logger,
) -> str:
    """Take note of what became of one; give its outcome, nothing if it is to be sent again."""
    route, settlement = report.route, desk.settlement
    if verdict is None:
        forget = delivery.finished and route.options.enable_cleanup
        stored = delivery.written if report.completed else None
        desk.turns.give(delivery, stored, moved_on=forget)
        outcome, code, detail = "completed", None, None
    else:
        moved_on = verdict.outcome in {"conflict", "already"} or verdict.code == "RV301"
        desk.turns.give(delivery, moved_on=moved_on)
        outcome, code, detail = verdict.outcome or "", verdict.code, verdict.detail
    facts = (delivery.event_id, delivery.queue, delivery.attempt, outcome)
    if code in {"RV001", "RV006", "RV007"} and report.completed:
        # The handler emitted what the database does not take: that is a failure of the handler.
        extra = log_fields(delivery) | {"outcome": outcome, "code": code}
        logger.error("event %a in %a, attempt %d: %s: %a", *facts, detail, extra=extra)
        settlement.add(route, delivery, delivery.failed(ValueError(detail)))
        return ""
    if code == "RV303":
        # What comes before it waits for a lock: this one is to follow it.
        settlement.postpone(report.of(delivery), POSTPONE_SECONDS, POSTPONE_SECONDS)
        return ""
    settlement.let_go(delivery.lease)
    level = logging.INFO
    if code is not None:
        level = logging.WARNING
    elif outcome == "dead":
        level = logging.ERROR
    if logger.isEnabledFor(level):
        extra = log_fields(delivery) | {"outcome": outcome}
        if code is not None:
            told = "event %a in %a, attempt %d: %s: %a"
            logger.log(level, told, *facts, detail, extra=extra | {"code": code})
        else:
            logger.log(level, "event %a in %a, attempt %d: %s", *facts, extra=extra)
    return code or outcome
