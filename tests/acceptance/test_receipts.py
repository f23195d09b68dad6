"""``archipec receipts`` as a person uses it: mail is archived first, by the command line too."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from archipec.pec.structure import parse_structure
from archipec.simulator import (
    ARUBA_2018,
    LEGALMAIL_2018,
    Attachment,
    Authority,
    Provider,
    Sending,
    compose,
    shared_authority,
)
from testbed.command import Archipec, Result
from testbed.forged import FORGED, around, with_daticert

WHEN = datetime(2025, 3, 10, 8, 30, tzinfo=UTC)
STUDIO = "studio@posta.example.it"
OWN, OTHER = Provider(style=ARUBA_2018), Provider(seed=2, style=LEGALMAIL_2018)
FORGER = Provider(style=ARUBA_2018, authority=Authority(seed=99))
PDF = Attachment("atto.pdf", b"%PDF-1.7 " + bytes(range(256)) * 20)
A, B = "ufficio@avvocati.example", "comune@imprese.example"


class Office:
    """A pipeline over a folder of mail, and what was put there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = Archipec(folder / "state")
        self.config = folder / "archipec.toml"
        self.files = 0
        (folder / "root.pem").write_text(shared_authority().root_pem, encoding="ascii")
        self.config.write_text(
            '[[pipeline]]\nname = "studio"\ntrust = ["root.pem"]\n[pipeline.source]\ntype = "eml"\npath = "mail"\n'
            '[[pipeline.sink]]\ntype = "maildir"\npath = "PEC"\n',
            encoding="utf-8",
        )
        (folder / "mail").mkdir()

    def put(self, *messages: bytes, folder: str = "INBOX") -> None:
        """Let messages lie in a folder of the mailbox."""
        directory = self.folder / "mail" / folder
        directory.mkdir(exist_ok=True)
        for message in messages:
            self.files += 1
            (directory / f"{self.files:04}.eml").write_bytes(message)

    def archive(self, *options: str) -> dict[str, Any]:
        """Archive the mailbox."""
        return self.command("--config", self.config, "archive", "--json", *options).object

    def receipts(self, *options: object, expect: int | None = 0) -> Result:
        """Run the command on what is archived, documents in English."""
        return self.command("--lang", "en", "--config", self.config, "receipts", *options, expect=expect)

    def listed(self, *options: object, expect: int | None = 0) -> list[dict[str, Any]]:
        """Archive, then list as JSON."""
        self.archive()
        return self.receipts("--json", *options, expect=expect).objects

    def one(self, *options: object, expect: int | None = 0) -> dict[str, Any]:
        """The same where one transaction is listed."""
        (found,) = self.listed(*options, expect=expect)
        return found


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def send(*to: str, when: datetime = WHEN, **options: Any) -> Sending:
    external = options.pop("external", ())
    original = compose(STUDIO, to or (A,), when=when, **({"attachments": [PDF]} | options))
    return OWN.accept(original, when, external=external)


def outcomes(transaction: dict[str, Any]) -> dict[str, str]:
    return {one["address"]: one["outcome"] for one in transaction["recipients"]}


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


# -- what providers write and strangers add -------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [b"dell&#18;art. 72", b"dell&#0;art. 72", b"perch\xe9", b"A & B <SpA>", b"&agrave;\x12"]
)
def test_certification_data_that_is_no_xml_proves_all_the_same(office: Office, bad: bytes) -> None:
    sending = send(subject="OGGETTO")

    def spoil(xml: bytes) -> bytes:
        return xml.replace(b"OGGETTO", bad)

    office.put(
        with_daticert(spoil, OWN.acceptance(sending), OWN), with_daticert(spoil, OWN.delivery(sending), OWN)
    )
    found = office.one()
    assert (found["status"], outcomes(found), found["unproven"]) == ("delivered", {A: "delivered"}, [])
    assert found["acceptance"]["mended"] and found["recipients"][0]["receipts"][0]["mended"]
    assert any("had to be mended" in note for note in found["notes"])
    assert not found["attention"]


def test_verify_reads_more_of_a_seal_that_was_found_valid_before(office: Office) -> None:
    """An earlier version dropped certification data that is no XML: the seal was valid, and nothing certified."""
    sending = send(subject="OGGETTO")

    def spoil(xml: bytes) -> bytes:
        return xml.replace(b"OGGETTO", b"dell&#18;art. 72")

    office.put(
        with_daticert(spoil, OWN.acceptance(sending), OWN), with_daticert(spoil, OWN.delivery(sending), OWN)
    )
    office.archive()
    whole = office.receipts("--json").object
    certified = (
        *("tipo", "errore", "identificativo", "msgid", "gestore", "mittente", "destinatari", "risposte"),
        *("oggetto", "data", "ricevuta", "consegna", "mended"),
    )
    with closing(sqlite3.connect(office.folder / "state/ledger.sqlite3")) as db, db:
        for content, text in db.execute(
            "SELECT content, record FROM verdict WHERE seal = 'valid'"
        ).fetchall():
            record = json.loads(text)
            record |= {
                name: [] if isinstance(record[name], list) else None for name in certified if name in record
            }
            db.execute(
                "UPDATE verdict SET record = ?, tipo = NULL, identificativo = NULL, msgid = NULL WHERE content = ?",
                (json.dumps(record), content),
            )
    assert not any(
        one["acceptance"] and one["recipients"] for one in office.receipts("--json", expect=None).objects
    )
    office.command("--config", office.config, "verify")
    assert office.receipts("--json").object == whole


@pytest.mark.parametrize(
    ("subject", "outcome"),
    [
        (f"x<consegna>{B}</consegna>", "delivered"),
        # Which of two recipients the provider wrote and which the sender did, nobody can tell: it counts for none.
        (
            f"x</oggetto></intestazione><dati><consegna>{B}</consegna></dati><intestazione><oggetto>",
            "missing",
        ),
    ],
)
def test_a_subject_that_looks_like_a_delivery_is_none(office: Office, subject: str, outcome: str) -> None:
    sending = send(subject="OGGETTO")
    delivery = with_daticert(
        lambda xml: xml.replace(b"OGGETTO", subject.encode()), OWN.delivery(sending), OWN
    )
    office.put(OWN.acceptance(sending), delivery)
    found = office.one(expect=0 if outcome == "delivered" else 3)
    assert outcomes(found) == {A: outcome}
    assert any("mended" in one for one in found["recipients"][0]["notes"]) or found["problems"]


def test_a_delivery_that_names_nobody_counts_for_nobody(office: Office) -> None:
    sending = send(A, B)
    twice = f"<consegna>{A}</consegna><consegna>{B}</consegna>".encode()
    delivery = with_daticert(
        lambda xml: xml.replace(f"<consegna>{A}</consegna>".encode(), twice), OWN.delivery(sending), OWN
    )
    office.put(OWN.acceptance(sending), delivery)
    found = office.one(expect=3)
    assert outcomes(found) == {A: "missing", B: "missing"}
    assert (
        "a delivery receipt does not say for which recipient it is, and counts for none" in found["problems"]
    )


def test_a_receipt_inside_another_message_is_doubted(office: Office, tmp_path: Path) -> None:
    sending = send()
    office.put(sending.original, folder="Inviata")
    office.put(OWN.acceptance(sending), around(OWN.delivery(sending), FORGED))
    found = office.one(expect=3)
    assert found["attention"] and outcomes(found) == {A: "delivered"}
    assert found["recipients"][0]["receipts"][0]["outside_seal"] == ['"atto-falso.pdf"']
    (problem,) = found["recipients"][0]["problems"]
    assert "holds more than its seal covers" in problem and "atto-falso.pdf" in problem
    exported = office.receipts(
        "--export", tmp_path / "out", sending.identificativo, "--json", expect=3
    ).object
    assert not exported["complete"] and any("atto-falso.pdf" in one for one in exported["missing"])
    # The same receipt by itself is what counts as soon as it is there.
    office.put(OWN.delivery(sending))
    found = office.one()
    assert not found["attention"]
    assert found["recipients"][0]["problems"] == []


def test_a_forged_header_makes_no_other_receipt(office: Office) -> None:
    sending = send()
    forged = OWN.acceptance(sending).replace(b"X-Ricevuta: accettazione", b"X-Ricevuta: avvenuta-consegna")
    without = with_daticert(
        lambda xml: xml.replace(b'tipo="accettazione"', b'tipo="accettazione" tipo="x"'), forged, OWN
    )
    office.put(forged, without)
    assert outcomes(office.one(expect=3)) == {A: "missing"}


# -- outcomes ---------------------------------------------------------------------------------------------------


def test_delivered(office: Office) -> None:
    sending = send(subject="Notifica atto")
    acceptance, delivery = OWN.acceptance(sending), OTHER.delivery(sending)
    office.put(sending.original, folder="Inviata")
    office.put(acceptance, delivery)
    found = office.one()
    receipt = {
        "system": "pec",
        "kind": "avvenuta-consegna",
        "event": None,
        "reason": None,
        "date": "2025-03-10T09:30:20+01:00",
        "sha256": sha256(delivery),
        "size": len(delivery),
        "seal": "valid",
        "gestore": LEGALMAIL_2018.organization,
        "ricevuta": "completa",
        "consegna": A,
        "concerned": [A],
        "errore": "nessuno",
        "errore_esteso": None,
        "mended": [],
        "outside_seal": [],
    }
    accepted: dict[str, object] = {
        "system": "pec",
        "kind": "accettazione",
        "event": None,
        "reason": None,
        "date": "2025-03-10T09:30:01+01:00",
        "sha256": sha256(acceptance),
        "size": len(acceptance),
        "seal": "valid",
        "gestore": ARUBA_2018.organization,
        "ricevuta": None,
        "consegna": None,
        "concerned": [],
        "errore": "nessuno",
        "errore_esteso": None,
        "mended": [],
        "outside_seal": [],
    }
    assert sending.msgid is not None
    assert found == {
        "direction": "out",
        "system": "pec",
        "status": "delivered",
        "attention": False,
        "handled": None,
        "id": sending.identificativo,
        "identificativo": sending.identificativo,
        "msgid": sending.msgid.strip("<>"),
        "date": "2025-03-10T09:30:01+01:00",
        "answers": None,
        "mittente": STUDIO,
        "oggetto": "Notifica atto",
        "sent": {
            "sha256": sha256(sending.original),
            "size": len(sending.original),
            "from": "copy",
            "heuristic": False,
        },
        "acceptance": accepted,
        "recipients": [
            {
                "address": A,
                "tipo": "certificato",
                "outcome": "delivered",
                "date": "2025-03-10T09:30:20+01:00",
                "receipts": [receipt],
                "breve": None,
                "problems": [],
                "notes": [],
            }
        ],
        "envelopes": [],
        "unproven": [],
        "problems": [],
        "notes": [],
    }
    assert office.receipts("--missing", "--json").objects == []


@pytest.mark.parametrize(
    ("receipts", "status"),
    [
        (lambda one: [OTHER.failure(one)], "failed"),
        (lambda one: [OTHER.virus_failure(one)], "virus"),
        (lambda one: [OWN.timeout_notice(one)], "missing"),
        (lambda one: [OWN.timeout_notice(one), OWN.timeout_notice(one, hours=24)], "timed-out"),
        (lambda one: [], "missing"),
        (lambda one: [FORGER.delivery(one)], "unproven"),
        (lambda one: [OTHER.delivery(one).replace(b"messaggio", b"massaggio", 1)], "unproven"),
    ],
)
def test_what_needs_a_person(office: Office, receipts: Callable[[Sending], list[bytes]], status: str) -> None:
    sending = send()
    office.put(sending.original, folder="Inviata")
    office.put(OWN.acceptance(sending), *receipts(sending))
    found = office.one(expect=3)
    assert (found["status"], found["attention"], outcomes(found)) == (status, True, {A: status})
    assert found["recipients"][0]["problems"]
    assert office.receipts("--missing", "--json", expect=3).object == found
    shown = office.receipts(expect=3)
    assert "problem: " in shown.out
    assert "1 transactions, 1 need a person" in shown.err


@pytest.mark.parametrize("virus", [False, True])
def test_refused(office: Office, virus: bool) -> None:
    sending = send()
    office.put(OWN.virus_non_acceptance(sending) if virus else OWN.non_acceptance(sending))
    found = office.one(expect=3)
    assert (found["status"], found["acceptance"]["kind"]) == ("refused", "non-accettazione")
    assert found["problems"][0].startswith("the message was refused: 5.")


def test_a_late_delivery_wins(office: Office) -> None:
    sending = send()
    late = OTHER.delivery(sending, when=sending.when + timedelta(hours=30))
    office.put(
        OWN.acceptance(sending), OWN.timeout_notice(sending), OWN.timeout_notice(sending, hours=24), late
    )
    found = office.one()
    assert (found["status"], len(found["recipients"][0]["receipts"])) == ("delivered", 3)
    assert "24 hours went by" in found["recipients"][0]["notes"][0]


def test_what_was_sent_just_now_is_waited_for(office: Office) -> None:
    sending = send(when=datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1))
    office.put(OWN.acceptance(sending))
    assert office.one()["status"] == "waiting"


def test_recipients_of_every_kind(office: Office) -> None:
    sending = send(A, B, "mario@posta-ordinaria.example", external=["mario@posta-ordinaria.example"])
    office.put(sending.original, folder="Inviata")
    office.put(OWN.acceptance(sending), OTHER.delivery(sending, A), OTHER.failure(sending, B))
    found = office.one(expect=3)
    assert outcomes(found) == {A: "delivered", B: "failed", "mario@posta-ordinaria.example": "ordinary"}
    text = office.receipts(expect=3).out
    assert f"to   {B}: FAILED 2025-03-10 09:30\n       problem: not delivered: 5.1.1" in text
    assert "mario@posta-ordinaria.example: accepted, ordinary mail, no legal delivery" in text


def test_only_ordinary_mailboxes(office: Office) -> None:
    sending = send(external=[A])
    office.put(OWN.acceptance(sending))
    assert office.one()["status"] == "ordinary"


def test_sent_without_any_receipt(office: Office) -> None:
    office.put(send().original, folder="Inviata")
    office.put(compose("assistenza@pec.example.it", [STUDIO], "La casella è piena", when=WHEN))
    found = office.one(expect=3)
    assert (found["status"], found["problems"]) == ("missing", ["there is no acceptance in the archive"])


def test_the_sent_copy_is_missing_and_a_complete_receipt_is_there(office: Office) -> None:
    sending = send()
    delivery = OTHER.delivery(sending)
    office.put(OWN.acceptance(sending), delivery)
    found = office.one()
    assert found["status"] == "delivered"
    assert (found["sent"]["from"], found["sent"]["sha256"]) == ("receipt", sha256(delivery))


def test_a_client_that_sets_no_message_id(office: Office) -> None:
    sending = send(message_id=None, receipt="sintetica")
    office.put(sending.original, folder="Inviata")
    office.put(OWN.acceptance(sending), OTHER.delivery(sending))
    found = office.one()
    assert (found["sent"]["sha256"], found["sent"]["heuristic"]) == (sha256(sending.original), True)


def test_incoming_and_mail_to_oneself(office: Office) -> None:
    incoming = OTHER.accept(compose(A, [STUDIO], "Risposta", when=WHEN + timedelta(days=1)))
    own = OWN.accept(compose(STUDIO, [STUDIO], "Promemoria", when=WHEN))
    office.put(OTHER.envelope(incoming), OWN.acceptance(own), OWN.envelope(own), OWN.delivery(own))
    found = office.listed()
    assert [(one["direction"], one["status"], one["oggetto"]) for one in found] == [
        ("in", "received", "Risposta"),
        ("out", "delivered", "Promemoria"),
        ("in", "received", "Promemoria"),
    ]
    assert len(office.receipts("--json", "--direction", "in").objects) == 2
    assert len(office.receipts("--json", "--direction", "out").objects) == 1


def test_duplicates(office: Office) -> None:
    """The same receipt by two ways, and two deliveries that a provider gave one Message-ID."""
    sending = send(A, B)
    first, second = OTHER.delivery(sending, A), OTHER.delivery(sending, B)
    ids = [
        next(line for line in raw.split(b"\r\n") if line.startswith(b"Message-ID")) for raw in (first, second)
    ]
    second = second.replace(ids[1], ids[0])
    office.put(OWN.acceptance(sending), first, b"X-Spam: no\r\n" + first, second)
    found = office.one()
    assert outcomes(found) == {A: "delivered", B: "delivered"}
    assert found["recipients"][0]["notes"] == ["2 delivery receipts are recorded"]


def test_a_subject_that_would_change_the_terminal(office: Office) -> None:
    sending = send(subject="Fattura \x1b[2J\u202e è urgente")
    office.put(OWN.acceptance(sending), OTHER.delivery(sending))
    office.archive()
    shown = office.receipts().out
    assert "\x1b" not in shown and "\u202e" not in shown
    assert "\\u202e è urgente" in shown


def test_headers_that_are_no_text(office: Office) -> None:
    sending = send(message_id="<caff\udce8@client.example>", subject="Perché")
    raw = sending.original.replace(b"Subject: ", b"Subject: \xe0\xff ", 1)
    assert b"caff\xe8@" in raw
    office.put(raw, folder="Inviata")
    office.put(OWN.acceptance(sending), OTHER.delivery(sending))
    found = office.one()
    assert found["sent"]["sha256"] == sha256(raw)


# -- short receipts ---------------------------------------------------------------------------------------------


def test_short_receipts_are_checked_and_warned_about(office: Office) -> None:
    sending = send(receipt="breve")
    office.put(sending.original, folder="Inviata")
    office.put(OWN.acceptance(sending), OTHER.delivery(sending))
    found = office.one()
    (recipient,) = found["recipients"]
    assert recipient["breve"] == {"status": "matches", "form": "encoded"}
    assert recipient["notes"] == ['the delivery receipt is "breve": not enough for judicial deposit']
    # The outcome is on record: nothing has to be read again.
    (office.folder / "PEC").rename(office.folder / "elsewhere")
    assert office.receipts("--json").object == found


def test_a_short_receipt_of_something_else(office: Office) -> None:
    sending = send(receipt="breve")
    changed = compose(
        STUDIO,
        [A],
        when=WHEN,
        attachments=[Attachment(PDF.name, PDF.content + b"!")],
        message_id=sending.msgid,
    )
    office.put(changed, folder="Inviata")
    office.put(OWN.acceptance(sending), OTHER.delivery(sending))
    found = office.one(expect=3)
    assert found["attention"] and found["recipients"][0]["breve"]["status"] == "differs"
    assert '"atto.pdf" has another hash' in found["recipients"][0]["problems"][0]


def test_a_short_receipt_for_cc_is_checked_against_the_complete_one(office: Office) -> None:
    sending = send(A, cc=[B])
    office.put(
        OWN.acceptance(sending), OTHER.delivery(sending, A), OTHER.delivery(sending, B, receipt="breve")
    )
    found = office.one()
    assert found["sent"]["from"] == "receipt"
    assert found["recipients"][1]["breve"] == {"status": "matches", "form": "encoded"}


def test_a_short_receipt_without_the_original(office: Office) -> None:
    sending = send(receipt="breve")
    office.put(OWN.acceptance(sending), OTHER.delivery(sending))
    (recipient,) = office.one()["recipients"]
    assert recipient["breve"] == {"status": "unchecked", "form": ""}
    assert "can't be checked without the original" in recipient["notes"][1]


def test_a_synthetic_receipt_is_warned_about(office: Office) -> None:
    sending = send(receipt="sintetica")
    office.put(OWN.acceptance(sending), OTHER.delivery(sending))
    (recipient,) = office.one()["recipients"]
    assert recipient["notes"] == ['the delivery receipt is "sintetica": not enough for judicial deposit']


# -- selecting --------------------------------------------------------------------------------------------------


def test_selecting(office: Office) -> None:
    for day, subject, who in ((1, "Accesso agli atti", A), (2, "Diffida", B), (3, "Accesso negato", B)):
        sending = send(who, subject=subject, when=datetime(2025, 4, day, 22, 30, tzinfo=UTC))
        office.put(OWN.acceptance(sending), OTHER.delivery(sending))
    office.archive()

    def subjects(*options: object) -> list[str]:
        return [one["oggetto"] for one in office.receipts("--json", *options).objects]

    assert subjects() == ["Accesso negato", "Diffida", "Accesso agli atti"]
    assert subjects("--limit", 2) == ["Accesso negato", "Diffida"]
    assert subjects("--subject", "ACCESSO atti") == ["Accesso agli atti"]
    assert subjects("--party", "Imprese.example") == ["Accesso negato", "Diffida"]
    assert subjects("--party", STUDIO) == subjects()
    # Days are Italian ones: half past midnight of the day after.
    assert subjects("--since", "2025-04-03") == ["Accesso negato", "Diffida"]
    assert subjects("--until", "2025-04-02") == ["Accesso agli atti"]
    assert subjects("--since", "2025-04-03", "--until", "2025-04-03") == ["Diffida"]
    assert subjects("studio") == subjects()
    assert "unknown pipeline" in office.receipts("studo", expect=4).err
    assert "must be a date" in office.receipts("--since", "ieri", expect=4).err


def test_what_was_not_judged_is_said(office: Office) -> None:
    sending = send()
    office.put(OWN.acceptance(sending), OTHER.delivery(sending))
    office.archive("--no-seals")
    done = office.receipts("--json", expect=3)
    assert done.objects == []
    assert "2 archived messages were not judged yet" in done.err
    assert office.archive()["seals"] == {"valid": 2}
    assert office.receipts("--json").object["status"] == "delivered"


def test_ad_hoc(office: Office, tmp_path: Path) -> None:
    sending = send()
    office.put(OWN.acceptance(sending), OTHER.delivery(sending))
    source, sink = f"eml:{tmp_path / 'mail'}", f"maildir:{tmp_path / 'other'}"
    office.command("archive", "--from", source, "--to", sink, "--trust", tmp_path / "root.pem")
    assert (
        office.command("receipts", "--from", source, "--to", sink, "--json").object["status"] == "delivered"
    )
    assert office.command("receipts", "--to", sink, "--json").object["status"] == "delivered"
    out = tmp_path / "out"
    office.command("receipts", "--to", sink, "--export", out, sending.identificativo)
    assert (out / "index.txt").exists()


# -- exporting --------------------------------------------------------------------------------------------------


@pytest.fixture
def notice(office: Office) -> Sending:
    """A notice to two recipients with all its receipts, archived."""
    sending = send(A, B, subject="Notifica L. 53/1994 - R.G. 12/2025")
    office.put(sending.original, folder="Inviata")
    office.put(OWN.acceptance(sending), OTHER.delivery(sending, A), OTHER.delivery(sending, B))
    other = send(subject="Notifica L. 53/1994 - R.G. 13/2025")
    office.put(OWN.acceptance(other), OTHER.delivery(other))
    office.archive()
    return sending


def test_the_index_is_italian_for_it_is_for_an_italian_court(
    office: Office, notice: Sending, tmp_path: Path
) -> None:
    office.command("--config", office.config, "receipts", "--export", tmp_path / "out", notice.identificativo)
    index = (tmp_path / "out" / "index.txt").read_text("utf-8").splitlines()
    assert index[0] == "# COMPLETO"
    assert f"# a: {A} (certificato): consegnato" in index
    assert "# 02-accettazione.eml: come ricevuto" in index


def test_export(office: Office, notice: Sending, tmp_path: Path) -> None:
    out = tmp_path / "deposito"
    done = office.receipts("--export", out, notice.identificativo, "--json").object
    expected = {
        "01-inviato.eml": notice.original,
        "02-accettazione.eml": OWN.acceptance(notice),
        f"03-consegna-{A}.eml": OTHER.delivery(notice, A),
        f"04-consegna-{B}.eml": OTHER.delivery(notice, B),
    }
    assert {path.name: path.read_bytes() for path in out.glob("*.eml")} == expected
    assert (done["complete"], done["missing"], done["index"]) == (True, [], "index.txt")
    assert {one["file"]: one["sha256"] for one in done["files"]} == {
        name: sha256(raw) for name, raw in expected.items()
    }
    index = (out / "index.txt").read_text("utf-8").splitlines()
    assert index[0] == "# COMPLETE"
    assert [line.split("  ") for line in index if not line.startswith("#")] == [
        [sha256(raw), name] for name, raw in expected.items()
    ]
    if sys.platform != "win32":
        assert stat.S_IMODE(out.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["identificativo", "<identificativo>", "msgid", "words", "unquoted words"])
def test_export_by_any_name(office: Office, notice: Sending, tmp_path: Path, name: str) -> None:
    assert notice.msgid is not None
    words = {
        "identificativo": [notice.identificativo],
        "<identificativo>": [f"<{notice.identificativo}>"],
        "msgid": [notice.msgid],
        "words": ["notifica 12/2025"],
        "unquoted words": ["studio", "notifica", "12/2025"],
    }[name]
    done = office.receipts("--export", tmp_path / "out", *words)
    assert done.out.splitlines()[-1] == "COMPLETE"
    assert (tmp_path / "out" / "01-inviato.eml").read_bytes() == notice.original


def test_several_fit_or_none(office: Office, notice: Sending, tmp_path: Path) -> None:
    done = office.receipts("--export", tmp_path / "out", "L. 53/1994", expect=2)
    assert "2 sent messages fit" in done.err
    assert "R.G. 12/2025" in done.err and "R.G. 13/2025" in done.err and notice.identificativo in done.err
    assert (
        'nothing is called "citazione"'
        in office.receipts("--export", tmp_path / "out", "citazione", expect=2).err
    )
    assert "say what to export" in office.receipts("--export", tmp_path / "out", expect=2).err
    assert not (tmp_path / "out").exists()


def test_a_received_notice_is_exported_too(office: Office, notice: Sending, tmp_path: Path) -> None:
    received = OTHER.accept(compose(A, [STUDIO], when=WHEN, subject="Opposizione R.G. 14/2025"), WHEN)
    envelope = OTHER.envelope(received)
    office.put(envelope)
    office.archive()
    done = office.receipts("--export", tmp_path / "by-id", received.identificativo, "--json").object
    assert [(one["what"], one["sha256"]) for one in done["files"]] == [("ricevuto", sha256(envelope))]
    assert (done["complete"], done["missing"]) == (True, [])
    assert (tmp_path / "by-id" / "01-ricevuto.eml").read_bytes() == envelope
    office.receipts("--export", tmp_path / "by-words", "opposizione")
    assert (tmp_path / "by-words" / "01-ricevuto.eml").read_bytes() == envelope
    # What both were called is asked for, unless the direction says which is meant.
    assert "2 sent messages" in office.receipts("--export", tmp_path / "both", "R.G.", expect=2).err
    office.receipts("--export", tmp_path / "in", "--direction", "in", "R.G.")
    assert (tmp_path / "in" / "01-ricevuto.eml").read_bytes() == envelope
    none = office.receipts("--export", tmp_path / "none", "--direction", "in", "12/2025", expect=2)
    assert 'nothing that was received is called "12/2025"' in none.err


def test_a_received_notice_whose_seal_is_no_good_is_not_complete(office: Office, tmp_path: Path) -> None:
    received = FORGER.accept(compose(A, [STUDIO], when=WHEN, subject="Opposizione"), WHEN)
    office.put(FORGER.envelope(received))
    office.archive()
    done = office.receipts("--export", tmp_path / "out", "opposizione", "--json", expect=3).object
    assert done["files"] == [] and not done["complete"]
    assert "the envelope is not proven" in done["missing"][0]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--to", A), {"R.G. 12/2025", "R.G. 13/2025"}),
        (("--to", "comune"), {"R.G. 12/2025"}),
        (("--from", STUDIO), {"R.G. 12/2025", "R.G. 13/2025"}),
        (("--from", "nessuno@altrove.example"), set()),
        (("--attachment", "*.pdf"), {"R.G. 12/2025", "R.G. 13/2025"}),
        (("--attachment", "*.zip"), set()),
        (("--kind", "delivery", "--to", B), {"R.G. 12/2025"}),
        (("--kind", "anomalia"), set()),
        (("--folder", "Inviata"), {"R.G. 12/2025"}),
        (("--seal", "altered"), set()),
        (("--has", "invoice"), set()),
    ],
)
def test_the_filters_of_search_choose_transactions(
    office: Office, notice: Sending, options: tuple[str, ...], found: set[str]
) -> None:
    assert notice.msgid
    subjects = [one["oggetto"] for one in office.receipts("--json", *options).objects]
    assert {subject.partition(" - ")[2] for subject in subjects} == found
    archive = ("--to", f"maildir:{office.folder / 'PEC'}", "--json", *options)
    if "--folder" in options:
        refused = Archipec(office.folder / "alone")("receipts", *archive, expect=2)
        assert "--folder needs the ledger" in refused.err
        return
    trust = ("--trust", office.folder / "root.pem")
    alone = Archipec(office.folder / "alone")("receipts", *trust, *archive, expect=None)
    assert len(alone.objects) == len(subjects)


def test_exported_twice(office: Office, notice: Sending, tmp_path: Path) -> None:
    out = tmp_path / "out"
    office.receipts("--export", out, notice.identificativo)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    office.receipts("--export", out, notice.identificativo)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_nothing_is_replaced_and_no_link_followed(office: Office, notice: Sending, tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    (out / "01-inviato.eml").write_bytes(b"mine")
    (out / "02-accettazione.eml").symlink_to(elsewhere)
    office.receipts("--export", out, notice.identificativo)
    assert (out / "01-inviato.eml").read_bytes() == b"mine"
    assert (out / "01-inviato-2.eml").read_bytes() == notice.original
    assert not elsewhere.exists()
    assert (out / "02-accettazione-2.eml").read_bytes() == OWN.acceptance(notice)


def test_names_from_outside_are_no_paths(office: Office, tmp_path: Path) -> None:
    sending = send()
    wicked = OTHER.delivery(sending, "../../x/y@avvocati.example")
    office.put(sending.original, folder="Inviata")
    office.put(OWN.acceptance(sending), wicked)
    office.archive()
    out = tmp_path / "a" / "b" / "out"
    done = office.receipts("--export", out, sending.identificativo, "--json", expect=3).object
    files = [path for path in tmp_path.rglob("*.eml") if path.is_relative_to(tmp_path / "a")]
    assert {path.parent for path in files} == {out}
    assert len(files) == len(done["files"]) == 3


@pytest.mark.parametrize(
    ("made", "missing"),
    [
        (lambda one: [OTHER.delivery(one)], "there is no acceptance in the archive"),
        (lambda one: [OWN.acceptance(one)], "no delivery receipt 24 hours"),
        (lambda one: [OWN.acceptance(one), OTHER.failure(one)], "not delivered: 5.1.1"),
        (
            lambda one: [OWN.acceptance(one), OTHER.delivery(one, receipt="breve")],
            "not enough for judicial deposit",
        ),
        (
            lambda one: [OWN.acceptance(one), OTHER.delivery(one, receipt="sintetica")],
            "not enough for judicial",
        ),
        (lambda one: [OWN.acceptance(one), FORGER.delivery(one)], "the receipt is not proven"),
        (lambda one: [OWN.non_acceptance(one)], "the message was refused"),
    ],
)
def test_what_is_missing_is_said(
    office: Office, tmp_path: Path, made: Callable[[Sending], list[bytes]], missing: str
) -> None:
    sending = send()
    office.put(sending.original, folder="Inviata")
    office.put(*made(sending))
    office.archive()
    done = office.receipts("--export", tmp_path / "out", sending.identificativo, expect=3).out
    assert missing in done
    assert "NOT COMPLETE" in done
    assert (tmp_path / "out" / "index.txt").read_text("utf-8").startswith("# NOT COMPLETE\n")
    assert (tmp_path / "out" / "01-inviato.eml").read_bytes() == sending.original


def test_without_sent_copy_the_original_inside_the_receipt_is_given(office: Office, tmp_path: Path) -> None:
    sending = send()
    delivery = OTHER.delivery(sending)
    office.put(OWN.acceptance(sending), delivery)
    office.archive()
    done = office.receipts("--export", tmp_path / "out", sending.identificativo, "--json").object
    part = parse_structure(delivery).postacert
    assert part is not None
    assert (tmp_path / "out" / "01-inviato.eml").read_bytes() == part.content() == sending.postacert
    assert done["complete"] is True
    assert done["files"][0]["origin"] == f"the original inside the receipt {sha256(delivery)}"


def test_a_copy_that_is_not_what_was_certified_is_not_filed(office: Office, tmp_path: Path) -> None:
    sending = send()
    other = compose(STUDIO, [A], text="altro", when=WHEN, message_id=sending.msgid)
    office.put(other, folder="Inviata")
    office.put(OWN.acceptance(sending), OTHER.delivery(sending))
    office.archive()
    done = office.receipts("--export", tmp_path / "out", sending.identificativo, "--json").object
    assert (tmp_path / "out" / "01-inviato.eml").read_bytes() == sending.postacert
    assert "not what the delivery receipt certifies" in " ".join(done["notes"])


def test_a_damaged_copy_is_never_filed(office: Office, notice: Sending, tmp_path: Path) -> None:
    acceptance = OWN.acceptance(notice)
    (file,) = [
        path for path in (tmp_path / "PEC").rglob("*") if path.is_file() and path.read_bytes() == acceptance
    ]
    file.chmod(0o600)
    file.write_bytes(acceptance.replace(b"messaggio", b"massaggio"))
    done = office.receipts("--export", tmp_path / "out", notice.identificativo, "--json", expect=7).object
    assert done["complete"] is False
    assert done["missing"][0].startswith("accettazione: ")
    assert not list((tmp_path / "out").glob("*accettazione*"))


# -- selections that know what was sent -------------------------------------------------------------------------


def test_archiving_one_message(office: Office) -> None:
    sending = send()
    office.put(OWN.acceptance(sending), sending.original)
    assert sending.msgid is not None
    report = office.archive("--message-id", sending.msgid.upper())
    assert (report["stored"], report["deselected"], report["kinds"]) == (1, 1, {"ordinaria": 1})
    assert office.archive()["stored"] == 1


def test_sent_groups(office: Office) -> None:
    """What went to whom is known from acceptances on record; what nobody knows is taken."""
    certified, ordinary, both = send(A), send(B, external=[B]), send(A, B, external=[B])
    office.put(*(OWN.acceptance(one) for one in (certified, ordinary, both)))
    assert office.archive()["stored"] == 3
    unknown = send(subject="senza accettazione").original
    office.put(certified.original, ordinary.original, both.original, unknown, folder="Inviata")

    def left_out(*options: str) -> int:
        shown = office.archive("--dry-run", *options)
        return int(shown["deselected"])

    assert left_out("--only", "sent-certified") == 1
    assert left_out("--only", "sent-ordinary") == 1
    assert left_out("--only", "sent-ordinary", "--only", "sent-certified") == 0
    assert left_out("--except", "sent-ordinary") == 1
    assert left_out("--only", "receipts") == 4
    report = office.archive("--except", "sent-ordinary")
    assert (report["stored"], report["deselected"]) == (3, 1)
    assert office.archive()["stored"] == 1


# -- what someone has dealt with ---------------------------------------------------------------------


def test_what_is_handled_needs_a_person_no_more_until_something_else_goes_wrong(office: Office) -> None:
    first, second = send(A, B, subject="uno"), send(A, subject="due")
    for sending in (first, second):
        office.put(OWN.acceptance(sending))
    office.archive()
    missing = office.receipts("--missing", "--json", expect=3).objects
    assert len(missing) == 2 and all(one["attention"] and one["handled"] is None for one in missing)
    name = next(one["id"] for one in missing if one["oggetto"].endswith("uno"))
    said = office.receipts("--handled", name, "--note", "spedita per raccomandata", "--json").object
    assert (said["id"], said["attention"], said["handled"]["note"]) == (
        name,
        False,
        "spedita per raccomandata",
    )
    (left,) = office.receipts("--missing", "--json", expect=3).objects
    assert left["id"] != name
    office.receipts("--handled", left["id"], "--note", "known")
    done = office.receipts("--missing")
    assert done.out == "" and "0 need a person" in done.err
    assert "handled" in office.receipts().out and "spedita per raccomandata" in office.receipts().out

    # A receipt that puts one recipient right leaves the mark; a failure for the other needs a person.
    office.put(OWN.delivery(first))
    office.archive()
    office.receipts("--missing")
    office.put(OWN.failure(first, B))
    office.archive()
    (again,) = office.receipts("--missing", "--json", expect=3).objects
    assert (again["id"], again["status"]) == (name, "failed")
    assert again["handled"]["note"] == "spedita per raccomandata"
    office.receipts("--handled", name, "--note", "telefonato")
    office.receipts("--missing")

    # Taken back.
    office.receipts("--reopen", name)
    (again,) = office.receipts("--missing", "--json", expect=3).objects
    assert (again["id"], again["handled"]) == (name, None)
    assert "was not marked" in office.receipts("--reopen", name).err


def test_what_goes_wrong_in_the_place_of_what_was_handled_needs_a_person(office: Office) -> None:
    sending = send(A)
    office.put(OWN.acceptance(sending), around(OWN.delivery(sending), FORGED))
    one = office.one(expect=3)
    office.receipts("--handled", one["id"], "--note", "visto")
    italian = office.command("--lang", "it", "--config", office.config, "receipts", "--missing")
    assert italian.out == ""

    # The receipt by itself leaves the forged attachment of no account; the failure beside it is something else.
    office.put(OWN.delivery(sending), OWN.failure(sending, A))
    office.archive()
    (again,) = office.receipts("--missing", "--json", expect=3).objects
    (before,), (now,) = (found["recipients"][0]["problems"] for found in (one, again))
    assert "atto-falso.pdf" in before and "contradicts" in now
    assert again["handled"]["note"] == "visto"


def test_many_are_handled_at_once_by_their_ids_on_standard_input(office: Office) -> None:
    for number in range(3):
        office.put(OWN.acceptance(send(A, subject=f"numero {number}")))
    office.archive()
    names = [one["id"] for one in office.receipts("--missing", "--json", expect=3).objects]
    process = subprocess.run(
        office.command.argv("--config", office.config, "receipts", "--handled", "-", "--note", "x"),
        check=False,
        env=office.command.env,
        input="\n".join(names) + "\n",
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("handled: x") == 3
    assert office.receipts("--missing").out == ""


def test_marks_that_can_t_be_made_change_nothing(office: Office, tmp_path: Path) -> None:
    office.put(OWN.acceptance(send(A, subject="uno")))
    office.archive()
    (one,) = office.receipts("--missing", "--json", expect=3).objects
    assert "--note" in office.receipts("--handled", one["id"], expect=2).err
    nothing = office.receipts("--handled", one["id"], "--handled", "<no@x>", "--note", "x", expect=2)
    assert "no@x" in nothing.err
    office.receipts("--missing", expect=3)
    alone = Archipec(tmp_path / "other")(
        "receipts",
        "--to",
        f"maildir:{office.folder / 'PEC'}",
        "--handled",
        one["id"],
        "--note",
        "x",
        expect=4,
    )
    assert "ledger" in alone.err


def test_a_period_is_also_given_as_an_age(office: Office) -> None:
    now = datetime.now(UTC)
    office.put(OWN.acceptance(send(A, subject="vecchia", when=now - timedelta(days=100))))
    office.put(OWN.acceptance(send(A, subject="nuova", when=now - timedelta(days=5))))
    office.archive()

    def found(*options: str) -> set[str]:
        return {one["oggetto"].split()[-1] for one in office.receipts("--json", *options, expect=3).objects}

    assert found() == {"vecchia", "nuova"}
    assert found("--since", "30d") == {"nuova"}
    assert found("--until", "2 months") == {"vecchia"}
    assert found("--since", "1y", "--until", "1d") == {"vecchia", "nuova"}
    assert "such as 30d" in office.receipts("--since", "ieri", expect=4).err
