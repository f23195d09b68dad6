"""The viewer as a process, and what speaks to it: a program that says what it likes, and a real browser."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.command import Archipec
from testbed.requirements import find, require

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["EVIL", "Reply", "Viewer", "Window", "chromium", "running"]

EVIL = "evil.example"
"""A host that the browser finds on this machine."""

_WAIT = 60  # seconds


@dataclass(frozen=True)
class Reply:
    """What a server answered; names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Window:
    """A window of a browser.

    Attributes:
        said: what the browser said on its console; asked: every address that something was asked of.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))


@dataclass
class Viewer:
    """A running ``archipec view``.

    Attributes:
        address: the launch address, as it was printed.
        cookie: of the session; empty until `let_in`.
    """

    process: subprocess.Popen[str]
    address: str
    cookie: str = ""

    @property
    def origin(self) -> str:
        return self.address.partition("/launch")[0]

    @property
    def port(self) -> int:
        return int(self.origin.rpartition(":")[2])

    @property
    def launch_path(self) -> str:
        return self.address.removeprefix(self.origin)

    def ask(
        self, path: str, method: str = "GET", body: bytes = b"", cookie: str | None = None, **headers: str
    ) -> Reply:
        """Send one request, with the session's cookie unless another is given, and nothing that is not named.

        Args:
            headers: with ``_`` for ``-``; an empty one is left out, also where it is a usual one.
        """
        given = {"Host": f"127.0.0.1:{self.port}", "Cookie": self.cookie if cookie is None else cookie}
        given |= {name.replace("_", "-").title(): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_WAIT)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            read = answer.read()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, read)
        finally:
            connection.close()

    def let_in(self) -> None:
        """Use the launch address up."""
        reply = self.ask(self.launch_path)
        assert reply.status == 200, reply
        self.cookie = reply.headers["set-cookie"].partition(";")[0]

    @contextmanager
    def window(self, browser: Browser, **options: Any) -> Iterator[Window]:
        """Open a window of the browser that is let in; at the end nothing was complained of, or asked of anybody else.

        Args:
            options: as of Playwright: ``viewport``, ``color_scheme``.
        """
        if not self.cookie:
            self.let_in()
        context = browser.new_context(base_url=self.origin, **options)
        try:
            name, _, value = self.cookie.partition("=")
            context.add_cookies([{"name": name, "value": value, "url": self.origin, "sameSite": "Strict"}])
            window = Window(context.new_page())
            yield window
            assert not window.said
            assert not [url for url in window.asked if not url.startswith((f"{self.origin}/", "data:"))]
        finally:
            context.close()

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, wait for the end; return exit code and what was said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=_WAIT)
        return self.process.returncode, said


@contextmanager
def running(archipec: Archipec, *words: object, before: tuple[object, ...] = ()) -> Iterator[Viewer]:
    """Start ``archipec view`` without a browser, and end it.

    Args:
        words: of the command line, behind ``view``; before: options before it.
    """
    process = archipec.start(*before, "view", "--no-browser", "--json", *words)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, said = process.communicate(timeout=_WAIT)
        raise AssertionError(f"archipec view ended with {process.returncode}: {said}")
    viewer = Viewer(process, json.loads(line)["address"])
    try:
        yield viewer
    finally:
        viewer.end()


@contextmanager
def chromium(home: Path) -> Iterator[Browser]:
    """Start the system's Chromium without a window; it reaches this machine alone."""
    require("chromium")
    program = find("chromium")
    assert program is not None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            headless=True,
            # Continuous integration runs as root, whom Chromium's own sandbox does not let in.
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                # A name of an attacker's that leads here, as with DNS rebinding.
                f"--host-resolver-rules=MAP {EVIL} 127.0.0.1",
            ],
            env={**os.environ, "HOME": str(home)},
        )
        try:
            yield browser
        finally:
            browser.close()
