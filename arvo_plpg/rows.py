"""Rows: what the contract's functions answer, one class per row type of ``arvo_v1``.

Frozen dataclasses rather than validated models: PostgreSQL has already checked the types. The row
of which a worker makes many thousands a second is a named tuple. Durations are
:class:`~datetime.timedelta`, times are aware :class:`~datetime.datetime`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta  # noqa: TC003 - part of the rows' run-time types
from typing import Any, Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class About:
    """What is installed: contract version, newest migration, oldest client, name, cluster."""

    contract: int
    revision: int
    oldest_client: int
    installation: str
    system_identifier: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and its options after a registration; ``change`` says what the call did."""

    queue: str
    change: str
    registered: bool
    stateful: bool
    priority: int
    retry_limit: int
    retry_delay: timedelta
    retry_backoff: bool
    retry_delay_max: timedelta | None
    expire_in: timedelta
    dead_letter: str | None
    warning_queue_size: int
    policy: str
    key_from: str | None
    on_failure: str
    start_after: timedelta
    retention: timedelta
    delete_after: timedelta
    deduplicate_for: timedelta
    singleton_for: timedelta | None
    singleton_next_slot: bool
    max_active: int | None
    key_max_active: int | None
    rate_limit: int | None
    rate_period: timedelta | None
    key_rate_limit: int | None
    key_rate_period: timedelta | None
    max_redrives: int
    error_rules: dict[str, Any]
    paused_at: datetime | None


class Dispatched(NamedTuple):
    """Where an event went.

    ``outcome`` is queued, deferred, debounced, duplicate, throttled, domained or unroutable;
    a published event that nobody subscribes to is unheard, and closed for a queue that subscribes
    and is closed to the publisher. ``delivery`` is that of the first one for a duplicate, of the
    one in the way for a throttled, None for an unheard or closed event.
    """

    ordinal: int
    event_id: str
    delivery: int | None
    queue: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of a stream of events: how many had an outcome.

    ``ordinals`` are their places in the stream, counted from 1. They are left out for queued,
    deferred and domained, which say that an event was taken as it came.
    """

    outcome: str
    events: int
    ordinals: list[int]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A queue that gets published events whose type matches ``pattern``."""

    queue: str
    pattern: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """One delivery, leased. ``lease`` is the fencing token that settle and extend want back."""

    lease: int
    delivery: int
    queue: str
    attempt: int
    expires_at: datetime
    expire_in: timedelta
    event: dict[str, Any]
    cause: dict[str, Any] | None
    state: dict[str, Any] | None
    state_version: int | None
    key: int | None


@dataclass(frozen=True, slots=True)
class Settled:
    """The verdict on one result; ``code`` is the SQLSTATE of a refusal or conflict."""

    ordinal: int
    lease: int | None
    delivery: int | None
    accepted: bool
    outcome: str
    code: str | None
    detail: str | None
    state_version: int | None


class Worked(NamedTuple):
    """One row of an answer to ``work``: a verdict, a delivery to run, or nothing to do."""

    kind: Literal["settled", "claimed", "idle"]
    lease: int | None
    delivery: int | None
    outcome: str | None
    code: str | None
    detail: str | None
    queue: str | None
    attempt: int | None
    expire_in: timedelta | None
    event: dict[str, Any] | None
    cause: dict[str, Any] | None
    state: dict[str, Any] | None
    state_version: int | None
    wait: timedelta | None
    key: int | None


@dataclass(frozen=True, slots=True)
class Extended:
    """Answer to a heartbeat; ``held`` is false when the lease is lost or has nothing open.

    ``deliveries`` are those that are open still: another one of the lease was settled, cancelled or
    taken back.
    """

    lease: int
    held: bool
    expires_at: datetime | None
    deliveries: list[int] | None


@dataclass(frozen=True, slots=True)
class State:
    """The state of one workflow; a write must name ``version``."""

    subject: str
    version: int
    data: dict[str, Any]
    execution_status: str
    parent_subject: str | None
    initiator: str | None
    source: str | None
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held; ``token`` is its fencing token."""

    subject: str
    token: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LockedState:
    """A lock that was taken, with the state of its subject; ``version`` is 0 when it has none."""

    subject: str
    token: int
    expires_at: datetime
    version: int
    data: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Kin:
    """One workflow of a tree of workflows."""

    subject: str
    parent_subject: str | None
    depth: int
    execution_status: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class QueueStats:
    """Live numbers of one queue.

    Counts are exact unless ``exact`` is false: then more than 10,000 dead letters or withdrawn
    deliveries are there. Rates and times rest on the newest claims of the last five minutes.
    """

    name: str
    registered: bool
    retry_limit: int
    retry_delay: timedelta
    retry_backoff: bool
    retry_delay_max: timedelta | None
    expire_in: timedelta
    dead_letter: str | None
    warning_queue_size: int
    deferred_count: int
    queued_count: int
    active_count: int
    dead_count: int
    oldest_queued_at: datetime | None
    created_on: datetime
    updated_on: datetime
    policy: str
    retention: timedelta
    delete_after: timedelta
    waiting_count: int
    total_count: int
    exact: bool
    singletons_active: int | None
    paused_at: datetime | None
    draining: bool
    oldest_queued_age: timedelta | None
    completed_per_minute: float
    failed_per_minute: float
    wait_mean: timedelta | None
    wait_p95: timedelta | None
    run_mean: timedelta | None
    run_p95: timedelta | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A delivery that failed for good."""

    dead: int
    delivery: int
    queue: str
    dead_letter: str | None
    event_id: str
    event: dict[str, Any]
    attempts: int
    reason: str
    error: dict[str, Any] | None
    died_at: datetime
    redrives: int
    resolution: str | None
    edited: dict[str, Any] | None
    resolved_at: datetime | None
    resolved_by: str | None
    redriven_at: datetime | None
    redriven_by: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery on the way to a dead letter; what is not kept any more is None."""

    delivery: int
    attempt: int | None
    accepted_at: datetime | None
    claimed_at: datetime | None
    settled_at: datetime | None
    run_time: timedelta | None
    worker: str | None
    outcome: str | None
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Redriven:
    """What a redrive did to a dead letter, or in a dry run would do: redriven or refused."""

    dead: int
    event_id: str
    delivery: int | None
    queue: str
    outcome: str
    code: str | None
    detail: str | None
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Discarded:
    """What a discard did to a dead letter, or in a dry run would do: discarded or refused."""

    dead: int
    event_id: str
    queue: str
    outcome: str
    code: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One delivery in the story of a workflow, or an event of it that a policy did not let in."""

    subject: str
    event_id: str
    parent_id: str | None
    event_type: str
    source: str
    queue: str
    delivery: int | None
    attempt: int
    outcome: str
    accepted_at: datetime
    claimed_at: datetime | None
    settled_at: datetime | None
    run_time: timedelta | None
    worker: str | None
    error: dict[str, Any] | None
    parent_subject: str | None
    depth: int
    due_at: datetime | None
    wait_time: timedelta | None
    cause: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One delivery of the log, with its event.

    ``position`` asks, as ``after``, for what comes next. ``outcome`` is that of a :class:`Step`.
    """

    position: str
    delivery: int
    queue: str
    attempt: int
    outcome: str
    accepted_at: datetime
    claimed_at: datetime | None
    settled_at: datetime | None
    run_time: timedelta | None
    worker: str | None
    event: dict[str, Any]
    cause: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One reason why a delivery does not run now, or what became of it."""

    delivery: int
    event_id: str | None
    queue: str | None
    place: str
    reason: str
    detail: str
    until: datetime | None
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Vital:
    """What ``health`` found about one topic; ``level`` is ok, notice or warning."""

    topic: str
    level: Literal["ok", "notice", "warning"]
    value: str | None
    detail: str
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Gauge:
    """One figure for a monitoring system: of a queue, of one of its lanes, or of the installation.

    An empty ``queue`` stands for all those beyond the limit together.
    """

    name: str
    queue: str | None
    priority: int | None
    state: str | None
    value: float


@dataclass(frozen=True, slots=True)
class Presence:
    """A process that has checked in; ``alive`` while it was seen within three of its rhythms."""

    worker: str
    alive: bool
    queues: list[str]
    details: dict[str, Any]
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Maintained:
    """What one task of maintenance did, in rows; None when it failed."""

    task: str
    touched: int | None


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one row of a foreign memory; ``code`` and ``detail`` say why."""

    ordinal: int
    subject: str | None
    outcome: Literal["taken", "updated", "placed", "present", "refused"]
    version: int | None
    code: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class StateRetention:
    """How long states of finished workflows are kept; ``source`` is None for all handlers."""

    source: str | None
    age: timedelta
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class Switched:
    """Whether a queue is claimed from, after a call that decides it."""

    queue: str
    change: str
    paused_at: datetime | None
    paused_by: str | None
    draining: bool
    waiting: int | None


@dataclass(frozen=True, slots=True)
class Purged:
    """What a call removed from one place of a queue; ``kept`` is None when the limit left some."""

    place: str
    removed: int
    kept: int | None


@dataclass(frozen=True, slots=True)
class Intervention:
    """What an operator's call did to one delivery; ``done`` says what a dry run would do."""

    delivery: int
    event_id: str
    queue: str
    place: str
    done: str
    successor: int | None


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the audit of what operators do."""

    number: int
    at: datetime
    by: str
    verb: str
    queue: str | None
    details: dict[str, Any]
    touched: int
    role: str | None


@dataclass(frozen=True, slots=True)
class QueueGrant:
    """Who may do something with a queue that not everybody may; nobody but superusers, if empty."""

    queue: str
    may: str
    roles: list[str]
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule; ``change`` says what a call did to it, None in a list.

    ``next_at`` is None while it is paused, or when an error has stopped it.
    """

    name: str
    key: str
    change: str | None
    cron: str
    time_zone: str
    event: dict[str, Any]
    options: dict[str, Any] | None
    missed: str
    missed_limit: int
    grace: timedelta
    gap: str
    overlap: str
    paused_at: datetime | None
    paused_by: str | None
    next_at: datetime | None
    last_at: datetime | None
    last_delivery: int | None
    last_outcome: str | None
    fires: int
    missed_from: datetime | None
    missed_to: datetime | None
    error: dict[str, Any] | None
    error_at: datetime | None
    failures: int
    created_at: datetime
    created_by: str
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class Fire:
    """One time at which a cron text fires, and what the clocks of its zone show then."""

    fire_at: datetime
    local_time: str
    utc_offset: timedelta


@dataclass(frozen=True, slots=True)
class Rebased:
    """What a rebase did, in deliveries.

    ``outcome`` is ``home`` when nothing was to be done, ``accepted`` when the stored numbers could
    stay as they are, ``rebased`` when what was live got new ones.
    """

    outcome: Literal["home", "accepted", "rebased"]
    leased: int
    parked: int
    queued: int
    deferred: int
