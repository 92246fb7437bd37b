"""App: the pages, their addresses, and what may be done on them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread
import psycopg
from psycopg_pool import PoolTimeout
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from arvo_plpg import telemetry
from arvo_plpg.errors import ArvoError
from arvo_plpg.page.actions import Actions
from arvo_plpg.page.guard import COOKIE, SESSION_SECONDS, Armour, FormRefused, Guard
from arvo_plpg.page.history import chart
from arvo_plpg.page.picture import draw
from arvo_plpg.page.source import Source
from arvo_plpg.page.writing import STATIC, Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from starlette.requests import Request

    from arvo_plpg.page.options import PageOptions
    from arvo_plpg.rows import QueueStats

    Page = Callable[[Request], Awaitable[Response]]

QUEUES_SHOWN: Final = 200
LETTERS_SHOWN: Final = 50
LONGEST_INPUT: Final = 4096


def create_app(options: PageOptions) -> Starlette:
    """Make the application: ASGI, to be served by uvicorn or mounted elsewhere.

    Args:
        options: what is shown, to whom, and what may be done.
    """
    source, guard = Source(options), Guard(options.token)
    writer = Writer(options, guard)
    pages = Pages(options, source, guard, writer)
    exposition = telemetry.exposition(options.dsn, schema=options.schema)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            async with source.open():
                yield
        finally:
            exposition.close()

    async def metrics(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        kind, body = await anyio.to_thread.run_sync(exposition.render, accept)
        return Response(body, headers={"content-type": kind})

    async def healthz(_: Request) -> Response:
        return PlainTextResponse(f"{source.trouble or 'ok'}\n", 503 if source.trouble else 200)

    shown = {
        "/": pages.overview,
        "/queue": pages.queue,
        "/story": pages.story,
        "/dead": pages.dead,
        "/dead/letter": pages.letter,
        "/schedules": pages.schedules,
        "/health": pages.health,
    }
    routes: list[BaseRoute] = [
        Route(path, pages.seen(page), methods=["GET"]) for path, page in shown.items()
    ]
    routes += [
        Route("/metrics", pages.seen(metrics), methods=["GET"]),
        Route("/healthz", healthz, methods=["GET"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    if guard.open:
        routes += [
            Route("/sign-in", pages.sign_in_form, methods=["GET"]),
            Route("/sign-in", pages.sign_in, methods=["POST"]),
            Route("/sign-out", pages.sign_out, methods=["POST"]),
        ]
    if options.allow_actions:
        routes += Actions(source, guard, writer).routes()
    return Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Armour, hosts=options.hosts)],
        exception_handlers={
            HTTPException: writer.http_error,
            FormRefused: writer.refused,
            ArvoError: writer.arvo_error,
            PoolTimeout: writer.away,
            psycopg.Error: writer.away,
            OSError: writer.away,
        },
    )


class Pages:
    """What is asked for each page."""

    def __init__(self, options: PageOptions, source: Source, guard: Guard, writer: Writer) -> None:
        self._options = options
        self._source = source
        self._guard = guard
        self._writer = writer

    def seen(self, page: Page) -> Page:
        """Let a page be seen by those who may."""

        async def guarded(request: Request) -> Response:
            if any(len(value) > LONGEST_INPUT for value in request.query_params.values()):
                raise HTTPException(414, "a field is too long")
            if self._options.protect_reading and not self._guard.signed_in(request):
                if request.url.path == "/metrics":
                    return PlainTextResponse(
                        "give the token as a bearer\n", 401, {"www-authenticate": "Bearer"}
                    )
                return RedirectResponse("/sign-in", 303)
            return await page(request)

        return guarded

    async def overview(self, request: Request) -> Response:
        """All queues."""
        stats = await self._source.stats()
        wanted = request.query_params.get("q", "").strip().lower()
        found = [row for row in stats if wanted in row.name.lower()]
        found.sort(key=lambda row: (-row.total_count - row.dead_count, row.name))
        history = self._source.history
        async with self._source.contract() as contract:
            workers = await contract.workers()
        return self._writer.page(
            request,
            "overview.html",
            q=request.query_params.get("q", ""),
            found=len(found),
            queues=[
                (row, chart(history.of(row.name), ["ready", "running"], width=120, height=28))
                for row in found[:QUEUES_SHOWN]
            ],
            totals=_totals(stats),
            alive=sum(worker.alive for worker in workers),
            depth=chart(history.of(), ["ready", "running"]),
            flow=chart(history.of(), ["completed", "failed"]),
        )

    async def queue(self, request: Request) -> Response:
        """One queue."""
        name = request.query_params.get("name", "")
        async with self._source.contract() as contract:
            found = await contract.queue_stats(name)
            if not found:
                raise HTTPException(404, "there is no such queue")
            operations = await contract.operations(name, limit=10)
            workers = [one for one in await contract.workers() if name in one.queues]
        samples = self._source.history.of(name)
        return self._writer.page(
            request,
            "queue.html",
            queue=found[0],
            operations=operations,
            workers=workers,
            depth=chart(samples, ["ready", "running"]),
            flow=chart(samples, ["completed", "failed"]),
        )

    async def story(self, request: Request) -> Response:
        """The story of a workflow, or the form to ask for one."""
        asked = request.query_params
        subject, event_id = asked.get("subject", "").strip(), asked.get("event", "").strip()
        picture, steps = None, []
        if subject or event_id:
            async with self._source.contract() as contract:
                steps = await (
                    contract.trace(event_id=event_id) if event_id else contract.trace(subject)
                )
            picture = draw(steps)
        return self._writer.page(
            request, "story.html", subject=subject, event=event_id, picture=picture, steps=steps
        )

    async def dead(self, request: Request) -> Response:
        """Dead letters, searched."""
        asked = {
            name: request.query_params.get(name, "").strip()
            for name in ("queue", "reason", "event_type", "subject", "text")
        }
        after = _whole(request.query_params.get("after", "0"))
        given: dict[str, Any] = {name: value or None for name, value in asked.items()}
        async with self._source.contract() as contract:
            letters = await contract.dead_letters(after=after, limit=LETTERS_SHOWN + 1, **given)
        more = len(letters) > LETTERS_SHOWN
        return self._writer.page(
            request,
            "dead.html",
            asked=asked,
            letters=letters[:LETTERS_SHOWN],
            after=letters[LETTERS_SHOWN - 1].dead if more else None,
            done=_counts(request),
        )

    async def letter(self, request: Request) -> Response:
        """One dead letter, with its attempts."""
        number = _whole(request.query_params.get("dead", ""))
        async with self._source.contract() as contract:
            found = await contract.dead_letters(dead=[number], resolved=True) or (
                await contract.dead_letters(dead=[number])
            )
            if not found:
                raise HTTPException(404, "there is no such dead letter")
            attempts = await contract.dead_letter_attempts(number)
        return self._writer.page(request, "letter.html", letter=found[0], attempts=attempts)

    async def schedules(self, request: Request) -> Response:
        """Schedules, and when they fire next."""
        async with self._source.contract() as contract:
            found = await contract.schedules()
        return self._writer.page(request, "schedules.html", schedules=found)

    async def health(self, request: Request) -> Response:
        """Health, workers, and what operators did."""
        async with self._source.contract() as contract:
            vitals = await contract.health()
            workers = await contract.workers()
            operations = await contract.operations(limit=30)
            about = await contract.about()
        order = {"warning": 0, "notice": 1, "ok": 2}
        return self._writer.page(
            request,
            "health.html",
            vitals=sorted(vitals, key=lambda vital: order[vital.level]),
            workers=workers,
            operations=operations,
            about=about,
        )

    async def sign_in_form(self, request: Request) -> Response:
        """The form for the token."""
        return self._writer.page(request, "sign_in.html", wrong=False)

    async def sign_in(self, request: Request) -> Response:
        """Begin a session."""
        fields = dict(await self._guard.form(request, session=False))
        if not self._guard.fits(fields.get("token", "")):
            await anyio.sleep(0.5)  # guessing shall not be quick either
            return self._writer.page(request, "sign_in.html", status=403, wrong=True)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            self._guard.session(),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    async def sign_out(self, request: Request) -> Response:
        """End a session."""
        await self._guard.form(request)
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer


def _totals(stats: Sequence[QueueStats]) -> dict[str, float]:
    return {
        "ready": sum(row.queued_count for row in stats),
        "waiting": sum(row.waiting_count for row in stats),
        "deferred": sum(row.deferred_count for row in stats),
        "running": sum(row.active_count for row in stats),
        "dead": sum(row.dead_count for row in stats),
        "completed": sum(row.completed_per_minute for row in stats),
        "failed": sum(row.failed_per_minute for row in stats),
        "queues": len(stats),
    }


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:  # noqa: PLR2004 - a bigint
        raise HTTPException(400, "that is no number")
    return int(text)


def _counts(request: Request) -> dict[str, int] | None:
    """Give what an action that led here has done."""
    asked = request.query_params
    if asked.get("verb") not in {"redrive", "discard"}:
        return None
    return {
        "done": _whole(asked.get("done", "0")),
        "refused": _whole(asked.get("refused", "0")),
    }
