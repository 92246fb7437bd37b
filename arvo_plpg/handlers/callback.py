"""How a user's function is called, whether it is ``async`` or plain."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypeVar, cast

from arvo_plpg.runtime.thread import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_In = TypeVar("_In")
_Out = TypeVar("_Out")


async def call(function: Callable[[_In], _Out | Awaitable[_Out]], argument: _In) -> _Out:
    """Call a user's function.

    An ``async`` function runs in the event loop; a plain one runs in a thread of its own, so that
    it may block, with the caller's context variables. A cancelled thread runs on to its end,
    unheard.
    """
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    ):
        return await cast("Awaitable[_Out]", function(argument))
    result = await in_thread(function, argument)
    if inspect.isawaitable(result):
        return await cast("Awaitable[_Out]", result)
    return result
