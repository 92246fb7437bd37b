"""Judge: what became of the results that were sent."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arvo_plpg.rows import Worked
    from arvo_plpg.runtime.delivery import Delivery
    from arvo_plpg.runtime.desk import Desk
    from arvo_plpg.runtime.settlement import Report

POSTPONE_SECONDS = 2.0
"""How long a result waits for a lock that somebody else holds, the first time."""


def judge(
    desk: Desk, reports: Sequence[Report], answers: Sequence[Worked], logger: logging.Logger
) -> list[str]:
    """Take note of what became of the results; name the workflows whose state may go."""
    verdicts = {
        (answer.lease, answer.delivery): answer for answer in answers if answer.kind == "settled"
    }
    telling = logger.isEnabledFor(logging.INFO)
    over = []
    for report in reports:
        if report.result is None and not verdicts and not telling:
            desk.settlement.let_go(report.deliveries[0].lease, len(report.deliveries))
            continue
        for delivery in report.deliveries:
            verdict = verdicts.get((delivery.lease, delivery.number))
            _settled(desk, report, delivery, verdict, logger)
            if verdict is None and delivery.finished and report.route.options.enable_cleanup:
                over.append(delivery.subject)
    return over


def _settled(
    desk: Desk,
    report: Report,
    delivery: Delivery,
    verdict: Worked | None,
    logger: logging.Logger,
) -> None:
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
        logger.error("event %a in %a, attempt %d: %s: %a", *facts, detail)
        settlement.add(route, delivery, delivery.failed(ValueError(detail)))
        return
    if code == "RV303":
        # What comes before it waits for a lock: this one is to follow it.
        settlement.postpone(report.of(delivery), POSTPONE_SECONDS, POSTPONE_SECONDS)
        return
    settlement.let_go(delivery.lease)
    if code is not None:
        logger.warning("event %a in %a, attempt %d: %s: %a", *facts, detail)
    elif outcome == "dead":
        logger.error("event %a in %a, attempt %d: %s", *facts)
    else:
        logger.info("event %a in %a, attempt %d: %s", *facts)
