"""What pages of others try through the browser of somebody who has the viewer open, with the browser's own help."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archipec.view.browser import LaunchFile
from testbed.command import Archipec
from testbed.viewer import EVIL, Viewer, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Response

pytestmark = pytest.mark.real

# Each tells what came of it in the title: what could be read or was done, or that it could not.
FETCH = """
<script>
(async () => {{
  const found = [];
  for (const mode of ["cors", "no-cors"]) for (const method of ["GET", "POST"]) {{
    try {{
      const reply = await fetch("{target}/", {{method, mode, credentials: "include"}});
      found.push(reply.type + (await reply.text()).length);
    }} catch (error) {{ found.push("refused"); }}
  }}
  document.title = found.join(" ");
}})();
</script>"""
SOCKET = """
<script>
const socket = new WebSocket("ws://{host}/");
socket.onopen = () => document.title = "open";
socket.onerror = () => document.title = "refused";
</script>"""
FORM = """
<iframe name="inside"></iframe>
<form method="post" action="{target}/" enctype="{enctype}" target="inside"><input name="a" value="b"></form>
<script>document.forms[0].submit()</script>"""
FRAME = """
<iframe src="{target}/"></iframe>
<script>
addEventListener("load", () => {{
  let seen = "refused";
  try {{ seen = "read " + frames[0].document.body.innerHTML.length; }} catch (error) {{}}
  document.title = seen;
}});
</script>"""
LEAK = """
<script>
const found = [];
const done = name => () => {{ found.push(name); if (found.length == 2) document.title = found.sort().join(" "); }};
const image = new Image(); image.onload = done("image"); image.onerror = done("no image"); image.src = "{target}/static/icon.svg";
const script = document.createElement("script"); script.onload = done("script"); script.onerror = done("no script");
script.src = "{target}/static/htmx.min.js"; document.documentElement.append(script);
</script>"""
OPENER = """
<script>
const opened = open("{target}/");
const wait = setInterval(() => {{
  if (opened.closed) {{ clearInterval(wait); document.title = "cut off"; return; }}
  try {{ if (opened.document.querySelector("nav")) {{ document.title = "read"; }} }} catch (error) {{ clearInterval(wait); document.title = "refused"; }}
}}, 20);
</script>"""


class _Page(BaseHTTPRequestHandler):
    def __init__(self, body: str, *args: object) -> None:
        self._body = body.encode()
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self._body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(body: str) -> Iterator[int]:
    """Serve a page to every address; yield the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Page, body)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


@pytest.fixture(name="context", scope="module")
def _context(viewer: Viewer, browser: Browser) -> Iterator[BrowserContext]:
    """A browser with the viewer open in it."""
    with viewer.window(browser) as window:
        window.page.goto("/")
        yield window.page.context
        assert not window.said


def _noted(replies: list[int], origin: str, reply: Response) -> None:
    if reply.url.startswith(origin):
        replies.append(reply.status)


@pytest.mark.parametrize("host", [EVIL, "127.0.0.1"])
def test_another_page_learns_nothing(viewer: Viewer, context: BrowserContext, host: str) -> None:
    """One of another port is of the same site, and the cookie goes along with what it asks for."""
    attacks = (
        (FETCH, "refused refused refused refused"),
        (SOCKET, "refused"),
        (FRAME, "refused"),
        (LEAK, "no image no script"),
        (OPENER, "cut off|refused"),
    )
    for attack, titles in attacks:
        page = attack.format(target=viewer.origin, host=f"127.0.0.1:{viewer.port}")
        with served(page) as port:
            window = context.new_page()
            replies: list[int] = []
            window.on("response", partial(_noted, replies, f"{viewer.origin}/"))
            window.goto(f"http://{host}:{port}/")
            window.wait_for_function("document.title != ''")
            assert window.title() in titles.split("|"), attack
            assert not [status for status in replies if status != 403], attack
            window.close()


@pytest.mark.parametrize("host", [EVIL, "127.0.0.1"])
def test_a_form_of_another_page_does_nothing(viewer: Viewer, context: BrowserContext, host: str) -> None:
    for enctype in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        with served(FORM.format(target=viewer.origin, enctype=enctype)) as port:
            window = context.new_page()
            with window.expect_response(f"{viewer.origin}/") as reply:
                window.goto(f"http://{host}:{port}/")
            assert reply.value.request.method == "POST"
            assert reply.value.status == 403
            window.close()


def test_a_name_that_leads_here_is_not_this_host(viewer: Viewer, context: BrowserContext) -> None:
    window = context.new_page()
    for name in (EVIL, "localhost"):
        reply = window.goto(f"http://{name}:{viewer.port}/")
        assert reply is not None and reply.status == 403
        assert window.title() == "Wrong host"


def test_the_launch_page_lets_the_browser_in_and_leaves_no_trace(
    sample: Path, browser: Browser, tmp_path: Path
) -> None:
    with running(Archipec(sample / "state")) as viewer:
        file = LaunchFile(tmp_path / "view")
        file._write(viewer.address)
        context = browser.new_context()
        try:
            page = context.new_page()
            urls: list[str] = []
            page.on("framenavigated", lambda frame: urls.append(frame.url))
            page.goto(next((tmp_path / "view").iterdir()).as_uri())
            page.wait_for_url(f"{viewer.origin}/")
            assert page.get_by_role("navigation").is_visible()
            (cookie,) = context.cookies()
            assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
            assert page.evaluate("document.cookie") == ""
            # Each page took the place of the one before: the token stands nowhere in the history.
            page.go_back()
            assert "token" not in page.url
            assert page.url != viewer.address
            assert any("token" in url for url in urls)
            # Somebody else who finds the address comes too late.
            other = browser.new_context()
            reply = other.new_page().goto(viewer.address)
            assert reply is not None and reply.status == 403
            other.close()
        finally:
            context.close()
            file.remove()
