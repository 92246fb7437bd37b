"""Claim: what an answer of the database brought, and when to ask again."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from arvo_plpg.machine_memory import StateRecord
from arvo_plpg.runtime.delivery import Delivery
from arvo_plpg.runtime.station import LINGER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from arvo_plpg.rows import Worked
    from arvo_plpg.runtime.loaders import Unread
    from arvo_plpg.runtime.station import Station

AT_ONCE = timedelta(0)
"""What an idle answer has one wait for when the same call has emitted to one of the queues."""

_SHORTEST_SECONDS = 0.005
_LOOK_AGAIN_SECONDS = 0.01


def claimed_deliveries(
    answers: Sequence[Worked], now: float, asked_at: float
) -> Iterator[Delivery]:
    """Make the deliveries of the rows of kind ``claimed``, whose JSON has not been read."""
    for kind, lease, number, _, _, _, queue, attempt, expire_in, *given, version, _, key in answers:
        if kind != "claimed":
            continue
        text, cause, state = cast("list[Unread | None]", given)
        if lease is None or number is None or queue is None:
            raise TypeError("a claimed row lacks lease, delivery or queue")
        yield Delivery(
            lease,
            number,
            queue,
            attempt or 1,
            text,
            None if cause is None else cause.read(),
            expire_in.total_seconds() if expire_in else 900.0,
            None if state is None else StateRecord(state.read(), version=version or 0),
            key,
            now,
            asked_at,
        )


def idle_of(answers: Sequence[Worked]) -> Worked | None:
    """Find the row that says that nothing could be claimed; it is the last."""
    return answers[-1] if answers and answers[-1].kind == "idle" else None


def plan(
    asked: Mapping[Station, int],
    got: Mapping[Station, int],
    idle: Worked | None,
    now: float,
    *,
    again: bool,
) -> None:
    """Note with each station that asked when its free places are next a reason to claim.

    At once, if it got all that it asked for, or a notification came meanwhile, or the same call
    emitted events, which it could not claim itself. When nothing at all was claimed, it is when
    something becomes due, or it is time to poll. Between these it is soon.

    Args:
        asked: how much each asked for.
        got: how much each got.
        idle: the row that says that nothing was claimed.
        now: the time.
        again: whether the call emitted events, not all of them to other queues.
    """
    for station, count in asked.items():
        if station.woken or again or got.get(station, 0) >= count:
            station.claim_at = 0.0
        elif idle is not None:
            station.claim_at = now + _pause(station, idle.wait)
        else:
            station.claim_at = now + (LINGER_SECONDS if station in got else _LOOK_AGAIN_SECONDS)


def _pause(station: Station, wait: timedelta | None) -> float:
    longest = station.route.options.worker.polling_interval_seconds
    longest *= random.uniform(0.8, 1.0)  # noqa: S311 - jitter
    return longest if wait is None else min(longest, max(wait.total_seconds(), _SHORTEST_SECONDS))
