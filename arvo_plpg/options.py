"""Options: how a handler's queue and its workers behave. The seed's names, in snake_case.

An option left None takes the default that the function ``register_queue`` declares; the database is
the only home of those defaults.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arvo_plpg.errors import InvalidOption

Seconds = Annotated[float, Field(ge=0)]


class Options(BaseModel):
    """Base of all options: frozen, and an option that is not valid is an InvalidOption."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    if not TYPE_CHECKING:

        def __init__(self, **given: Any) -> None:  # noqa: ANN401 - validated by pydantic
            try:
                super().__init__(**given)
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(map(str, first["loc"])) or "options"
                known = ", ".join(type(self).model_fields)
                raise InvalidOption(
                    "option is not valid",
                    detail=f"option {field!a} of {type(self).__name__}: {first['msg']}",
                    hint=f"The options are: {known}.",
                    field=field,
                ) from error


class QueueOptions(Options):
    """How a queue behaves, whoever works on it.

    Attributes:
        policy: ``standard`` is the only one so far.
        dead_letter: name of the queue that receives what failed for good; made when missing.
        warning_queue_size: depth from which the queue counts as too long.
        priority: priority of deliveries that name none; higher first.
    """

    policy: Literal["standard"] = "standard"
    dead_letter: str | None = None
    warning_queue_size: Annotated[int, Field(ge=1)] | None = None
    priority: int | None = None


class WorkerOptions(Options):
    """How this process works on a queue, and how failures are retried.

    Attributes:
        concurrency: how many deliveries of the queue run at the same time in this process.
        polling_interval_seconds: how long an idle worker sleeps at most; notifications wake it
            earlier.
        retry_limit: retries after the first attempt.
        retry_delay: seconds before a retry.
        retry_backoff: whether the delay doubles with each attempt, with jitter.
        retry_delay_max: longest delay under back-off, in seconds.
        expire_in_seconds: how long a handler may run before it is cancelled.
    """

    concurrency: Annotated[int, Field(ge=1, le=1000)] = 1
    polling_interval_seconds: Annotated[float, Field(ge=0.5, le=3600)] = 2
    retry_limit: Annotated[int, Field(ge=0)] | None = None
    retry_delay: Seconds | None = None
    retry_backoff: bool | None = None
    retry_delay_max: Seconds | None = None
    expire_in_seconds: Annotated[float, Field(ge=1, le=86400)] | None = None


class HandlerOptions(Options):
    """Options of a registration: of the queue, and of the workers.

    Attributes:
        queue: of the queue.
        worker: of the workers.
        enable_cleanup: whether the state of a finished workflow is removed, once its last step is
            settled. An event that is dispatched again would then start the workflow again.
    """

    queue: QueueOptions = QueueOptions()
    worker: WorkerOptions = WorkerOptions()
    enable_cleanup: bool = False

    def registration(self) -> dict[str, Any]:
        """Give them as arguments of ``register_queue``."""
        return {
            "priority": self.queue.priority,
            "retry_limit": self.worker.retry_limit,
            "retry_delay": _interval(self.worker.retry_delay),
            "retry_backoff": self.worker.retry_backoff,
            "retry_delay_max": _interval(self.worker.retry_delay_max),
            "expire_in": _interval(self.worker.expire_in_seconds),
            "dead_letter": self.queue.dead_letter,
            "warning_queue_size": self.queue.warning_queue_size,
        }


def _interval(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
