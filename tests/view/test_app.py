"""How answers of pages become responses: files are saved and never shown, mistakes say nothing of the program."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from archipec.errors import ConfigError, IntegrityError, TransientError
from archipec.view import app
from archipec.view.guard import FILE_POLICY, FRAME_POLICY
from archipec.view.page import Answer, Download, MessageHtml, NoSuchPage, Page, PageRequest, SeeOther
from archipec.view.viewed import ViewedArchives
from testbed.viewer import Reply

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(name="shown", scope="module")
def _shown(sample: Path) -> ViewedArchives:
    state = sample / "state"
    return ViewedArchives(
        state=state, ledger_file=state / "ledger.sqlite3", index_file=state / "index.sqlite3", sinks=()
    )


@pytest.fixture(name="answer")
def _answer(shown: ViewedArchives, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Reply]:
    """Ask for a page that answers so, without a server."""

    def ask(
        answer: Callable[[PageRequest], Answer],
        method: str = "GET",
        path: str = "/p/x",
        body: bytes | None = b"",
    ) -> Reply:
        page = Page("/p/{name}", answer, "error.html", method)
        monkeypatch.setattr(app, "PAGES", (page,))
        return asyncio.run(_call(app.make_app(shown), method, path, body))

    return ask


async def _call(called: Any, method: str, path: str, body: bytes | None) -> Reply:
    """Call an ASGI application; a body that is None never arrives."""
    sent: list[Mapping[str, Any]] = []
    arrived: list[bool] = []
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": query.encode(), "headers": [(name.encode(), value.encode()) for name, value in FORM.items()],
        "scheme": "http", "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2),
    }  # fmt: skip

    async def receive() -> Mapping[str, Any]:
        if body is None or arrived:
            await asyncio.Event().wait()
        arrived.append(True)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    # The server is told of bugs, too, when they were answered.
    with suppress(ZeroDivisionError):
        await called(scope, receive, send)
    start, *rest = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return Reply(start["status"], headers, b"".join(one.get("body", b"") for one in rest))


@pytest.mark.parametrize("body", [b"Hello", io.BytesIO(b"Hello")])
def test_a_file_is_saved_and_never_shown(answer: Callable[..., Reply], body: Any) -> None:
    reply = answer(lambda _: Download("index.html", body, "text/html"))
    assert (reply.status, reply.body) == (200, b"Hello")
    assert reply.headers["content-disposition"] == "attachment; filename*=UTF-8''index.html"
    assert reply.headers["content-security-policy"] == FILE_POLICY
    assert not isinstance(body, io.BytesIO) or body.closed


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("..\\x", "x"), ("../../etc/passwd", "passwd"), ("C:\\con", "con"), ("/", "message"), ("", "message"), ("...", "message"),
        ("a\r\nSet-Cookie: x=1", "a__Set-Cookie_%20x%3D1"), ('a"; filename=b.exe', "a_%3B%20filename%3Db.exe"), ("è.pdf", "%C3%A8.pdf"),
        ("a\u202egnp.exe", "a%E2%80%AEgnp.exe"), ("a\udc80b", "a_b"), ("x" * 300, "x" * 300), ("a\0b", "a_b"), ("a;b", "a%3Bb"),
    ],
)  # fmt: skip
def test_a_name_leads_to_no_other_folder_and_into_no_header(
    answer: Callable[..., Reply], name: str, saved: str
) -> None:
    reply = answer(lambda _: Download(name, b""))
    assert reply.headers["content-disposition"] == f"attachment; filename*=UTF-8''{saved}"
    assert "\r" not in str(reply.headers) and "set-cookie" not in reply.headers


def test_html_of_a_message_gets_the_policy_of_a_frame(answer: Callable[..., Reply]) -> None:
    reply = answer(lambda _: MessageHtml("<p>x"))
    assert reply.headers["content-security-policy"] == FRAME_POLICY
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    for word in ("default-src 'none'", "frame-ancestors 'self'", "form-action 'none'", "sandbox"):
        assert word in FRAME_POLICY
    for word in ("allow-", "http:", "https:", "blob:", "'self';", "script-src", "font-src"):
        assert word not in FRAME_POLICY.replace("frame-ancestors 'self';", ""), word


def test_a_page_is_given_what_was_asked(answer: Callable[..., Reply]) -> None:
    seen: list[PageRequest] = []

    def keep(asked: PageRequest) -> Answer:
        seen.append(asked)
        return SeeOther("/next?a=1")

    reply = answer(
        keep, path="/p/%C3%A8?q=+a+&q=b&q=b&n=", method="POST", body=b"mark=+x+&mark=%3Cb%3E&mark=x"
    )
    assert (reply.status, reply.headers["location"]) == (303, "/next?a=1")
    (asked,) = seen
    assert (asked.value("q"), asked.values("q"), asked.value("n", "z"), asked.value("none", "z")) == (
        "b",
        ("a", "b"),
        "",
        "z",
    )
    assert asked.posted("mark") == ("x", "<b>")


def raising(error: BaseException) -> Callable[[PageRequest], Answer]:
    def answer(_: PageRequest) -> Answer:
        raise error

    return answer


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NoSuchPage("no message <b>x</b>"), 404),
        (TransientError("in use <b>x</b>", hint="wait"), 503),
        (ConfigError(["one <b>x</b>", "two"]), 400),
        (IntegrityError("altered <b>x</b>"), 500),
    ],
)
def test_an_error_is_said_as_text(answer: Callable[..., Reply], error: Exception, status: int) -> None:
    reply = answer(raising(error))
    assert reply.status == status
    assert "&lt;b&gt;x&lt;/b&gt;" in reply.text and "<b>x" not in reply.text


def test_a_bug_says_nothing_of_the_program(
    answer: Callable[..., Reply], caplog: pytest.LogCaptureFixture
) -> None:
    reply = answer(raising(ZeroDivisionError("/home/anna/secret")))
    assert reply.status == 500
    assert "bug: ZeroDivisionError" in reply.text
    assert "secret" not in reply.text and "Traceback" not in reply.text
    assert "this is a bug in archipec" in caplog.text


def test_a_form_that_does_not_arrive_is_waited_for_no_longer(
    answer: Callable[..., Reply], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_PATIENCE", 0.01)
    reply = answer(lambda _: SeeOther("/"), method="POST", body=None)
    assert (reply.status, reply.headers["connection"]) == (408, "close")
