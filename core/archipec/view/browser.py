"""Opens the launch address in the user's browser without its token showing in the list of processes."""

from __future__ import annotations

import html
import os
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path

from archipec.errors import from_os_error

__all__ = ["LaunchFile"]


class LaunchFile:
    """A page that only its owner can read and that leads to an address: the browser is started with the page's name.

    Args:
        folder: made 0700 when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"launch-{os.getpid()}.html"

    def open(self, address: str) -> bool:
        """Open an address in the user's browser, and return at once; False where there is no browser with a window.

        Raises:
            ArchipecError: the page can't be written.
        """
        browser = _browser()
        if browser is None:
            return False
        self._write(address)

        def start() -> None:
            with suppress(webbrowser.Error, OSError):
                browser.open(self._path.absolute().as_uri())

        # Some are waited for until they end.
        threading.Thread(target=start, name="browser", daemon=True).start()
        return True

    def _write(self, address: str) -> None:
        escaped = html.escape(address)
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>archipec</title>'
            f'<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0; url={escaped}">'
            f'<p><a href="{escaped}">archipec</a></p></html>\n'
        )
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            self.remove()
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(page)
        except OSError as error:
            raise from_os_error(error, self._path) from error

    def remove(self) -> None:
        """Remove the page: its address was used, or leads nowhere any more."""
        self._path.unlink(missing_ok=True)


def _browser() -> webbrowser.BaseBrowser | None:
    if sys.platform not in ("win32", "darwin") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        # What would be started is one in this terminal.
        return None
    try:
        return webbrowser.get()
    except webbrowser.Error:
        return None
