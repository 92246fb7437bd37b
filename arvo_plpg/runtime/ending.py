"""Ending: a task that is to end does end."""

from __future__ import annotations

import asyncio
from typing import Any

_PATIENCE_SECONDS = 1.0


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task, again if need be, and wait until it is done; what it raised is not looked at.

    One request is not always enough: it can arrive at the moment at which something that the task
    waits for is ready anyway, and libraries have been seen to lose it then.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE_SECONDS)
    if not task.cancelled():
        task.exception()
