"""Process: runs a function that computes in another process, for handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from arvo_plpg.errors import PackageMissing
from arvo_plpg.violation import ExecutionViolation

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")
Arguments = TypeVarTuple("Arguments")


async def in_process(function: Callable[[*Arguments], Answer], *arguments: *Arguments) -> Answer:
    """Call a function in another process, and wait for its answer.

    For handlers that compute: a thread would hold the interpreter's lock, a process has a core of
    its own. Processes are kept for the next call, as many at most as there are cores; they end
    with this one. Unlike a thread, a process can be stopped: when the handler is cancelled, at its
    deadline or because its lease is lost, the process is killed. The package anyio does the work
    (extra ``processes``)::

        @render_1.handler
        async def render(call: HandlerContext[Scene]) -> Picture:
            return Picture(png=await in_process(raytrace, call.payload.model_dump()))

    Args:
        function: a function of a module, found again there by its name.
        arguments: what it gets; these, its answer and its exceptions are pickled.

    Raises:
        ExecutionViolation: the process died, so the event is to be delivered again.
        PackageMissing: the package ``anyio`` is missing.
    """
    try:
        from anyio import BrokenWorkerProcess, to_process  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise PackageMissing("anyio", "processes") from error
    try:
        return await to_process.run_sync(function, *arguments, cancellable=True)
    except BrokenWorkerProcess as error:
        raise ExecutionViolation(
            "the process of the function died before it answered: killed, or short of memory"
        ) from error
