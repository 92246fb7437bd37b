"""Step: a coroutine that runs in a context of its own, in the task of whoever awaits it.

A task for each delivery would give it a context of its own too, at many times the cost.
"""

from __future__ import annotations

from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from contextvars import Context

Answer = TypeVar("Answer")


@coroutine
def carry_on(
    context: Context, running: Coroutine[Any, Any, Answer], waits_for: object
) -> Generator[Any, Any, Answer]:
    """Await the rest of a coroutine, whose first step in the context has been made.

    Args:
        context: where it runs.
        running: the coroutine.
        waits_for: what its first step gave.
    """
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:  # noqa: BLE001 - handed on, whatever it is
            try:
                waits_for = context.run(running.throw, error)
            except StopIteration as stop:
                answer: Answer = stop.value
                return answer
        else:
            try:
                waits_for = context.run(running.send, sent)
            except StopIteration as stop:
                answer = stop.value
                return answer
