"""The pages of the viewer beside the command line that says the same, and what is saved from them, byte for byte."""

from __future__ import annotations

import hashlib
import html
import io
import re
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from archipec.pec.structure import parse_structure
from testbed.command import Archipec
from testbed.hostile_mail import FILES
from testbed.office import NOTICE, ORDINARY, Office, sending, sha256
from testbed.pdfs import assert_pdfa, embedded
from testbed.viewer import Reply, Viewer, running

KEY = re.compile(r'href="/messages/([0-9a-f]{64})"')


def keys(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.text
    return list(dict.fromkeys(KEY.findall(reply.text)))


def listed(viewer: Viewer, **asked: str | list[str]) -> list[str]:
    """Return the messages on the page that is asked for, and on all that follow it."""
    path, found = f"/messages?{urlencode(asked, doseq=True)}", []
    while path:
        reply = viewer.ask(path)
        found += keys(reply)
        onward = re.search(r'rel="next" href="([^"]*)"', reply.text)
        path = html.unescape(onward[1]) if onward else ""
    assert len(set(found)) == len(found), "each message once"
    return found


def text_of(reply: Reply) -> str:
    """Return the words of a page, as they are read."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", reply.text)).split())


# -- messages ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, []),
        ({"q": "testo"}, ["testo"]),
        ({"q": "istanza -2"}, ["istanza", "-2"]),
        ({"kind": "accettazione"}, ["--kind", "accettazione"]),
        ({"kind": ["accettazione", "ordinaria"]}, ["--kind", "accettazione", "--kind", "ordinaria"]),
        ({"folder": "Inviata"}, ["--folder", "Inviata"]),
        ({"seal": "unsigned"}, ["--seal", "unsigned"]),
        ({"from": "mallory"}, ["--from", "mallory"]),
        ({"to": "comune.example"}, ["--to", "comune.example"]),
        ({"party": "comune.example"}, ["--party", "comune.example"]),
        ({"since": "2025-03-20", "until": "2025-04"}, ["--since", "2025-03-20", "--until", "2025-04"]),
        ({"attachment": "*.pdf"}, ["--attachment", "*.pdf"]),
        ({"direction": "out"}, ["--direction", "out"]),
        ({"has": ["attachment", "invoice"]}, ["--has", "attachment", "--has", "invoice"]),
        ({"has": "missing-receipt"}, ["--has", "missing-receipt"]),
        ({"q": "nulla di simile"}, ["nulla", "di", "simile"]),
    ],
)
def test_what_is_found_is_what_search_finds(
    reader: Viewer, mail: Office, asked: dict[str, str | list[str]], words: list[str]
) -> None:
    assert listed(reader, **asked) == [one["sha256"] for one in mail.found(*words)]


def test_the_best_come_first_when_that_is_asked(reader: Viewer, mail: Office) -> None:
    found = listed(reader, q="testo", order="best")
    assert found == [one["sha256"] for one in mail.found("testo", "--rank")]


def test_a_long_list_is_shown_page_by_page(viewer: Viewer, sample: Path) -> None:
    assert len(keys(viewer.ask("/messages"))) == 50
    run = Archipec(sample / "state")("search", "--json")
    assert listed(viewer) == [one["sha256"] for one in run.objects]


def test_kinds_and_folders_stand_beside_with_their_numbers(reader: Viewer, mail: Office) -> None:
    text = text_of(reader.ask("/messages"))
    kinds = [one["kind"] for one in mail.found()]
    assert f"accettazione {kinds.count('accettazione')} " in text
    assert f"Inviata {len(mail.found('--folder', 'Inviata'))} " in text
    chosen = reader.ask("/messages?kind=accettazione&q=a").text
    assert 'href="/messages?q=a" aria-current="true"' in chosen, "chosen again, it is taken back"


@pytest.mark.parametrize(
    "query",
    [
        "seal=foo",
        "has=foo",
        "direction=up",
        "since=yesterday",
        "kind=foo",
        "q=%28",
        "before=x",
        "before=" + "9" * 30,
    ],
)
def test_what_can_not_be_asked_is_said(reader: Viewer, query: str) -> None:
    reply = reader.ask(f"/messages?{query}")
    assert reply.status == 400
    assert "That did not work" in reply.text


def test_several_messages_are_saved_in_one_file(reader: Viewer, mail: Office) -> None:
    wanted = [one["sha256"] for one in mail.found("--kind", "accettazione")]
    path = f"/messages/selection.zip?{urlencode([('id', one) for one in wanted])}"
    reply = reader.ask(path)
    assert reply.status == 200 and reply.headers["content-disposition"].startswith("attachment;")
    with zipfile.ZipFile(io.BytesIO(reply.body)) as packed:
        lines = [line.split("  ") for line in packed.read("SHA256SUMS").decode().splitlines()]
        sums = {name: digest for digest, name in lines}
        assert sorted(sums.values()) == sorted(wanted)
        for name, digest in sums.items():
            assert hashlib.sha256(packed.read(name)).hexdigest() == digest
        assert set(packed.namelist()) == {*sums, "SHA256SUMS"}
    assert reader.ask(path).body == reply.body, "the same messages, the same file"
    assert reader.ask("/messages/selection.zip").status == 400


# -- one message ---------------------------------------------------------------------------------------


def test_a_message_says_what_show_says(reader: Viewer, mail: Office) -> None:
    key = sha256(NOTICE)
    shown: dict[str, Any] = mail.run("show", "--json", key).object
    text = text_of(reader.ask(f"/messages/{key}"))
    for words in (
        shown["subject"], shown["text"], "The seal is valid", shown["certification"]["seal"]["reason"], key,
        shown["certification"]["identificativo"], shown["certification"]["gestore"], "Carla Firmataria", "INBOX",
        shown["archives"][0]["where"], *(file["path"].rpartition("/")[2] for file in shown["attachments"]),
    ):  # fmt: skip
        assert words in text, words


def test_a_message_is_shown_with_those_that_it_belongs_to(reader: Viewer, mail: Office) -> None:
    original, (acceptance, delivery) = sending("Istanza 2 ricevute", 0)
    assert {sha256(acceptance), sha256(delivery)} <= set(keys(reader.ask(f"/messages/{sha256(original)}")))
    timeline = reader.ask(f"/messages/{sha256(delivery)}").text.partition('id="timeline"')[2]
    found = re.findall(r'href="/messages/([0-9a-f]{64})"', timeline)
    assert found == [sha256(original), sha256(acceptance)], "in their order, without the one that is shown"


@pytest.mark.parametrize("raw", [NOTICE, ORDINARY], ids=["sealed", "ordinary"])
def test_the_bytes_are_those_that_came(reader: Viewer, mail: Office, raw: bytes) -> None:
    reply = reader.ask(f"/messages/{sha256(raw)}/message.eml")
    assert reply.body == raw
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-disposition"].startswith("attachment; ")


def test_the_beginning_of_a_hash_is_enough(reader: Viewer, mail: Office) -> None:
    assert reader.ask(f"/messages/{sha256(NOTICE)[:12]}/message.eml").body == NOTICE


@pytest.mark.parametrize(
    "name",
    [
        "..%2f..%2fetc%2fpasswd",
        "..",
        "%2e%2e",
        "%00",
        "0",
        "zzzz",
        "a" * 64,
        "A" * 12,
        "a" * 500,
        "%25",
        "' OR 1=1 --",
    ],
)
def test_an_id_is_no_path(reader: Viewer, name: str) -> None:
    for rest in ("", "/message.eml", "/formatted", "/files/0"):
        assert reader.ask(f"/messages/{quote(name, safe='%')}{rest}").status == 404


@pytest.mark.parametrize("number", ["99", "-1", "..%2f0", "1e3", "0x0", "٣", "9" * 30])
def test_a_number_of_a_file_is_one(reader: Viewer, number: str) -> None:
    assert reader.ask(f"/messages/{sha256(NOTICE)}/files/{quote(number, safe='%')}").status == 404


def test_files_are_saved_and_never_shown(reader: Viewer, mail: Office) -> None:
    (found,) = mail.found('"Nomi di file"', "--has", "attachment")
    for number, name in enumerate(FILES.values()):
        reply = reader.ask(f"/messages/{found['sha256']}/files/{number}")
        assert reply.body == b"<script>document.title='owned'</script>"
        assert reply.headers["content-type"] == "application/octet-stream"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["content-disposition"] == f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        assert "set-cookie" not in reply.headers


def test_the_files_of_a_message_are_those_inside_its_envelope(
    reader: Viewer, tmp_path: Path, mail: Office
) -> None:
    mail.run("get", sha256(NOTICE), "--attachments", "--to", tmp_path)
    for number, name in enumerate(("Relazione.pdf", "delega.pdf.p7m", "allegati.zip")):
        reply = reader.ask(f"/messages/{sha256(NOTICE)}/files/{number}")
        assert reply.body == (tmp_path / name).read_bytes()


def test_the_formatted_text_may_do_nothing(reader: Viewer, mail: Office) -> None:
    (found,) = mail.found('"Con logo"')
    reply = reader.ask(f"/messages/{found['sha256']}/formatted")
    policy = {one.strip() for one in reply.headers["content-security-policy"].split(";")}
    assert {
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data:",
        "sandbox",
        "form-action 'none'",
    } <= policy
    assert "data:image/png;base64," in reply.text
    assert parse_structure(NOTICE).postacert is not None
    assert "no formatted text" in reader.ask(f"/messages/{sha256(NOTICE)}/formatted").text


# -- sent ----------------------------------------------------------------------------------------------


def test_what_is_missing_stands_first(reader: Viewer, mail: Office) -> None:
    while "being gone through" in (text := text_of(reader.ask("/sent"))):
        pass
    first, _, rest = text.partition("The others")
    assert "Istanza 1 ricevute" in first and "Istanza 0 ricevute" in first
    assert "Istanza 2 ricevute" not in first and "Istanza 2 ricevute" in rest
    assert "✗ missing: no receipt came" in first and "✓ delivered" in rest


def test_what_was_dealt_with_is_marked_and_the_mark_taken_back(reader: Viewer, mail: Office) -> None:
    def missing() -> set[str]:
        found = mail.run("receipts", "--missing", "--json", expect=None).objects
        return {one["oggetto"] for one in found}

    def post(**form: str) -> Reply:
        return reader.ask(
            "/sent/marks", "POST", urlencode(form).encode(), origin=reader.origin,
            content_type="application/x-www-form-urlencoded", content_length=str(len(urlencode(form))),
        )  # fmt: skip

    (one,) = [
        one
        for one in mail.run("receipts", "--missing", "--json", expect=None).objects
        if one["oggetto"] == "Istanza 1 ricevute"
    ]
    reply = post(
        name=one["identificativo"], action="handled", note="rispedita <b>a mano</b>", show="attention"
    )
    assert (reply.status, reply.headers["location"]) == (303, "/sent?show=attention")
    assert "Istanza 1 ricevute" not in missing()
    assert "Istanza 1 ricevute" not in text_of(reader.ask("/sent?show=attention"))
    handled = reader.ask("/sent?show=handled")
    assert "rispedita <b>a mano</b>" in text_of(handled) and "<b>a mano" not in handled.text
    assert post(name=one["identificativo"], action="reopen").status == 303
    assert "Istanza 1 ricevute" in missing()
    assert "Istanza 1 ricevute" in text_of(reader.ask("/sent?show=attention"))
    assert post(name="nessuno", action="handled").status == 404
    assert post(name=one["identificativo"], action="delete").status == 404
    assert reader.ask("/sent/marks").status == 405


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("party=comune", 3),
        ("party=nessuno", 0),
        ("subject=istanza+1", 1),
        ("since=2025-03-11&until=2025-03-11", 1),
        ("since=2026", 0),
    ],
)
def test_what_was_sent_is_narrowed(reader: Viewer, mail: Office, query: str, found: int) -> None:
    # Each once, whether it needs a person or not.
    assert len(re.findall(r"Istanza \d ricevute", text_of(reader.ask(f"/sent?{query}")))) == found


def test_all_that_was_sent_is_listed_page_by_page_each_once(viewer: Viewer, sample: Path) -> None:
    while "being gone through" in viewer.ask("/sent").text:
        pass
    path, found = "/sent", []
    while path:
        reply = viewer.ask(path)
        found += re.findall(r'<div class="first">\s*<a href="/messages/([0-9a-f]{64})"', reply.text)
        onward = re.search(r'rel="next" href="([^"]*)"', reply.text)
        path = html.unescape(onward[1]) if onward else ""
    run = Archipec(sample / "state")(
        "--config", sample / "archipec.toml", "receipts", "--direction", "out", "--json", expect=None
    )
    assert len(found) == len(set(found)) == len(run.objects)


# -- invoices and conservation -------------------------------------------------------------------------


def test_invoices_are_those_that_the_command_lists(reader: Viewer, mail: Office) -> None:
    for query, words in (
        ("", []),
        ("show=attention", ["--missing"]),
        ("direction=in", ["--direction", "in"]),
    ):
        found = mail.run("invoices", "--json", *words, expect=None).objects
        page = text_of(reader.ask(f"/invoices?{query}"))
        numbers = {one["number"] for one in mail.run("invoices", "--json", expect=None).objects}
        assert {number for number in numbers if f" {number} " in page} == {one["number"] for one in found}
    reply = reader.ask("/invoices")
    assert "✗ rejected by SdI" in text_of(reply) and "00404: Fattura duplicata" in text_of(reply)
    assert "=HYPERLINK(&#34;http://male.example&#34;)" in reply.text


def test_what_was_deposited_waits_or_was_refused(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.put(NOTICE)
    sink = 'type = "conservation-directory"\npath = "versamenti"\noutbox = "outbox"\nwait = 0\ntrust = "root.pem"\n'
    with (tmp_path / "archipec.toml").open("a") as file:
        file.write(f"[[pipeline.sink]]\n{sink}")
    (tmp_path / "versamenti").mkdir()
    office.run("archive")
    with running(office.command, before=("--config", tmp_path / "archipec.toml")) as viewer:
        viewer.let_in()
        text = text_of(viewer.ask("/conservation"))
    assert "conservation+directory:" in text and "Waiting 1" in text
    assert "deposited, waiting for the report" in text and "1 waiting" in text


def test_a_mailbox_without_conservation(reader: Viewer) -> None:
    assert "Nothing was deposited" in reader.ask("/conservation").text


# -- other things to show ------------------------------------------------------------------------------


def test_an_archive_alone_is_shown(mail: Office, tmp_path: Path) -> None:
    trust = mail.folder / "root.pem"
    with running(Archipec(tmp_path / "state"), "--to", mail.archive_url, "--trust", trust) as viewer:
        viewer.let_in()
        assert set(listed(viewer)) == {one["sha256"] for one in mail.found()}
        assert listed(viewer, q="testo", kind="posta-certificata")
        assert viewer.ask(f"/messages/{sha256(NOTICE)}/message.eml").body == NOTICE
        assert "The seal is valid" in viewer.ask(f"/messages/{sha256(NOTICE)}").text
        assert "Istanza 1 ricevute" in viewer.ask("/sent").text
        assert "rejected by SdI" in viewer.ask("/invoices").text
        assert viewer.ask("/conservation").status == 200
        form = urlencode({"name": "x", "action": "handled"}).encode()
        reply = viewer.ask(
            "/sent/marks", "POST", form, origin=viewer.origin, content_length=str(len(form)),
            content_type="application/x-www-form-urlencoded",
        )  # fmt: skip
        assert reply.status == 400 and "ledger" in reply.text


def test_of_one_pipeline_only_what_its_archives_hold(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.put(NOTICE)
    office.archive()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "1.eml").write_bytes(ORDINARY)
    office.run("archive", "--from", f"eml:{tmp_path / 'other'}", "--to", f"maildir:{tmp_path / 'ALTRO'}")
    with running(office.command, "studio", before=("--config", tmp_path / "archipec.toml")) as viewer:
        viewer.let_in()
        assert listed(viewer) == [sha256(NOTICE)]
        assert viewer.ask(f"/messages/{sha256(ORDINARY)}").status == 404
        assert "ordinaria" not in viewer.ask("/messages").text
    with running(office.command, before=("--config", tmp_path / "archipec.toml")) as viewer:
        viewer.let_in()
        assert set(listed(viewer)) == {sha256(NOTICE), sha256(ORDINARY)}


def test_a_message_that_is_lost_is_said_to_be(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.put(NOTICE, ORDINARY)
    office.archive()
    for file in (tmp_path / "PEC").rglob(f"*{sha256(NOTICE)}*"):
        file.unlink()
    with running(office.command, before=("--config", tmp_path / "archipec.toml")) as viewer:
        viewer.let_in()
        assert "Avviso di accertamento" in viewer.ask(f"/messages/{sha256(NOTICE)}").text
        reply = viewer.ask(f"/messages/{sha256(NOTICE)}/message.eml")
        assert reply.status == 500 and "That did not work" in reply.text
        assert "is no longer in" in viewer.ask(f"/messages/{sha256(NOTICE)}/formatted").text
        path = f"/messages/selection.zip?id={sha256(NOTICE)}&id={sha256(ORDINARY)}"
        with zipfile.ZipFile(io.BytesIO(viewer.ask(path).body)) as packed:
            assert sha256(NOTICE) in packed.read("NOT-INCLUDED.txt").decode()
            assert sha256(ORDINARY) in packed.read("SHA256SUMS").decode()


def test_a_message_and_a_sending_are_saved_as_pdf(reader: Viewer, mail: Office) -> None:
    (one,) = [
        one
        for one in mail.run("receipts", "--json", expect=None).objects
        if one["oggetto"].startswith("Istanza 2")
    ]
    key = one["acceptance"]["sha256"]
    page = reader.ask(f"/messages/{key}").text
    assert f'href="/messages/{key}/message.pdf"' in page and f'href="/messages/{key}/transaction.pdf"' in page
    for name, files in (("message", 1), ("transaction", 3)):
        reply = reader.ask(f"/messages/{key}/{name}.pdf")
        assert (reply.status, reply.headers["content-type"]) == (200, "application/pdf")
        assert reply.headers["content-disposition"].startswith("attachment")
        assert_pdfa(reply.body)
        assert len(embedded(reply.body)) == files
    assert reader.ask(f"/messages/{sha256(ORDINARY)}/transaction.pdf").status == 404


def test_what_is_altered_is_not_saved(tmp_path: Path) -> None:
    office = Office(tmp_path)
    with (tmp_path / "archipec.toml").open("a") as file:
        file.write('[[pipeline.sink]]\ntype = "mbox"\npath = "MBOX"\n')
    office.put(NOTICE)
    office.archive()
    (copy,) = (tmp_path / "PEC").rglob(f"*{sha256(NOTICE)}*")
    copy.chmod(0o600)
    copy.write_bytes(bytes(len(NOTICE)))
    with running(office.command, before=("--config", tmp_path / "archipec.toml")) as viewer:
        viewer.let_in()
        assert viewer.ask(f"/messages/{sha256(NOTICE)}/message.eml").body == NOTICE


# -- copies that are damaged -----------------------------------------------------------------------------


def test_of_a_message_no_other_bytes_are_ever_saved(tmp_path: Path) -> None:
    """Where one copy was altered the other is given, and where both were it is said, with the way out."""
    office = Office(tmp_path)
    with (tmp_path / "archipec.toml").open("a") as file:
        file.write('[[pipeline.sink]]\ntype = "eml"\npath = "EML"\n')
    office.put(ORDINARY, NOTICE)
    office.archive()
    key = sha256(ORDINARY)

    def alter(folder: str) -> None:
        (copy,) = [
            one for one in (tmp_path / folder).rglob("*") if one.is_file() and sha256(one.read_bytes()) == key
        ]
        copy.chmod(0o600)
        copy.write_bytes(ORDINARY[:-3] + b"X\r\n")

    with running(office.command, before=("--config", tmp_path / "archipec.toml")) as viewer:
        viewer.let_in()
        alter("PEC")
        reply = viewer.ask(f"/messages/{key}/message.eml")
        assert (reply.status, reply.body) == (200, ORDINARY)
        alter("EML")
        for path in ("message.eml", "files/0", "message.pdf"):
            reply = viewer.ask(f"/messages/{key}/{path}")
            assert reply.status == 500
            assert "archipec verify" in text_of(reply)
        assert "archipec verify" in viewer.ask(f"/messages/{key}/formatted").text
        reply = viewer.ask(f"/messages/selection.zip?id={key}&id={sha256(NOTICE)}")
        with zipfile.ZipFile(io.BytesIO(reply.body)) as packed:
            assert key in packed.read("NOT-INCLUDED.txt").decode()
            assert packed.read("SHA256SUMS").decode().startswith(sha256(NOTICE))
            assert len(packed.namelist()) == 3


def test_what_is_beside_the_list_is_of_now(tmp_path: Path) -> None:
    """Also where a run only learnt that messages lie elsewhere in the mailbox, and stored nothing."""
    office = Office(tmp_path)
    office.put(ORDINARY, NOTICE)
    office.archive()
    with running(office.command, before=("--config", tmp_path / "archipec.toml")) as viewer:
        viewer.let_in()
        assert "INBOX 2" in text_of(viewer.ask("/messages"))
        (tmp_path / "mail" / "INBOX").rename(tmp_path / "mail" / "Evase")
        assert office.archive()["stored"] == 0
        found = text_of(viewer.ask("/messages"))
        assert "Evase 2" in found
        (shown,) = re.findall(r'href="(/messages\?folder=Evase)"', viewer.ask("/messages").text)
        assert viewer.ask(shown).text.count('name="id"') == 2
