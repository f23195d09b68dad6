"""The application: which pages there are, and how their answers become responses."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote

import anyio.to_thread
from anyio import CapacityLimiter
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from archipec.errors import USAGE, ArchipecError, ConfigError, TransientError
from archipec.language import _, current, ngettext, pgettext
from archipec.report import charts
from archipec.view import filters
from archipec.view.guard import FILE_POLICY, FRAME_POLICY
from archipec.view.page import Answer, Download, MessageHtml, NoSuchPage, Page, PageRequest, SeeOther
from archipec.view.pages import NAVIGATION, PAGES
from archipec.view.viewed import ViewedArchives

__all__ = ["make_app"]

_LOG = logging.getLogger("archipec.view")
_AT_A_TIME: Final = 4
"""Pages that are made at once: each may hold a message in memory."""
_PATIENCE: Final = 5.0  # seconds for what is posted to arrive
_CHUNK: Final = 1 << 16
_STATIC: Final = {"style.css": "text/css", "htmx.min.js": "text/javascript", "icon.svg": "image/svg+xml"}
_KEPT: Final = {"Cache-Control": "private, max-age=3600"}
_UNFIT: Final = re.compile(r'[\x00-\x1f\x7f"*/:<>?\\|\ud800-\udfff]')


def make_app(shown: ViewedArchives) -> ASGIApp:
    """Return the application, which trusts whoever asks it: the guard stands before it."""
    return _Viewer(shown).app


class _Viewer:
    def __init__(self, shown: ViewedArchives) -> None:
        self._shown = shown
        self._limiter: CapacityLimiter | None = None
        self._templates = _environment(shown)
        routes: list[BaseRoute] = [self._route(page) for page in PAGES]
        routes.append(Route("/static/{name}", _static, methods=["GET"]))
        handlers: Any = {HTTPException: self._http_error, Exception: self._bug}
        self.app = Starlette(routes=routes, exception_handlers=handlers)
        self.app.router.redirect_slashes = False

    def _route(self, page: Page) -> Route:
        async def endpoint(request: Request) -> Response:
            form = await _form(request) if page.method == "POST" else []
            # Made here, because it belongs to the loop that runs.
            self._limiter = self._limiter or CapacityLimiter(_AT_A_TIME)
            return await anyio.to_thread.run_sync(
                self._answered, page, request, form, limiter=self._limiter, abandon_on_cancel=True
            )

        return Route(page.path, endpoint, methods=[page.method])

    def _answered(self, page: Page, request: Request, form: list[tuple[str, str]]) -> Response:
        """Make the answer, all in one thread."""
        path = page.tab or page.path
        query = parse_qsl(request.url.query, keep_blank_values=True)
        try:
            with self._shown.open() as view:
                asked = PageRequest(view=view, path=dict(request.path_params), query=query, form=form)
                answer = page.answer(asked)
                if isinstance(answer, Mapping):
                    return self._page(page.template, path, answer, request)
            return _response(answer)
        except ArchipecError as error:
            return self._error(error, path, request)

    def _page(
        self, template: str, path: str, variables: Mapping[str, Any], request: Request, status: int = 200
    ) -> Response:
        common = {"here": path, "words": request.query_params.get("q", "")}
        return HTMLResponse(self._templates.get_template(template).render(common | dict(variables)), status)

    def _error(self, error: ArchipecError, path: str, request: Request) -> Response:
        status = 404 if isinstance(error, NoSuchPage) else 503 if isinstance(error, TransientError) else 500
        # What was asked wrongly is an error of configuration, or of usage, on the command line too.
        status = 400 if isinstance(error, ConfigError) or error.exit_code == USAGE else status
        problems = error.problems if isinstance(error, ConfigError) else (error.message,)
        return self._page("error.html", path, {"problems": problems, "hint": error.hint}, request, status)

    def _http_error(self, request: Request, error: HTTPException) -> Response:
        problem = _("there is no such page") if error.status_code == 404 else error.detail.lower()
        variables = {"problems": (problem,), "hint": ""}
        answer = self._page("error.html", "", variables, request, error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    def _bug(self, request: Request, error: Exception) -> Response:
        _LOG.error(_("this is a bug in archipec"), exc_info=error)
        variables = {
            "problems": (_("bug: {error}").format(error=type(error).__name__),),
            "hint": _("please report what the terminal of archipec view shows"),
        }
        return self._page("error.html", "", variables, request, 500)


def _environment(shown: ViewedArchives) -> Environment:
    environment = Environment(
        loader=PackageLoader("archipec.view"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.filters.update(filters.FILTERS)
    environment.globals.update(navigation=NAVIGATION, shown=shown, language=current)
    environment.install_gettext_callables(_, ngettext, newstyle=True, pgettext=pgettext)  # type: ignore[attr-defined]  # by the extension
    # Compiled now, so that the first page is as quick as the others.
    for name in environment.list_templates():
        environment.get_template(name)
    return environment


async def _form(request: Request) -> list[tuple[str, str]]:
    """Return what was posted; how large it may be is the guard's business."""
    try:
        async with asyncio.timeout(_PATIENCE):
            body = await request.body()
    except TimeoutError as error:
        raise HTTPException(408, _("what was sent did not arrive"), {"Connection": "close"}) from error
    return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)


def _response(answer: Answer) -> Response:
    if isinstance(answer, SeeOther):
        return RedirectResponse(answer.path, 303)
    if isinstance(answer, MessageHtml):
        return HTMLResponse(answer.html, headers={"Content-Security-Policy": FRAME_POLICY})
    assert isinstance(answer, Download)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(_file_name(answer.name), safe='')}",
        "Content-Security-Policy": FILE_POLICY,
    }
    if isinstance(answer.body, bytes):
        return Response(answer.body, headers=headers, media_type=answer.media_type)
    return StreamingResponse(_chunks(answer), headers=headers, media_type=answer.media_type)


def _file_name(name: str) -> str:
    """Return the last part of a name; the browser makes sure that a file can be called so on its system."""
    return _UNFIT.sub("_", name.replace("\\", "/").rpartition("/")[2]).strip(". ") or "message"


def _chunks(answer: Download) -> Iterator[bytes]:
    assert not isinstance(answer.body, bytes)
    with answer.body as file:
        while chunk := file.read(_CHUNK):
            yield chunk


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "charts.css":
        return Response(charts.STYLE, headers=_KEPT, media_type="text/css")
    if name not in _STATIC:
        raise HTTPException(404)
    return FileResponse(
        Path(__file__).with_name("static") / name,
        media_type=_STATIC[name],
        headers=_KEPT,
    )
