"""Thread: runs a plain function beside the event loop.

Each call has a thread of its own. How many run at a time is bounded by the slots of the worker; in
a shared pool, a function that outlives its deadline would hold the place of the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Argument = TypeVar("Argument")
Answer = TypeVar("Answer")


async def in_thread(function: Callable[[Argument], Answer], argument: Argument) -> Answer:
    """Call a function in a thread, in a copy of this context, and wait for its answer.

    A thread cannot be cancelled: when the caller is, the function runs on and its answer is lost.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Answer] = loop.create_future()
    context = contextvars.copy_context()

    def settle(answer: Answer | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(answer)  # type: ignore[arg-type]  # an answer, since there is no error

    def call() -> None:
        answer: Answer | None = None
        error: BaseException | None = None
        try:
            answer = context.run(function, argument)
        except StopIteration as stop:  # which no future can carry
            error = RuntimeError("the function raised StopIteration")
            error.__cause__ = stop
        except BaseException as raised:  # noqa: BLE001 - carried to the caller
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, answer, error)

    threading.Thread(target=call, name="arvo-handler", daemon=True).start()
    return await done
