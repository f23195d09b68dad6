"""Lets in the browser that was given the launch address and no other, and tells every browser what a page may not do.

A server on 127.0.0.1 is reached by every program of the machine and, through the browser, by every page of the web that
knows its port. So a request has to name exactly this host (DNS rebinding), to bear the cookie that the launch token was
turned into, and, where it changes something, to come from a page of this very origin: a page of another port is of the
*same site*, and gets the cookie sent along.
"""

from __future__ import annotations

import base64
import hashlib
import html
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from archipec.errors import counted
from archipec.language import _, current

__all__ = [
    "FILE_POLICY",
    "FRAME_POLICY",
    "HOST",
    "LARGEST_FORM",
    "LAUNCH",
    "PAGE_POLICY",
    "Launch",
    "RequestGuard",
    "Use",
]

HOST: Final = "127.0.0.1"
LAUNCH: Final = "/launch"
LARGEST_FORM: Final = 1 << 20
"""Bytes of what may be posted."""

_STYLE: Final = "body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem;color-scheme:light dark}"
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Of pages: what is the viewer's own. No inline script or style, nothing from elsewhere, in no frame."""
FRAME_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)
"""Of the HTML of a message: the images and styles that it brings along, and nothing that reaches beyond the frame."""
FILE_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)
"""Of what is saved and not shown, should a browser show it."""
_PLAIN_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": PAGE_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # With "no-referrer" a browser names no origin of what it posts, not even to that origin (Fetch, "append a request
    # Origin header").
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
"""What every answer says unless it says something else."""
_FORM: Final = "application/x-www-form-urlencoded"


class Launch:
    """The token in the launch address, which is good for one use, and the session that it is turned into.

    Args:
        redeemed: called when the token was used.
    """

    def __init__(self, redeemed: Callable[[], None] = lambda: None) -> None:
        self.token = secrets.token_urlsafe(32)
        self.session = secrets.token_urlsafe(32)
        self._redeemed = redeemed
        self._used = False

    def redeem(self, token: str) -> bool:
        """Use the token up; False when it is another one, or was used."""
        if self._used or not _same(token, self.token):
            return False
        self._used = True
        self._redeemed()
        return True


class Use:
    """When the viewer was last used, and whether it is at work: what never asks for anything keeps it running no longer."""

    def __init__(self) -> None:
        self._under_way = 0
        self._last = time.monotonic()

    def __enter__(self) -> None:
        self._under_way += 1

    def __exit__(self, *_: object) -> None:
        self._under_way -= 1
        self._last = time.monotonic()

    @property
    def idle(self) -> float:
        """For how many seconds nothing was asked for."""
        return 0.0 if self._under_way else time.monotonic() - self._last


class RequestGuard:
    """Stands before the application, and answers what must not reach it.

    Args:
        port: that the server listens on.
    """

    def __init__(self, app: ASGIApp, port: int, launch: Launch, use: Use) -> None:
        self._app = app
        self._host = f"{HOST}:{port}"
        # Cookies know no ports: under one name, two viewers would take each other's away.
        self._cookie = f"archipec-{port}"
        self._launch = launch
        self._use = use

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            # Nothing else is served; uvicorn is told so, too.
            raise ValueError(f"no {scope['type']} here")
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answered.setdefault(name, value)
            await send(message)

        problem = self._problem(scope, headers)
        if problem is not None:
            await _say(send_with_headers, *problem)
        elif scope["path"] == LAUNCH:
            await self._let_in(scope, headers, send_with_headers)
        elif not self._is_let_in(headers):
            await _say(
                send_with_headers,
                403,
                _("This page is closed"),
                _(
                    "archipec view shows it only in the browser that its launch address was opened in. Start archipec view again."
                ),
            )
        else:
            with self._use:
                await self._app(scope, receive, send_with_headers)

    def _problem(self, scope: Scope, headers: Headers) -> tuple[int, str, str] | None:
        """Return (status, title, text) of what is wrong with a request whoever it is from; None for nothing."""
        if headers.getlist("host") != [self._host]:
            return 403, _("Wrong host"), _("This server answers to {host} alone.").format(host=self._host)
        if "upgrade" in headers:
            return 403, _("No upgrade"), _("This server speaks plain HTTP alone.")
        method = scope["method"]
        if method not in ("GET", "HEAD", "POST"):
            return 405, _("Not allowed"), _("This server knows GET, HEAD and POST.")
        if not self._is_from_here(method, headers):
            return 403, _("From another page"), _("Another page asked for this. Nothing was done.")
        if method == "POST":
            return _problem_of_form(headers)
        return None

    def _is_from_here(self, method: str, headers: Headers) -> bool:
        """Tell whether a request is made by a page of this server, or by the person: typed, or a link that was followed."""
        site = headers.get("sec-fetch-site")
        if method == "POST":
            # Every browser names the origin of what it posts.
            return headers.getlist("origin") == [f"http://{self._host}"] and site in (None, "same-origin")
        if site in (None, "same-origin", "none"):
            return True
        return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"

    def _is_let_in(self, headers: Headers) -> bool:
        return any(_same(one, self._launch.session) for one in _cookies(headers, self._cookie))

    async def _let_in(self, scope: Scope, headers: Headers, send: Send) -> None:
        """Turn the token of the launch address into the cookie.

        The browser is sent on by a page of this origin, not by a redirect: a redirect is of whoever opened the address, and a
        cookie that is SameSite=Strict would not go along. The address leaves no trace in the history either way.
        """
        token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[-1]
        # What a browser fetches before the person asks for it must not use the token up.
        asked = scope["method"] == "GET" and "prefetch" not in headers.get("sec-purpose", "")
        if self._is_let_in(headers):
            await _say(send, 200, "archipec", _("One moment."), onward={"Refresh": "0; url=/"})
        elif asked and self._launch.redeem(token):
            cookie = f"{self._cookie}={self._launch.session}; HttpOnly; SameSite=Strict; Path=/"
            await _say(
                send, 200, "archipec", _("One moment."), onward={"Refresh": "0; url=/", "Set-Cookie": cookie}
            )
        else:
            await _say(
                send,
                403,
                _("This address was used before"),
                _(
                    "A launch address opens archipec view once, in one browser. Start archipec view again for another."
                ),
            )


def _problem_of_form(headers: Headers) -> tuple[int, str, str] | None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return 415, _("Not a form"), _("This server takes forms alone.")
    length = headers.get("content-length", "")
    if not length.isdecimal():
        return 411, _("No length"), _("What is sent must say how long it is.")
    if len(length) > len(str(LARGEST_FORM)) or int(length) > LARGEST_FORM:
        return (
            413,
            _("Too large"),
            _("This server takes {size} at most.").format(size=counted(LARGEST_FORM, "byte")),
        )
    return None


def _cookies(headers: Headers, name: str) -> list[str]:
    pairs = (one.strip().partition("=") for line in headers.getlist("cookie") for one in line.split(";"))
    return [value for key, _, value in pairs if key == name]


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode("utf-8", "replace"), other.encode())


async def _say(
    send: Send, status: int, title: str, text: str, *, onward: Mapping[str, str] | None = None
) -> None:
    """Answer with a page of a few words; unless it leads onward the connection ends, and what else was sent is not read."""
    body = (
        f'<!doctype html><html lang="{current()}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p></html>"
    ).encode()
    headers: dict[str, Any] = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Length": str(len(body)),
        "Content-Security-Policy": _PLAIN_POLICY,
        **({"Connection": "close"} if onward is None else onward),
        **({"Allow": "GET, HEAD, POST"} if status == 405 else {}),
    }
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
