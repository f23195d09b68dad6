"""``archipec report`` and the post-step ``report``, by the command line."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import sqlite3
import stat
import sys
from contextlib import closing
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from archipec.custody.ledger import Ledger
from archipec.custody.status import statuses
from archipec.report.facts import pipeline_facts
from archipec.report.printed import as_pdf
from archipec.simulator import compose, mailbox
from testbed.office import COMUNE, OWN, STUDIO, WHEN, Office, received
from testbed.pdfs import assert_pdfa, embedded, opened, rightmost, text_of

HOSTILE = "<script>alert(1)</script> =1+1 \u202egpj.exe"


class Page(HTMLParser):
    """What is in a page: elements, attributes, texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if data.strip() and self.lasttag != "style":
            self.texts.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.texts)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """An office with some mail of every kind, and what is hostile in it."""
    made = Office(tmp_path_factory.mktemp("office"))
    for one in mailbox(80, seed=5, size=12_000):
        made.put(one.raw, folder=one.folder)
    late = compose(
        STUDIO, [COMUNE, *(f"d{number}@imprese.example" for number in range(5))], HOSTILE, when=WHEN
    )
    made.put(late, folder="INBOX.Inviata")
    accepted = OWN.accept(late, WHEN)
    made.put(OWN.acceptance(accepted, WHEN))
    made.put(received("x" * 10_000), folder="=cmd()<b>")
    made.archive()
    return made


@pytest.fixture(scope="module")
def page(office: Office) -> str:
    file = office.folder / "report.html"
    office.run("report", "--html", file)
    return file.read_text("utf-8")


def test_one_step_shows_what_was_archived(office: Office, page: str) -> None:
    seen = Page(page)
    (found,) = office.run("report", "--json").objects
    assert f"{found['messages']} messages in the archives" in seen.text
    assert "studio" in seen.texts
    for kind, amount in found["kinds"].items():
        assert kind in seen.texts
        assert str(amount["messages"]) in seen.texts
    assert page.count("<svg") > 10
    assert "What needs attention" in seen.texts
    for line in found["attention"]:
        assert line in seen.text


def test_the_page_asks_nothing_of_the_network_and_has_no_script(page: str) -> None:
    seen = Page(page)
    assert not seen.elements & {
        "script",
        "link",
        "iframe",
        "img",
        "object",
        "embed",
        "form",
        "base",
        "image",
        "use",
    }
    assert not [
        one for one in seen.attributes if one[1].startswith("on") or one[1] in {"src", "style", "srcset"}
    ]
    assert all(value.startswith("#") for _, name, value in seen.attributes if name == "href")
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)


def test_its_policy_allows_its_own_style_sheet_alone(page: str) -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_hostile_subjects_and_folders_are_text(office: Office, page: str) -> None:
    seen = Page(page)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; =1+1 \\u202egpj.exe" in page
    assert "=cmd()<b>" in seen.texts
    assert "\u202e" not in page
    assert "xxx" * 200 not in page


def test_the_table_has_no_formulas(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "report.csv"
    office.run("report", "--csv", file)
    rows = list(csv.DictReader(file.read_text("utf-8-sig").splitlines(), delimiter=";"))
    (found,) = office.run("report", "--json").objects
    assert [int(row["messages"]) for row in rows if row["table"] == "total"] == [found["messages"]]
    by_kind = {row["name"]: int(row["messages"]) for row in rows if row["table"] == "kind"}
    assert by_kind == {kind: one["messages"] for kind, one in found["kinds"].items()}
    folders = [row["name"] for row in rows if row["table"] == "folder"]
    assert "'=cmd()<b>" in folders
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r")]


def test_json_says_what_the_other_commands_say(office: Office) -> None:
    (found,) = office.run("report", "--json").objects
    sent = office.run("receipts", "--direction", "out", "--json", expect=None).objects
    assert found["sent"]["attention"] == sum(one["attention"] for one in sent)
    outcomes = [one["status"] for one in sent]
    assert found["sent"]["outcomes"] == {outcome: outcomes.count(outcome) for outcome in set(outcomes)}
    (status,) = office.run("status", "--json", expect=None).objects
    assert found["last_success"] is not None
    assert found["archives"][0]["messages"] == status["sinks"][0]["held"] == found["messages"]
    assert sum(month["messages"] for month in found["archived"]) == found["messages"]


def test_a_period_is_what_it_is_about(office: Office) -> None:
    (whole,) = office.run("report", "--json").objects
    (part,) = office.run("report", "--json", "--since", "2025", "--until", "2025-12").objects
    assert 0 < part["messages"] < whole["messages"]
    assert {one["month"][:4] for one in part["months"]} == {"2025"}
    assert (part["since"], part["until"]) == ("2025-01-01", "2025-12-31")
    # Archived today.
    assert part["archived"] == []


def test_without_a_file_it_says_the_totals(office: Office) -> None:
    said = office.run("report").out
    assert said.startswith("studio: 83 messages, ")
    assert "certified mail received" in said
    assert "needs attention: " in said
    assert "\u202e" not in said


def test_files_are_private_and_replaced_whole(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    said = office.run("report", "--html", file)
    assert said.out == ""
    assert str(file) in said.err
    assert file.read_text("utf-8").endswith("</html>\n") or file.read_text("utf-8").endswith("</html>")
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_is_not_there_is_named(office: Office, tmp_path: Path) -> None:
    said = office.run("report", "--html", tmp_path / "no" / "report.html", expect=4)
    assert str(tmp_path / "no") in said.err


def test_a_name_that_is_not_known_is_an_error_that_names_the_others(office: Office) -> None:
    assert 'unknown pipeline "studoi", did you mean "studio"?' in office.run("report", "studoi", expect=4).err


def test_it_is_in_italian_where_that_is_spoken(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    office.command("--lang", "it", "--config", office.folder / "archipec.toml", "report", "--html", file)
    text = file.read_text("utf-8")
    assert '<html lang="it">' in text
    assert "Che cosa richiede attenzione" in Page(text).texts
    assert "What needs attention" not in text


def test_before_anything_was_archived_it_says_so(tmp_path: Path) -> None:
    office = Office(tmp_path)
    (office.folder / "mail").mkdir()
    office.run("report", "--html", tmp_path / "report.html")
    assert "never" in Page((tmp_path / "report.html").read_text("utf-8")).texts


def test_an_ad_hoc_run_is_reported_without_a_configuration(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.put(received("Uno"), received("Due"))
    office.command(
        "archive", "--from", f"eml:{office.folder / 'mail'}", "--to", office.archive_url, "--no-seals"
    )
    (found,) = office.command("--config", tmp_path / "archipec.toml", "report", "--json").objects[:1]
    office.command("report", "--html", tmp_path / "report.html")
    assert "2 messages in the archives" in Page((tmp_path / "report.html").read_text("utf-8")).text
    assert found


# -- what is recorded of a mailbox over time -------------------------------------------------------------


def test_what_failed_and_what_was_freed_is_in_it(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.put(received("Uno"), received("Due"))
    office.archive()
    with closing(sqlite3.connect(office.state / "ledger.sqlite3")) as db, db:
        at = int((WHEN + timedelta(days=400)).timestamp())
        db.execute(
            "INSERT INTO deletion (pipeline, source, folder, ref, content, evidence, state, ordered, expires, ended, rule)"
            " SELECT 'studio', 1, 'INBOX', '1', id, '[]', 'deleted', ?1, ?1, ?1, 'older than 1y' FROM content LIMIT 1",
            (at,),
        )
        db.execute(
            "INSERT INTO occurrence (folder, ref, flags, reason) VALUES (1, '9', '', 'half of it came')"
        )
    (office.folder / "mail").rename(office.folder / "elsewhere")
    office.run("archive", expect=None)
    office.run("report", "--html", tmp_path / "report.html")
    seen = Page((tmp_path / "report.html").read_text("utf-8"))
    (found,) = office.run("report", "--json").objects
    assert found["freed"] == [
        {
            "month": "2026-04",
            "rule": "older than 1y",
            "state": "deleted",
            "messages": 1,
            "bytes": found["freed"][0]["bytes"],
        }
    ]
    assert "older than 1y" in seen.texts
    assert found["failures"] == [{"reason": "half of it came", "messages": 1, "folder": "INBOX", "ref": "9"}]
    assert "half of it came" in seen.texts
    assert any("1 message" in line for line in found["attention"])
    (failure,) = found["runs"]["failures"]
    assert failure["error"][0] in seen.text
    assert failure["command"] == "archive"


# -- the post-step -------------------------------------------------------------------------------------


def test_the_step_writes_the_report_after_each_run(tmp_path: Path) -> None:
    office = Office(tmp_path)
    (tmp_path / "archipec.toml").write_text(
        '[[pipeline]]\nname = "a/b"\ntrust = ["root.pem"]\n[pipeline.source]\ntype = "eml"\npath = "mail"\n'
        '[[pipeline.sink]]\ntype = "maildir"\npath = "PEC"\n'
        '[[pipeline.step]]\ntype = "report"\nhtml = "out/{pipeline}.html"\ncsv = "out/t.csv"\njson = "out/{date}.json"\npdf = "out/r.pdf"\n',
        encoding="utf-8",
    )
    office.put(received("Uno"))
    office.archive()
    place = tmp_path / "out" / "a_b.html"
    seen = Page(place.read_text("utf-8"))
    assert "1 message in the archives" in seen.text
    assert "nothing needs attention" in seen.text
    assert "never" not in seen.texts
    (daily,) = (tmp_path / "out").glob("20??-??-??.json")
    first = json.loads(daily.read_text("utf-8"))
    assert (first["pipeline"], first["messages"], first["attention"]) == ("a/b", 1, [])
    office.put(received("Due"))
    office.archive()
    assert json.loads(daily.read_text("utf-8"))["messages"] == 2
    assert "2 messages in the archives" in Page(place.read_text("utf-8")).text
    assert (tmp_path / "out" / "t.csv").read_text("utf-8-sig").startswith("pipeline;")
    assert "Messages in the archives 2" in " ".join(
        text_of((tmp_path / "out" / "r.pdf").read_bytes()).split()
    )
    assert len(list((tmp_path / "out").iterdir())) == 4
    if sys.platform != "win32":
        assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_a_report_that_can_not_be_written_is_an_error_of_the_step_and_the_mail_is_archived(
    tmp_path: Path,
) -> None:
    office = Office(tmp_path)
    office.put(received("Uno"))
    (tmp_path / "file").write_text("x")
    done = office.command(
        *("archive", "--json", "--from", f"eml:{tmp_path / 'mail'}", "--to", office.archive_url),
        *("--then", f"report:{tmp_path / 'file' / 'report.html'}"),
        expect=None,
    )
    assert done.object["stored"] == 1
    assert "file" in done.object["error"][0]
    assert done.code == 4


def test_a_step_without_a_file_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.put(received("Uno"))
    said = office.command(
        *("archive", "--from", f"eml:{tmp_path / 'mail'}", "--to", office.archive_url, "--then", "report:"),
        expect=4,
    )
    assert "give at least one of the options html, csv, pdf, json" in said.err


# -- as a PDF ------------------------------------------------------------------------------------------


def test_the_pdf_says_what_the_page_says_and_has_the_figures_inside(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "report.pdf"
    office.run("report", "--pdf", file)
    pdf = file.read_bytes()
    assert_pdfa(pdf)
    (found,) = office.run("report", "--json").objects
    figures = json.loads(embedded(pdf)["report.json"])
    for shape in (found, figures):
        del shape["made"]
    assert figures == found
    text = " ".join(text_of(pdf).split())
    for words in (
        "Archive of certified mail: studio", "What needs attention", "posta-certificata", "INBOX.Inviata", "delivered to every",
        "<script>alert(1)</script> =1+1 [U+202E]gpj.exe", "page 1 of",
    ):  # fmt: skip
        assert words in text, words
    assert "2024-" in text  # of the chart's axis: it is drawn with letters
    assert rightmost(pdf) < 0.92
    with opened(pdf) as document:
        assert [str(one.AFRelationship) for one in document.Root.AF] == ["/Data"]
        assert str(document.Root.Lang) == "en"


def test_the_pdf_is_in_the_language_of_the_program(office: Office, tmp_path: Path) -> None:
    office.run("--lang", "it", "report", "--pdf", tmp_path / "report.pdf")
    text = " ".join(text_of((tmp_path / "report.pdf").read_bytes()).split())
    assert "Archivio della posta certificata: studio" in text and "Messaggi negli archivi" in text
    assert "What" not in text


def test_the_same_facts_give_the_same_pdf(office: Office) -> None:
    now = WHEN + timedelta(days=1000)
    with Ledger(office.state / "ledger.sqlite3") as ledger:
        known = statuses(ledger, office.state, (), int(now.timestamp()))
        first, second = (as_pdf([pipeline_facts(ledger, one, now) for one in known], now) for _ in range(2))
    assert first == second
