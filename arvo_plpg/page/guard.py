"""Guard: who may see and do what; the headers of every answer."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE: Final = "arvo_session"
SESSION_SECONDS: Final = 12 * 3600
LARGEST_FORM: Final = 64 * 1024

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
"""Of every answer. No inline script, no inline style, nothing from elsewhere."""


class FormRefused(Exception):  # noqa: N818 - named for what is wrong
    """A form that was not sent by a page of ours, or not in its way."""


class Armour:
    """Puts the headers on every answer, and refuses hosts that the page does not go by.

    The second is against DNS rebinding: a page of somebody else whose name is made to mean this
    machine would otherwise be of the same origin.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def armoured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) != 1 or _name(named[0].decode("latin-1")) not in self._hosts:
            refusal: Response = PlainTextResponse("this page does not go by that name\n", 421)
            await refusal(scope, receive, armoured)
            return
        await self._app(scope, receive, armoured)


def _name(host: str) -> str:
    """Give a Host header without its port, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()


class Guard:
    """Sessions and forms. A session is a signed time: nothing is kept for it here.

    Args:
        token: what operators sign in with; None if nobody can.
    """

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._key = secrets.token_bytes(32)

    @property
    def open(self) -> bool:
        """Whether there is something to sign in with."""
        return self._token is not None

    def fits(self, token: str) -> bool:
        """Whether somebody knows the token; takes as long for any that does not fit."""
        if self._token is None:
            return False
        given, wanted = (hashlib.sha256(t.encode("utf-8", "replace")) for t in (token, self._token))
        return hmac.compare_digest(given.digest(), wanted.digest())

    def session(self) -> str:
        """Begin a session; give its cookie."""
        begun = f"{int(time.time())}.{secrets.token_hex(16)}"
        return f"{begun}.{self._sign('session', begun)}"

    def signed_in(self, request: Request) -> bool:
        """Whether a request is of a session, or brings the token as a bearer."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.fits(given.strip()):
            return True
        return self._session_of(request) is not None

    def csrf(self, request: Request) -> str:
        """Give what forms of a request's session carry; empty without a session."""
        session = self._session_of(request)
        return "" if session is None else self._sign("form", session)

    async def form(self, request: Request, *, session: bool = True) -> list[tuple[str, str]]:
        """Read the form that a request brings.

        Args:
            request: a POST.
            session: whether it must be of a session, and carry what its forms carry.

        Raises:
            FormRefused: it comes from another site, is not of the session, or is too large.
        """
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise FormRefused("the form was sent by another site")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            raise FormRefused("the form was sent by another site")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise FormRefused("the form is of another kind")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_FORM:
                raise FormRefused("the form is too large")
        fields = parse_qsl(body.decode("utf-8", "replace"), max_num_fields=2000)
        if session:
            wanted, given = self.csrf(request), dict(fields).get("csrf", "")
            if not wanted or not hmac.compare_digest(wanted.encode(), given.encode()):
                raise FormRefused("the form is not of this session")
        return fields

    def _session_of(self, request: Request) -> str | None:
        cookie = request.cookies.get(COOKIE, "")
        begun, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._sign("session", begun).encode(), signature.encode()):
            return None
        age = time.time() - int(begun.partition(".")[0])
        return begun if age <= SESSION_SECONDS else None

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()
