"""Options: how a handler's queue and its workers behave. The seed's names, in snake_case.

An option left None takes the default that the function ``register_queue`` declares; the database is
the only home of those defaults.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from arvo_plpg.errors import InvalidOption

if TYPE_CHECKING:
    from typing import Self

Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
Number = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Policy = Literal["standard", "short", "singleton", "stately", "exclusive", "ordered"]
StartAfter = float | timedelta | AwareDatetime | str


_RULES = {
    "start_after": "give seconds, a timedelta, a datetime with a time zone, or a text",
    "error_rules": 'give "dead", {"retry_after": seconds} or {"snooze": seconds} for each name',
}
"""What options may be that have several forms: pydantic tells of the first form only."""


_OF_THE_PROCESS = {"concurrency", "prefetch", "batch_size", "polling_interval_seconds"}
"""Options of workers that are not kept in the database."""


class Options(BaseModel):
    """Base of all options: frozen, and an option that is not valid is an InvalidOption."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    if not TYPE_CHECKING:

        def __init__(self, **given: Any) -> None:  # noqa: ANN401 - validated by pydantic
            try:
                super().__init__(**given)
            except ValidationError as error:
                first = error.errors()[0]
                field, rule = ".".join(map(str, first["loc"])), first["msg"]
                if first["type"] == "value_error":  # of a validator below: "option: rule"
                    field, rule = str(first["ctx"]["error"]).split(": ", 1)
                elif first["loc"] and first["loc"][0] in _RULES:
                    field = str(first["loc"][0])
                    rule = _RULES[field]
                known = ", ".join(type(self).model_fields)
                raise InvalidOption(
                    "option is not valid",
                    detail=f"option {field!a} of {type(self).__name__}: {rule}",
                    hint=f"The options are: {known}.",
                    field=field,
                ) from error


class QueueOptions(Options):
    """How a queue behaves, whoever works on it.

    Attributes:
        policy: ``standard``; ``short``, ``singleton``, ``stately``, ``exclusive``: at most one per
            key that waits, that runs, in each of the two and in retry, or in all together;
            ``ordered``: first in, first out per key, one at a time, also across retries, which is
            what stateful handlers have unless this says otherwise.
        key_from: where in the event the key stands: the name of an attribute, or a path such as
            ``data.customer.id``. Otherwise it is the subject in an ordered queue, and one key for
            the whole queue elsewhere.
        on_failure: in an ordered queue: whether a failed delivery blocks its key until it is
            completed, dead or cancelled, or steps aside.
        dead_letter: name of the queue that receives what failed for good; made when missing.
        warning_queue_size: depth from which the queue counts as too long.
        priority: priority of deliveries that name none; higher first.
        max_active: how many may run at the same time, over all workers; exact.
        key_max_active: the same per key.
        rate_limit: how many may start per ``rate_period_seconds``, over all workers.
        rate_period_seconds: length of that period.
        key_rate_limit: how many may start per key and ``key_rate_period_seconds``.
        key_rate_period_seconds: length of that period.
        deduplicate_for_seconds: how long the same source and id is a duplicate; 0 for never.
        max_redrives: how often a dead letter may be redriven.
        error_rules: what follows an error, by the name of its class: ``"dead"``,
            ``{"retry_after": seconds}`` or ``{"snooze": seconds}``.
    """

    policy: Policy | None = None
    key_from: str | None = None
    on_failure: Literal["block", "step_aside"] | None = None
    dead_letter: str | None = None
    warning_queue_size: Count | None = None
    priority: Number | None = None
    max_active: Count | None = None
    key_max_active: Count | None = None
    rate_limit: Count | None = None
    rate_period_seconds: Annotated[float, Field(ge=0.1)] | None = None
    key_rate_limit: Count | None = None
    key_rate_period_seconds: Annotated[float, Field(ge=0.1)] | None = None
    deduplicate_for_seconds: Seconds | None = None
    max_redrives: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    error_rules: (
        dict[str, Literal["dead"] | dict[Literal["retry_after", "snooze"], Seconds]] | None
    ) = None

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        for limit, period in (
            ("rate_limit", "rate_period_seconds"),
            ("key_rate_limit", "key_rate_period_seconds"),
        ):
            if (getattr(self, limit) is None) != (getattr(self, period) is None):
                raise ValueError(f"{period}: give {limit} and {period} together")
        return self


class WorkerOptions(Options):
    """How this process works on a queue, and how its deliveries are put off, retried and kept.

    Attributes:
        concurrency: how many deliveries of the queue run at the same time in this process; of a
            batch handler, how many batches.
        prefetch: how many deliveries this process may hold beside those that run, so that the next
            need not wait for a claim. None: as many as are expected to start within 50 ms, at most
            500, and none while handlers take longer than that, or if ``retry_limit`` of the queue
            is 0; 0: none; other numbers: so many at most. One that has waited for a second all the
            same goes back, its attempt not charged.
        batch_size: how many events a batch handler is given at once, at most.
        polling_interval_seconds: how long an idle worker sleeps at most; notifications wake it
            earlier.
        start_after: seconds that an event which names no start is put off.
        retry_limit: retries after the first attempt.
        retry_delay: seconds before a retry.
        retry_backoff: whether the delay doubles with each attempt, with jitter.
        retry_delay_max: longest delay under back-off, in seconds; only with ``retry_backoff``.
        expire_in_seconds: how long a handler may run before it is cancelled.
        retention_seconds: how long a delivery may wait to be claimed; then it is a dead letter.
        delete_after_seconds: how long the history of the queue is kept, at least.
        singleton_seconds: one delivery per key and interval of this length.
        singleton_next_slot: whether one that is throttled goes to the next interval.
    """

    concurrency: Annotated[int, Field(ge=1, le=1000)] = 1
    prefetch: Annotated[int, Field(ge=0, le=10_000)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=1000)] = 100
    polling_interval_seconds: Annotated[float, Field(ge=0.5, le=3600)] = 2
    start_after: Seconds | None = None
    retry_limit: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    retry_delay: Seconds | None = None
    retry_backoff: bool | None = None
    retry_delay_max: Seconds | None = None
    expire_in_seconds: Annotated[float, Field(ge=1, le=86400)] | None = None
    retention_seconds: Annotated[float, Field(ge=1)] | None = None
    delete_after_seconds: Annotated[float, Field(ge=1)] | None = None
    singleton_seconds: Annotated[float, Field(ge=1)] | None = None
    singleton_next_slot: bool | None = None

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.singleton_next_slot and self.singleton_seconds is None:
            raise ValueError("singleton_next_slot: give singleton_seconds as well")
        return self


class DispatchOptions(Options):
    """Options of single deliveries, where they differ from those of their queue.

    Attributes:
        start_after: not to run before: seconds, a timedelta, an aware datetime, or a text that is
            an ISO 8601 time with its offset or an interval of PostgreSQL.
        priority: higher is delivered first.
        singleton_key: the key, instead of the one that the queue reads from the event.
        singleton_seconds: one delivery per key and interval of this length.
        singleton_next_slot: whether one that is throttled goes to the next interval.
        must_be_registered: whether a queue that nobody has registered is an error.
        retry_limit: retries after the first attempt.
        retry_delay: seconds before a retry.
        retry_backoff: whether the delay doubles with each attempt, with jitter.
        retry_delay_max: longest delay under back-off, in seconds.
        expire_in_seconds: how long the handler may run.
    """

    start_after: StartAfter | None = None
    priority: Number | None = None
    singleton_key: Annotated[str, Field(max_length=1000)] | None = None
    singleton_seconds: Annotated[float, Field(ge=1)] | None = None
    singleton_next_slot: bool | None = None
    must_be_registered: bool | None = None
    retry_limit: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    retry_delay: Seconds | None = None
    retry_backoff: bool | None = None
    retry_delay_max: Seconds | None = None
    expire_in_seconds: Annotated[float, Field(ge=1, le=86400)] | None = None

    def to_dict(self) -> dict[str, Any] | None:
        """Give them in the form of ``arvo.read_options``; None when there are none."""
        named = self.model_dump(exclude_none=True)
        start = named.get("start_after")
        if isinstance(start, timedelta):
            named["start_after"] = start.total_seconds()
        elif isinstance(start, datetime):
            named["start_after"] = start.isoformat()
        for name, contract in (
            ("singleton_seconds", "singleton_for"),
            ("expire_in_seconds", "expire_in"),
        ):
            if name in named:
                named[contract] = named.pop(name)
        return named or None


class HandlerOptions(Options):
    """Options of a registration: of the queue, and of the workers.

    Attributes:
        queue: of the queue.
        worker: of the workers.
        enable_cleanup: whether the state of a finished workflow is removed, once its last step is
            settled. An event that is dispatched again would then start the workflow again.
        state_retention_seconds: how long the state of a finished workflow of this handler is kept
            after its last write, a minute at least; then ``maintain`` removes it, unless something
            is still to be delivered to the workflow. None leaves the rule in the database as it is
            (see ``retain_states``); without any, states are kept for ever.
        reset: names of options that go back to their defaults. An option that is only left out
            stays in the database as it was.
    """

    queue: QueueOptions = QueueOptions()
    worker: WorkerOptions = WorkerOptions()
    enable_cleanup: bool = False
    state_retention_seconds: Annotated[float, Field(ge=60, le=315_360_000)] | None = None
    reset: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _reset_what_is_stored(self) -> Self:
        known = {*QueueOptions.model_fields, *WorkerOptions.model_fields} - _OF_THE_PROCESS
        for name in self.reset:
            if name not in known:
                raise ValueError(f"reset: {name!a:.80} is none of {', '.join(sorted(known))}")
        return self

    def state_retention(self) -> timedelta | None:
        """Give how long states are kept as an argument of ``retain_states``."""
        return _interval(self.state_retention_seconds)

    def registration(self) -> dict[str, Any]:
        """Give them as arguments of ``register_queue``."""
        queue, worker = self.queue, self.worker
        return {
            "priority": queue.priority,
            "retry_limit": worker.retry_limit,
            "retry_delay": _interval(worker.retry_delay),
            "retry_backoff": worker.retry_backoff,
            "retry_delay_max": _interval(worker.retry_delay_max),
            "expire_in": _interval(worker.expire_in_seconds),
            "dead_letter": queue.dead_letter,
            "warning_queue_size": queue.warning_queue_size,
            "policy": queue.policy,
            "key_from": queue.key_from,
            "on_failure": queue.on_failure,
            "start_after": _interval(worker.start_after),
            "retention": _interval(worker.retention_seconds),
            "delete_after": _interval(worker.delete_after_seconds),
            "deduplicate_for": _interval(queue.deduplicate_for_seconds),
            "singleton_for": _interval(worker.singleton_seconds),
            "singleton_next_slot": worker.singleton_next_slot,
            "max_active": queue.max_active,
            "key_max_active": queue.key_max_active,
            "rate_limit": queue.rate_limit,
            "rate_period": _interval(queue.rate_period_seconds),
            "key_rate_limit": queue.key_rate_limit,
            "key_rate_period": _interval(queue.key_rate_period_seconds),
            "max_redrives": queue.max_redrives,
            "error_rules": queue.error_rules,
            "reset": [_contract_name(name) for name in self.reset] or None,
        }


def _contract_name(name: str) -> str:
    return "singleton_for" if name == "singleton_seconds" else name.removesuffix("_seconds")


def _interval(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
