"""Writing: pages out of templates; everything that is put into one is escaped."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from arvo_plpg.errors import ArvoError, ForeignCluster, PrivilegeMissing, SchemaError
from arvo_plpg.page import looks

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from arvo_plpg.page.guard import Guard
    from arvo_plpg.page.options import PageOptions

_HERE = Path(__file__).parent
STATIC: Final = _HERE / "static"


class Writer:
    """Writes pages.

    Args:
        options: what is shown.
        guard: who may do what.
    """

    def __init__(self, options: PageOptions, guard: Guard) -> None:
        self._options = options
        self._guard = guard
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for written in (
            looks.duration,
            looks.ago,
            looks.moment,
            looks.number,
            looks.rounded,
            looks.short,
            looks.subject_name,
            looks.pretty,
        ):
            self._environment.filters[written.__name__] = written
        self._environment.globals["query"] = looks.query

    def page(
        self, request: Request, template: str, *, status: int = 200, **given: object
    ) -> Response:
        """Write a page."""
        signed_in = self._guard.signed_in(request)
        text = self._environment.get_template(template).render(
            path=request.url.path,
            installation=self._options.schema,
            csrf=self._guard.csrf(request),
            signed_in=signed_in,
            can_sign_in=self._guard.open,
            may_act=self._options.allow_actions and bool(self._guard.csrf(request)),
            actions=self._options.allow_actions,
            payloads=self._options.show_payloads,
            **given,
        )
        return HTMLResponse(text, status)

    async def http_error(self, request: Request, error: Exception) -> Response:
        """Write what is wrong with a request."""
        assert isinstance(error, HTTPException)  # noqa: S101
        return self._trouble(request, error.status_code, error.detail)

    async def refused(self, request: Request, error: Exception) -> Response:
        """Write that a form is refused."""
        return self._trouble(request, 403, f"{error}; go back, reload the page and try again")

    async def arvo_error(self, request: Request, error: Exception) -> Response:
        """Write what the contract says: what was asked is wrong, or the installation is."""
        assert isinstance(error, ArvoError)  # noqa: S101
        away = isinstance(error, SchemaError | ForeignCluster)
        away = away and not isinstance(error, PrivilegeMissing)
        return self._trouble(request, 503 if away else 400, str(error))

    async def away(self, request: Request, _: Exception) -> Response:
        """Write that the database does not answer, and no word of how it is reached."""
        return self._trouble(request, 503, "the database does not answer, or not in time")

    def _trouble(self, request: Request, status: int, detail: str) -> Response:
        title = HTTPStatus(status).phrase
        return self.page(request, "error.html", status=status, title=title, detail=detail)

    def confirm(self, request: Request, **given: Any) -> Response:  # noqa: ANN401
        """Write what an action would do, and ask."""
        return self.page(request, "confirm.html", **given)
