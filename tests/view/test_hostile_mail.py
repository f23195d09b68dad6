"""Mail that is made to act on who looks at it, in a real browser: nothing of it runs, and nothing is asked of anybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from testbed.hostile_mail import SUBJECTS, hostile_html
from testbed.office import Office
from testbed.trap import Trap
from testbed.viewer import Viewer, Window

pytestmark = pytest.mark.real

PHONE = {"viewport": {"width": 390, "height": 844}}
SIZES: tuple[dict[str, Any], ...] = ({}, {"color_scheme": "dark"}, PHONE)
SERIOUS = ("serious", "critical")
LISTS = ("/messages", "/messages?q=testo&has=attachment", "/sent", "/invoices", "/conservation")


@pytest.fixture(params=[None], ids=[""])
def window(
    request: pytest.FixtureRequest, reader: Viewer, browser: object, trapped: Trap
) -> Iterator[Window]:
    """A window on the office with hostile mail; at the end nothing was asked of anybody else, by whatever way."""
    with reader.window(browser, **(request.param or {})) as window:  # type: ignore[arg-type]
        yield window
    assert trapped.asked == []


def key_of(mail: Office, words: str) -> str:
    (found,) = mail.found(words)
    return str(found["sha256"])


@pytest.fixture(scope="session")
def hostile(mail: Office) -> dict[str, str]:
    """The messages of hostile HTML, by what they try."""
    found = {one["subject"]: one["sha256"] for one in mail.found("html", "--from", "mallory")}
    return {name: found[f"HTML {name}"] for name in hostile_html("")}


@pytest.mark.parametrize("name", hostile_html(""))
def test_html_does_nothing(window: Window, hostile: dict[str, str], name: str) -> None:
    page, at = window.page, f"/messages/{hostile[name]}"
    for path in (at, f"{at}?as=html", f"{at}/formatted"):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.title() in (f"HTML {name} · archipec", "Message")
        assert page.url.endswith(path)
    assert (
        page.evaluate("document.querySelectorAll('a,script,form,svg,iframe,link,meta[http-equiv]').length")
        == 0
    )


def test_a_link_in_mail_can_not_be_followed(window: Window, hostile: dict[str, str], trapped: Trap) -> None:
    page = window.page
    page.goto(f"/messages/{hostile['link']}?as=html")
    letter = page.frame_locator("iframe.letter")
    for words in ("La tua banca", "https://banca.example", "qui"):
        letter.get_by_text(words, exact=False).first.click()
    page.keyboard.press("Enter")
    page.wait_for_load_state("networkidle")
    assert page.url.endswith("?as=html")
    assert len(page.context.pages) == 1
    assert f"[{trapped.address}/top]" in letter.locator("body").inner_text()


def test_the_frame_has_no_origin_to_use(window: Window, mail: Office) -> None:
    page = window.page
    page.goto(f"/messages/{key_of(mail, 'con logo')}?as=html")
    frame = page.frames[1]
    frame.wait_for_load_state()
    assert frame.locator("img").evaluate("image => image.naturalWidth") == 1, "what it brings along is shown"
    assert page.evaluate("document.querySelector('iframe').contentDocument") is None
    assert page.locator("iframe.letter").get_attribute("sandbox") == ""


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_subject_is_text(window: Window, mail: Office, name: str) -> None:
    page = window.page
    key = key_of(mail, f'"testo {name}"')
    page.goto(f"/messages?q=%22testo+{name}%22")
    assert page.title() == "Messages · archipec"
    assert page.locator(".list li").count() == 1
    page.goto(f"/messages/{key}")
    shown = page.locator("h1").inner_text()
    plain = "".join(
        one if one.isprintable() else " " if one.isspace() else "\ufffd" for one in SUBJECTS[name]
    )
    assert shown.split()[0][:20] == plain.split()[0][:20]
    assert not set(shown) & set("\u202e\u202d\u2066\u2067\u200f\x1b")
    assert (
        page.evaluate("document.querySelectorAll('main img, main script, [onfocus], [autofocus]').length")
        == 0
    )
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("window", SIZES, indirect=True)
def test_pages_are_accessible_and_fit(window: Window, mail: Office) -> None:
    page = window.page
    shown = (key_of(mail, "accertamento"), key_of(mail, '"testo long"'), key_of(mail, "nomi file"))
    for path in (*LISTS, *(f"/messages/{key}" for key in shown), f"/messages/{shown[0]}?as=html"):
        page.goto(path)
        found = Axe().run(page).response["violations"]
        faults = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in SERIOUS]
        assert not faults, path
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path


def test_the_keyboard_alone_leads_to_a_message_and_its_file(window: Window, mail: Office) -> None:
    page = window.page
    page.goto("/messages")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    press_until(window, "document.activeElement.id == 'search'")
    page.keyboard.type("accertamento")
    page.keyboard.press("Enter")
    page.wait_for_url("**/messages?q=accertamento")
    press_until(window, "document.activeElement.textContent == 'Avviso di accertamento'")
    page.keyboard.press("Enter")
    page.wait_for_url("**/messages/*")
    press_until(window, "document.activeElement.textContent == 'Relazione.pdf'")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "Relazione.pdf"


def press_until(window: Window, reached: str) -> None:
    """Press Tab until a condition, in JavaScript, holds."""
    for _ in range(80):
        window.page.keyboard.press("Tab")
        if window.page.evaluate(reached):
            return
    raise AssertionError(f"the Tab key does not lead to where {reached}")


def test_an_attachment_is_saved_under_a_harmless_name(window: Window, mail: Office) -> None:
    page = window.page
    page.goto(f"/messages/{key_of(mail, 'nomi file')}")
    for number, name in ((0, "index.html"), (3, "_con"), (6, "immagine.svg")):
        with page.expect_download() as download:
            page.locator(f'a[href$="/files/{number}"]').click()
        assert download.value.suggested_filename == name
    assert page.title().startswith("Nomi di file"), "nothing was opened in its place"


def test_chosen_messages_are_saved(window: Window, mail: Office) -> None:
    page = window.page
    page.goto("/messages?q=accertamento")
    page.get_by_role("checkbox", name="Choose").first.check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the chosen ones as a zip file").click()
    assert download.value.suggested_filename.endswith(".zip")


def test_a_sending_is_marked_as_dealt_with(window: Window, mail: Office) -> None:
    page = window.page
    page.goto("/sent?show=attention")
    one = page.locator(".sending", has_text="Istanza 0 ricevute")
    one.get_by_label("What was done about it").fill("telefonato")
    one.get_by_role("button", name="Mark as dealt with").click()
    page.wait_for_load_state()
    assert page.locator(".sending", has_text="Istanza 0 ricevute").count() == 0
    page.goto("/sent?show=handled")
    one = page.locator(".sending", has_text="Istanza 0 ricevute")
    assert "telefonato" in one.inner_text()
    one.get_by_role("button", name="Take the mark back").click()
    page.wait_for_load_state()
    assert page.locator(".sending", has_text="Istanza 0 ricevute").count() == 0
