"""The pages of mailboxes and of runs: what they say, of what needs a person above all."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from archipec.custody.attempts import AttemptSubject
from archipec.custody.ledger import Ledger
from testbed.command import Archipec
from testbed.office import NOTICE, ORDINARY, Office, received, sending
from testbed.viewer import Viewer, Window, running

HOSTILE = "<b>x</b>\u202egnp.&"


def text_of(viewer: Viewer, path: str) -> str:
    """Return what a page says, without its marks, in one line."""
    reply = viewer.ask(path)
    assert reply.status == 200, reply
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", reply.text)).split())


@pytest.fixture(name="troubled", scope="module")
def _troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    """Of an office where a run failed, a folder of a hostile name could not be read, and an archive is gone."""
    office = Office(tmp_path_factory.mktemp("troubled"))
    original, receipts = sending("Istanza")
    office.put(NOTICE, ORDINARY, receipts[0])
    office.put(original, folder="Inviata")
    office.archive()
    office.run("verify")
    (office.folder / "mail").rename(office.folder / "moved")
    office.run("archive", expect=4)
    office.command(
        "archive",
        "--from",
        f"eml:{office.folder / HOSTILE.replace('/', '-')}",
        "--to",
        f"maildir:{office.folder / 'other'}",
        expect=4,
    )
    (office.folder / "PEC").rename(office.folder / "elsewhere")
    with running(office.command, before=("--config", office.folder / "archipec.toml")) as viewer:
        viewer.let_in()
        yield viewer


def counted(viewer: Viewer, path: str = "/") -> str:
    """Return what the first page says when the messages were counted."""
    while "being counted" in (found := text_of(viewer, path)):
        pass
    return found


def test_what_needs_a_person_comes_first(troubled: Viewer) -> None:
    found = counted(troubled)
    assert found.index("Needs a person") < found.index("Last success")
    # Each with the command that deals with it.
    assert "archipec archive studio" in found
    assert "is not there" in found
    assert "Istanza: protocollo@comune.example: missing" in found
    assert "Nothing needs a person" not in found


def test_of_a_mailbox_all_is_shown(troubled: Viewer) -> None:
    found = counted(troubled)
    for words in (
        "In the mailbox 4",
        "Archived 4",
        "posta-certificata 1",
        "accettazione 1",
        "ordinaria 2",
        "valid 2",
        "a receipt is missing 1",
    ):
        assert words in found, words
    page = troubled.ask("/").text
    assert 'role="img" aria-label="Messages by their date' in page
    assert 'href="/messages?kind=posta-certificata"' in page


def test_runs_say_what_was_done_and_why_it_failed(troubled: Viewer) -> None:
    found = text_of(troubled, "/runs")
    assert "4 stored" in found and "4 checked" in found
    assert "failed (exit code 4)" in found
    failed = text_of(troubled, "/runs?show=failed")
    assert "failed (exit code 4)" in failed and "4 stored" not in failed
    assert "studio" in text_of(troubled, "/runs?pipeline=studio")
    for odd in (
        "?page=0",
        "?page=-1",
        "?page=x",
        "?page=99999999999999999999",
        "?page=%C2%B2",
        "?pipeline=nobody",
        "?show=x",
        "?pipeline=%00",
    ):
        assert "Runs" in text_of(troubled, f"/runs{odd}")


def test_names_from_elsewhere_stay_text(troubled: Viewer) -> None:
    for path in ("/", "/runs"):
        page = troubled.ask(path).text
        assert "<b>x" not in page and "\u202e" not in page
    assert "&lt;b&gt;x" in troubled.ask("/runs").text


def test_a_long_history_comes_in_pages(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.put(ORDINARY)
    office.archive()
    subject = AttemptSubject("studio", f"eml:{tmp_path / 'mail'}")
    with Ledger(office.state / "ledger.sqlite3") as ledger:
        for at in range(51):
            ledger.runs.end_attempt(ledger.runs.begin_attempt(subject, "verify", at), at, 0, [])
    with running(office.command) as viewer:
        viewer.let_in()
        first, second = viewer.ask("/runs").text, viewer.ask("/runs?page=2").text
        assert (first.count("<tr>"), second.count("<tr>")) == (51, 3)  # each with a heading
        assert 'href="/runs?page=2"' in first and 'rel="prev"' not in first
        assert 'href="/runs?page=1"' in second and 'rel="next"' not in second


def test_of_many_mailboxes_one_is_chosen(tmp_path: Path) -> None:
    archipec = Archipec(tmp_path / "state")
    office = Office(tmp_path)
    office.put(ORDINARY)
    office.archive()
    lines = (tmp_path / "archipec.toml").read_text()
    more = "".join(
        lines.replace('"studio"', f'"box{n}"').replace('"mail"', f'"mail{n}"').replace('"PEC"', f'"PEC{n}"')
        for n in range(6)
    )
    (tmp_path / "archipec.toml").write_text(lines + more)
    with running(archipec, before=("--config", tmp_path / "archipec.toml")) as viewer:
        viewer.let_in()
        page = viewer.ask("/").text
        assert page.count('class="card mailbox"') == 0
        found = text_of(viewer, "/")
        assert "studio" in found and "box5 : it never ran" in found and "box5 never 0" in found
        (link,) = re.findall(r'href="(/\?mailbox=studio[^"]*)"', page)
        chosen = viewer.ask(html.unescape(link)).text
        assert chosen.count('class="card mailbox"') == 1 and "ordinaria" in counted(
            viewer, html.unescape(link)
        )
    with running(archipec, "studio", before=("--config", tmp_path / "archipec.toml")) as viewer:
        viewer.let_in()
        assert "box5" not in viewer.ask("/").text


@pytest.mark.real
@pytest.mark.parametrize("window", [{"java_script_enabled": False}], indirect=True)
def test_without_scripts_all_is_there(window: Window) -> None:
    window.page.goto("/")
    window.page.get_by_role("link", name="Runs", exact=True).click()
    assert window.page.get_by_role("heading", name="Runs").is_visible()


@pytest.mark.real
def test_with_the_keyboard_alone(window: Window) -> None:
    page = window.page
    page.goto("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto("/")
    while page.evaluate("document.activeElement.textContent") != "Runs":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs")
    assert page.evaluate("document.querySelector('[aria-current=page]').textContent") == "Runs"


# -- todo, report and viewer say the same ------------------------------------------------------------------


def test_what_needs_a_person_is_the_same_in_todo_report_and_viewer(tmp_path: Path) -> None:
    """With so many mailboxes that none is shown in full, two of them in one archive, and a receipt that is dealt with then."""
    office = Office(tmp_path)
    names = ["studio", *(f"altro{number}" for number in range(5))]
    pipelines = ""
    for number, name in enumerate(names):
        pipelines += (
            f'[[pipeline]]\nname = "{name}"\ntrust = ["root.pem"]\n[pipeline.source]\ntype = "eml"\npath = "{name}"\n'
            f'[[pipeline.sink]]\ntype = "maildir"\npath = "PEC{min(number, 4)}"\n'
        )
        (tmp_path / name).mkdir()
    (tmp_path / "archipec.toml").write_text(pipelines, encoding="utf-8")
    altered = received("Alterata").replace(b"\r\nBuongiorno\r\n", b"\r\nBuonasera!\r\n")
    for number, (name, messages) in enumerate(
        {
            "studio": [sending("Uno", 1)[1][0], sending("Due", 2)[1][0], altered],
            "altro3": [sending("Tre", 3)[1][0]],
            "altro4": [sending("Quattro", 4)[1][0], *sending("Cinque", 5)[1]],
        }.items()
    ):
        for at, message in enumerate(messages):
            (tmp_path / name / f"{number}{at}.eml").write_bytes(message)
    office.run("archive", expect=None)
    with running(office.command, before=("--config", tmp_path / "archipec.toml")) as viewer:
        viewer.let_in()

        def all_say_the_same() -> dict[str, int]:
            to_do = office.run("todo", "--json", expect=None).objects
            found = {name: sum(one["pipeline"] == name for one in to_do) for name in names}
            office.run("report", "--html", tmp_path / "report.html")
            report = " ".join(re.sub("<[^>]*>", " ", (tmp_path / "report.html").read_text("utf-8")).split())
            while "Runs and archives are in order" in (page := text_of(viewer, "/")):
                pass
            for name, number in found.items():
                assert f"{name} " in page
                shown = re.search(rf"{name} [-0-9: ]+ (\d+)  ?(nothing|\d+)", page)
                assert shown and shown[2] == (str(number) if number else "nothing"), (name, page)
            total = sum(found.values())
            assert (f"{total} thing" in report) if total else ("nothing needs attention" in report)
            assert (total > 0) == ("Needs a person" in page)
            for one in office.run("report", "--json").objects:
                assert all(line in page and line in report for line in one["attention"])
            return found

        assert all_say_the_same() == dict.fromkeys(names, 0) | {"studio": 3, "altro3": 1, "altro4": 1}
        for one in office.run("todo", "--json", expect=None).objects:
            office.run(*one["command"])
            all_say_the_same()
        assert "Nothing needs a person" in text_of(viewer, "/")
