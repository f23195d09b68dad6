"""The frame of the viewer's pages, in a real browser."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from testbed.viewer import Window

pytestmark = pytest.mark.real

PAGES = ("/", "/runs", "/nothing/there")
PHONE = {"viewport": {"width": 390, "height": 844}}
SERIOUS = ("serious", "critical")


def test_the_first_page(window: Window) -> None:
    window.page.goto("/")
    assert window.page.title() == "Overview · archipec"
    assert window.page.get_by_role("heading", name="demo").is_visible()
    assert window.page.evaluate("typeof htmx") == "object"


@pytest.mark.parametrize("window", [{}, {"color_scheme": "dark"}, PHONE], indirect=True)
def test_a_page_is_accessible(window: Window) -> None:
    for path in PAGES:
        window.page.goto(path)
        found = Axe().run(window.page).response["violations"]
        faults = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in SERIOUS]
        assert not faults, path
    window.said.clear()  # of the page that is not there


@pytest.mark.parametrize("window", [PHONE], indirect=True)
def test_nothing_is_wider_than_a_phone(window: Window) -> None:
    for path in PAGES[:-1]:
        window.page.goto(path)
        assert window.page.evaluate("document.documentElement.scrollWidth") <= 390, path
