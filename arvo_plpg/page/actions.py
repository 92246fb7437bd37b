"""Actions: what operators may do; mounted only when they are allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Route

from arvo_plpg.page.looks import query

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from arvo_plpg.page.guard import Guard
    from arvo_plpg.page.source import Source
    from arvo_plpg.page.writing import Writer

MOST_LETTERS: Final = 1000


class Actions:
    """Each is a form of a session; what cannot be taken back is shown before it is done."""

    def __init__(self, source: Source, guard: Guard, writer: Writer) -> None:
        self._source = source
        self._guard = guard
        self._writer = writer

    def routes(self) -> list[Route]:
        """Give their addresses."""
        return [
            Route("/queue/switch", self.switch, methods=["POST"]),
            Route("/dead/resolve", self.resolve, methods=["POST"]),
            Route("/schedules/switch", self.switch_schedule, methods=["POST"]),
        ]

    async def switch(self, request: Request) -> Response:
        """Pause or resume a queue."""
        fields = dict(await self._guard.form(request))
        name, verb = fields.get("name", ""), fields.get("verb")
        if verb not in {"pause", "resume"} or not name:
            raise HTTPException(400, "pause or resume, and which queue?")
        async with self._source.contract() as contract:
            await (contract.pause_queue(name) if verb == "pause" else contract.resume_queue(name))
        return RedirectResponse(query("/queue", name=name), 303)

    async def switch_schedule(self, request: Request) -> Response:
        """Pause or resume a schedule."""
        fields = dict(await self._guard.form(request))
        name, key, verb = (fields.get(one, "") for one in ("name", "key", "verb"))
        if verb not in {"pause", "resume"} or not name:
            raise HTTPException(400, "pause or resume, and which schedule?")
        async with self._source.contract() as contract:
            await (
                contract.pause_schedule(name, key=key)
                if verb == "pause"
                else contract.resume_schedule(name, key=key)
            )
        return RedirectResponse("/schedules", 303)

    async def resolve(self, request: Request) -> Response:
        """Redrive or discard dead letters: first shows what would happen, then does it."""
        fields = await self._guard.form(request)
        named = dict(fields)
        verb, sure = named.get("verb"), named.get("sure") == "yes"
        chosen = [value for name, value in fields if name == "dead"]
        if verb not in {"redrive", "discard"}:
            raise HTTPException(400, "redrive or discard?")
        if not chosen or len(chosen) > MOST_LETTERS:
            raise HTTPException(400, f"choose 1 to {MOST_LETTERS} dead letters")
        if not all(one.isascii() and one.isdigit() and len(one) <= 18 for one in chosen):  # noqa: PLR2004
            raise HTTPException(400, "that is no number of a dead letter")
        dead = list(dict.fromkeys(map(int, chosen)))
        async with self._source.contract() as contract:
            given = {"dead": dead, "limit": len(dead), "dry_run": not sure}
            results = (
                await contract.redrive(**given)  # type: ignore[arg-type]
                if verb == "redrive"
                else await contract.discard(**given)  # type: ignore[arg-type]
            )
        refused = [result for result in results if result.code is not None]
        if sure:
            done = len(results) - len(refused)
            return RedirectResponse(
                query("/dead", verb=verb, done=str(done), refused=str(len(refused))), 303
            )
        return self._writer.confirm(request, verb=verb, results=results, refused=len(refused))
