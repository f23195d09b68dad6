"""The page of ``archipec report`` in a real browser: nothing is asked of the network, nothing is blocked, all can read it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe

from testbed.command import Archipec
from testbed.ledgers import add_messages
from testbed.viewer import Window

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.real

SOURCE = "imaps://studio%40pec.example.it@imaps.example.it:993"


@pytest.fixture(scope="session", params=["sample", "large"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """The report of the demo, or of two mailboxes with many messages."""
    if request.param == "sample":
        return sample / "report.html"
    folder = tmp_path_factory.mktemp("large")
    (folder / "state").mkdir()
    ledger = folder / "state" / "ledger.sqlite3"
    add_messages(ledger, SOURCE, ["maildir:/archive"], 8_000)
    add_messages(ledger, SOURCE.replace("studio", "legale"), ["mbox:/other"], 80, "legale")
    Archipec(folder / "state")("report", "--html", folder / "report.html")
    return folder / "report.html"


@pytest.fixture(params=["desktop", "phone", "dark", "print"])
def window(request: pytest.FixtureRequest, browser: Browser, page: Path) -> Iterator[Window]:
    """A window with the page, as it is shown on a desk, on a phone, on a dark screen, on paper."""
    width = 390 if request.param == "phone" else 1280
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if request.param == "dark" else "light",
        offline=True,
    )
    try:
        window = Window(context.new_page())
        if request.param == "print":
            window.page.emulate_media(media="print")
        window.page.goto(page.as_uri())
        yield window
    finally:
        context.close()


def test_it_opens_from_the_disk_and_asks_for_nothing_else(window: Window, page: Path) -> None:
    assert window.asked == [page.as_uri()]
    assert window.said == []
    # Its style sheet is taken.
    assert window.page.evaluate("getComputedStyle(document.querySelector('.card')).display") == "block"
    assert window.page.evaluate("document.styleSheets.length") == 1
    assert window.page.locator("svg[role=img]").count() >= 3


def test_nothing_stands_out_of_the_window(window: Window) -> None:
    assert window.page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )


def test_everybody_can_read_it(window: Window) -> None:
    found = [
        one
        for one in Axe().run(window.page).response["violations"]
        if one["impact"] in {"serious", "critical"}
    ]
    assert not found, [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in found]
