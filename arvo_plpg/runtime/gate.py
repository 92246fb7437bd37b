"""Gate: has a worker woken while it has nothing to do, and lets nobody send wake-ups when it has.

Whoever dispatches notifies only those queues that somebody sleeps for. So a worker registers
(``doze``) before it sleeps, looks once more, and takes that back (``rouse``) when it has found
something. A dispatch may have asked who sleeps before the registration, and commit after the last
look: it is among the transactions that ``doze`` found open. While there are any, they are asked
for in short steps, and when some have ended, the worker looks again.

When it is woken right after it has gone to sleep, again and again, it does better to look by
itself after a moment: then the next ones need not notify, which is what holds up many producers.
When it is woken for nothing, again and again, it stays awake for a while: see ``restless``. What
commits while it is awake is found by the next look, at most 35 ms later; what commits later, by the
look that follows each registration, or as said above.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arvo_plpg.runtime.restless import Restless
from arvo_plpg.runtime.vigil import keep_vigil
from arvo_plpg.runtime.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

_FIRST_STEP_SECONDS = 0.002
_LONGEST_STEP_SECONDS = 0.035
_VIGIL_AFTER_SECONDS = 5.0
_NAP_SECONDS = 0.004
_PEEK_SECONDS = 0.003
_RESTLESS = 2


class Gate:
    """Lets wake-ups through to one worker, or keeps them out.

    Args:
        dsn: where to listen, and to wait for transactions that are open for long.
        schema: name of the installation.
        direct: whether that is known to be no transaction pooler.
        look: called in the event loop when the worker is to look for deliveries: with the name of
            a queue, or with an empty one for all.
        warn: called when the connection is lost, as a logger's ``warning``.
    """

    def __init__(
        self,
        dsn: str,
        schema: str,
        look: Callable[[str], None],
        warn: Callable[..., None],
        *,
        direct: bool = False,
    ) -> None:
        self._dsn = dsn
        self._schema = schema
        self._look = look
        self._wakeup = Wakeup(
            dsn, schema, wake=self._rung, lost=self._lost, warn=warn, direct=direct
        )
        self._wanted: frozenset[str] | None = None
        self._dozing: frozenset[str] | None = None
        self._open: set[int] = set()
        self._step = _FIRST_STEP_SECONDS
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._vigil: asyncio.Task[None] | None = None
        self._short_naps = 0
        self._peeked = False
        self._restless = Restless()
        self._awake: frozenset[str] | None = None

    async def run(self) -> None:
        """Listen until cancelled."""
        try:
            await self._wakeup.run()
        finally:
            self._lost()

    def begin(self, queues: Iterable[str]) -> None:
        """The worker has looked in these queues and found nothing: see to it that it is woken.

        Does not wait. When it becomes registered by that, it is told to look once more.
        """
        wanted = frozenset(queues)
        if not wanted or not self._wakeup.listening:
            return
        now = asyncio.get_running_loop().time()
        self._restless.found_nothing(now)
        if self._restless.awake(now):
            self._stay_awake(wanted)
            return
        self._awake = None
        if self._wanted is not None and wanted <= self._wanted:
            return
        if self._short_naps >= _RESTLESS:
            if not self._peeked:
                if self._timer is None:
                    self._set_timer(_PEEK_SECONDS, self._peek)
                return
            self._short_naps = 0
        self._wanted = wanted
        self._wakeup.ask("doze", wanted, lambda found: self._registered(wanted, found))

    def end(self) -> None:
        """The worker has found something: nobody needs to wake it."""
        self._restless.found()
        self._awake = None
        self._peeked = False
        self._wanted = None
        if self._dozing is not None:
            nap = asyncio.get_running_loop().time() - self._since
            self._short_naps = self._short_naps + 1 if nap < _NAP_SECONDS else 0
            self._rouse(self._dozing)
        self._end_vigil()
        self._set_timer()

    def _rung(self, queue: str) -> None:
        """A notification has come: for this worker, or for somebody else."""
        now = asyncio.get_running_loop().time()
        if self._awake is not None:
            if queue and _names(self._awake, queue):
                self._restless.overheard(now)
                return
        elif self._dozing is not None and _names(self._dozing, queue) and self._restless.rung(now):
            self._get_up()
        self._look(queue)

    def _stay_awake(self, queues: frozenset[str]) -> None:
        """See to it that the worker looks by itself, and that nobody wakes it."""
        if self._awake is None or self._wanted is not None:
            self._get_up()
        self._awake = queues
        if self._timer is None:
            self._set_timer(self._restless.step(), self._peek)

    def _get_up(self) -> None:
        self._wanted = None
        if self._dozing is not None:
            self._rouse(self._dozing)
        self._end_vigil()
        self._set_timer()

    def _registered(self, queues: frozenset[str], found: Collection[int]) -> None:
        if self._wanted != queues:
            self._rouse(queues, also=False)
            return
        if self._dozing is not None:
            self._rouse(self._dozing)
        self._end_vigil()
        self._dozing = queues
        self._since = asyncio.get_running_loop().time()
        self._restless.asleep(self._since)
        self._open = set(found)
        self._step = _FIRST_STEP_SECONDS
        self._watch()
        self._look("")

    def _rouse(self, queues: frozenset[str], *, also: bool = True) -> None:
        if also:
            self._dozing = None
        self._wakeup.ask("rouse", queues)

    def _watch(self) -> None:
        """Ask again after a step, as long as there is something to ask for."""
        self._set_timer()
        if not self._open:
            return
        if self._vigil is not None and self._vigil.done():
            self._vigil = None
            self._since = asyncio.get_running_loop().time()
        self._set_timer(self._step, self._ask_who_is_open)
        self._step = min(2 * self._step, _LONGEST_STEP_SECONDS)
        since = asyncio.get_running_loop().time() - self._since
        if self._vigil is None and since > _VIGIL_AFTER_SECONDS:
            self._vigil = asyncio.create_task(self._keep_vigil(), name="arvo-vigil")

    def _ask_who_is_open(self) -> None:
        asked = self._dozing
        self._wakeup.ask("still_open", self._open, lambda found: self._asked(asked, found))

    def _asked(self, asked: frozenset[str] | None, found: Collection[int]) -> None:
        if asked is not None and asked is self._dozing:
            self._still_open(found)
            self._watch()

    def _still_open(self, found: Collection[int]) -> None:
        ended = self._open.difference(found)
        self._open -= ended
        if ended:
            self._look("")

    async def _keep_vigil(self) -> None:
        def found(still: set[int]) -> None:
            self._set_timer()  # from here on without steps
            self._still_open(still)

        await keep_vigil(self._dsn, self._schema, lambda: self._open, found)
        if self._dozing is not None:
            asyncio.get_running_loop().call_soon(self._watch)

    def _end_vigil(self) -> None:
        if self._vigil is not None:
            self._vigil.cancel()
            self._vigil = None

    def _peek(self) -> None:
        self._timer = None
        self._peeked = True
        self._look("")

    def _lost(self) -> None:
        self._wanted = self._dozing = self._awake = None
        self._open = set()
        self._end_vigil()
        self._set_timer()

    def _set_timer(self, seconds: float = 0.0, call: Callable[[], None] | None = None) -> None:
        """Have something called later, instead of what was to be called."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, call) if call else None


def _names(names: Iterable[str], queue: str) -> bool:
    """Whether a queue is among these; a name that ends in * stands for all that begin so."""
    return any(
        queue.startswith(name[:-1]) if name.endswith("*") else name == queue for name in names
    )
