"""One mailbox of PEC and REM: selections, transactions, export, verification and deletion by the command line."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from archipec.config.selection import SENT_GROUPS
from archipec.pec.headers import first_field, raw_text
from archipec.pec.kind import GROUPS
from archipec.simulator import (
    MIXED,
    Provider,
    RemProvider,
    Sample,
    compose,
    mailbox,
    shared_authority,
    shared_stamps,
    to_pem,
)
from testbed.command import Archipec
from testbed.dovecot import Dovecot

MESSAGES = 5000 if os.environ.get("ARCHIPEC_DEPTH") == "full" else 160
STUDIO, A, B = "studio@posta.example.it", "a@ufficio.example", "b@ufficio.example"

# By what the header says, and by hand: RFC 6109, ETSI EN 319 522-2.
CERTIFIED, RECEIPTS = {"all", "certified"}, {"all", "certified", "receipts"}
BY_MARK = {
    "X-Trasporto: posta-certificata": CERTIFIED | {"envelopes"},
    "X-Trasporto: errore": {"all", "uncertified"},
    "X-Ricevuta: accettazione": RECEIPTS | {"acceptances"},
    "X-Ricevuta: avvenuta-consegna": RECEIPTS | {"deliveries"},
    "dispatch SubmissionAcceptance": CERTIFIED | {"envelopes"},
    "dispatch ReceivedFromNonERDS": {"all", "uncertified"},
    "receipt SubmissionAcceptance": RECEIPTS | {"acceptances"},
    "receipt ContentConsignment": RECEIPTS | {"deliveries"},
}
MARK = re.compile(rb"^(X-Trasporto|X-Ricevuta): ([^\r\n]+)", re.MULTILINE)
REM_MARK = re.compile(rb"^(REM-MessageType|REM-EventIdentifier): \S*/(\w+)", re.MULTILINE)


def groups_of(raw: bytes) -> set[str]:
    head = raw.partition(b"\r\n\r\n")[0]
    if (mark := MARK.search(head)) is not None:
        name = f"{mark[1].decode()}: {mark[2].decode()}"
    elif rem := dict(REM_MARK.findall(head)):
        name = f"{rem[b'REM-MessageType'].decode()} {rem[b'REM-EventIdentifier'].decode()}"
    else:
        return {"all", "uncertified"}
    return BY_MARK.get(name, RECEIPTS)


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def stored(root: Path) -> set[str]:
    return {digest(path.read_bytes()) for path in root.rglob("*") if path.parent.name in ("cur", "new")}


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    path = tmp_path / "roots.pem"
    path.write_text(shared_authority().root_pem + to_pem(shared_stamps().root), encoding="ascii")
    return path


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(mailbox(MESSAGES, seed=11, size=11_000, mix=MIXED))


def test_selections_lose_none_and_take_none_wrongly(
    samples: Sequence[Sample], roots: Path, tmp_path: Path
) -> None:
    for number, sample in enumerate(samples):
        path = tmp_path / "mail" / sample.folder / f"{number:05}.eml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sample.raw)
    archipec = Archipec(tmp_path / "state")
    arguments = ("archive", "--from", f"eml:{tmp_path / 'mail'}", "--trust", roots, "--json")
    everything = {digest(sample.raw): groups_of(sample.raw) for sample in samples}
    systems = [b"\nREM-MessageType" in sample.raw.partition(b"\r\n\r\n")[0] for sample in samples]
    assert min(systems.count(True), systems.count(False)) > MESSAGES // 5
    for group in GROUPS:
        for word in ("only", "except") if group != "all" else ("only",):
            root = tmp_path / f"{word}-{group}"
            report = archipec(*arguments, "--no-seals", "--to", f"maildir:{root}", f"--{word}", group).object
            expected = {key for key, groups in everything.items() if (group in groups) is (word == "only")}
            assert stored(root) == expected, (word, group)
            assert report["listed"] == report["stored"] + report["deselected"] + report["already"]
            assert report["unrecognised"] == 0


def test_what_was_sent_by_either(samples: Sequence[Sample], roots: Path, tmp_path: Path) -> None:
    """A copy of what was sent is told by the acceptance of PEC or REM that certifies to whom it went."""
    mail = tmp_path / "mail"
    mail.mkdir()
    copies = {}
    for number, (system, external) in enumerate([("pec", 0), ("pec", 1), ("rem", 0), ("rem", 1)]):
        original = compose(STUDIO, [A], "s", message_id=f"<{number}@client.example>")
        outside = [A] if external else ()
        if system == "pec":
            pec = Provider()
            acceptance = pec.acceptance(pec.accept(original, external=outside))
        else:
            rem = RemProvider()
            acceptance = rem.receipt(rem.accept(original, external=outside), "SubmissionAcceptance")
        copies[digest(original)] = "sent-ordinary" if external else "sent-certified"
        (mail / f"{number}c.eml").write_bytes(original)
        (mail / f"{number}a.eml").write_bytes(acceptance)
    archipec = Archipec(tmp_path / "state")
    arguments = ("archive", "--from", f"eml:{mail}", "--trust", roots)
    archipec(*arguments, "--to", f"maildir:{tmp_path / 'all'}")
    for group in SENT_GROUPS:
        archipec(*arguments, "--to", f"maildir:{tmp_path / group}", "--only", group)
        assert stored(tmp_path / group) == {key for key, one in copies.items() if one == group}


# -- end to end -------------------------------------------------------------------------------------------------


class Sent:
    """What one sending left in the mailbox."""

    def __init__(self, subject: str, system: str, *outcomes: str, when: datetime) -> None:
        self.subject = subject
        recipients = [A, B][: max(len(outcomes), 1)]
        self.original = compose(
            STUDIO, recipients, subject, when=when, message_id=f"<{subject}@client.example>".replace(" ", ".")
        )
        if system == "pec":
            pec = Provider()
            taken = pec.accept(self.original, when)
            self.message_id = taken.identificativo
            self.receipts = [pec.acceptance(taken)]
            for who, outcome in zip(recipients, outcomes, strict=False):
                if outcome:
                    self.receipts.append(
                        (pec.delivery if outcome == "delivered" else pec.failure)(taken, who)
                    )
        else:
            own, other = RemProvider(), RemProvider(number=1)
            sending = own.accept(self.original, when)
            self.message_id = sending.message_id
            self.receipts = [own.receipt(sending, "SubmissionAcceptance")]
            for number, outcome in enumerate(outcomes, start=1):
                if outcome == "by-pec":
                    pec = Provider()
                    self.receipts.append(
                        pec.delivery(pec.accept(sending.original, when), recipients[number - 1])
                    )
                elif outcome:
                    event = "ContentConsignment" if outcome == "delivered" else "ContentConsignmentFailure"
                    self.receipts.append(other.receipt(sending, event, refers_to=(number,)))


@pytest.mark.real
def test_end_to_end(
    dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], roots: Path, tmp_path: Path
) -> None:
    old = datetime(2026, 3, 2, 9, tzinfo=UTC)
    sent = [
        Sent("by pec", "pec", "delivered", "delivered", when=old),
        Sent("by pec, one missing", "pec", "delivered", "", when=old + timedelta(hours=1)),
        Sent("by rem", "rem", "delivered", "delivered", when=old + timedelta(hours=2)),
        Sent("by rem, one failed", "rem", "delivered", "failed", when=old + timedelta(hours=3)),
        Sent("by rem, one missing", "rem", "delivered", "", when=old + timedelta(hours=4)),
        Sent("by rem, taken by pec", "rem", "delivered", "by-pec", when=old + timedelta(hours=5)),
    ]
    expected = {
        "by pec": ("pec", "delivered", {"delivered"}),
        "by pec, one missing": ("pec", "missing", {"delivered", "missing"}),
        "by rem": ("rem", "delivered", {"delivered"}),
        "by rem, one failed": ("rem", "failed", {"delivered", "failed"}),
        "by rem, one missing": ("rem", "missing", {"delivered", "missing"}),
        "by rem, taken by pec": ("rem", "delivered", {"delivered"}),
    }
    # A mail program answers by the Message-ID that it saw: of a dispatch the provider's, of an envelope either.
    seen = sent[2].message_id
    arrived = compose(
        A, [STUDIO], "Re: by rem", message_id="<reply@client.example>", headers=(f"In-Reply-To: <{seen}>",)
    )
    incoming = [RemProvider().dispatch(arrived, old), Provider().envelope(Provider().accept(arrived, old))]
    dovecot.create("Sent")
    dovecot.fill("INBOX", [raw for one in sent for raw in one.receipts] + incoming)
    dovecot.fill("Sent", [one.original for one in sent])
    config = tmp_path / "archipec.toml"
    config.write_text(
        f'[[pipeline]]\nname = "studio"\ntrust = ["{roots}"]\n[pipeline.source]\ntype = "imap"\nhost = "127.0.0.1"\n'
        f'port = {dovecot.port}\nuser = "{dovecot.user}"\npassword = "env:PEC_PASSWORD"\nca_file = "{dovecot.ca_file}"\n'
        f'[[pipeline.sink]]\ntype = "maildir"\npath = "{tmp_path / "A"}"\n'
        '[pipeline.prune]\nolder_than = "0d"\nreceipts_complete = true\n',
        encoding="utf-8",
    )
    known = ("--config", config)

    # Receipts alone, into an archive of their own.
    receipts = ("--from", url(), "--to", f"maildir:{tmp_path / 'R'}")
    report = archipec("archive", *receipts, "--only", "receipts", "--trust", roots, "--json").object
    assert report["stored"] == sum(len(one.receipts) for one in sent)
    assert set(report["seals"]) == {"valid"}
    found = archipec("receipts", *receipts, "--json", expect=3).objects
    assert {one["oggetto"]: one["status"] for one in found} == {
        name: status for name, (_, status, _) in expected.items()
    }

    # The whole mailbox.
    whole = archipec(*known, "archive", "--json").object
    assert whole["systems"] == {"pec": 7, "rem": 11}
    found = archipec(*known, "receipts", "--direction", "out", "--json", expect=3).objects
    by_subject: dict[str, Any] = {one["oggetto"]: one for one in found}
    assert len(found) == len(sent)
    for name, (system, status, outcomes) in expected.items():
        one = by_subject[name]
        assert (one["system"], one["status"], {who["outcome"] for who in one["recipients"]}) == (
            system,
            status,
            outcomes,
        )
        assert one["sent"]["from"] == "copy"
    failed = by_subject["by rem, one failed"]["recipients"][1]["receipts"]
    assert [(one["event"], one["reason"]) for one in failed] == [("ContentConsignmentFailure", "RD04")]
    missing = archipec(*known, "receipts", "--missing", "--json", expect=3).objects
    assert {one["oggetto"] for one in missing} == {
        "by pec, one missing",
        "by rem, one missing",
        "by rem, one failed",
    }
    incoming_found = archipec(*known, "receipts", "--direction", "in", "--json").objects
    assert sorted(one["system"] for one in incoming_found) == ["pec", "rem"]
    assert {one["answers"] for one in incoming_found} == {by_subject["by rem"]["identificativo"]}
    assert all(one["answers"] is None for one in found)

    # What a lawyer files.
    for name, complete in (
        ("by rem", True),
        ("by rem, taken by pec", True),
        ("by pec", True),
        ("by rem, one missing", False),
    ):
        identifier = by_subject[name]["identificativo"]
        exported = archipec(
            *known,
            "--lang",
            "en",
            "receipts",
            "--export",
            tmp_path / name,
            identifier,
            "--json",
            expect=0 if complete else 3,
        ).object
        assert exported["complete"] is complete, exported
        assert [file["what"] for file in exported["files"]][:3] == ["inviato", "accettazione", "consegna"]
        if name.startswith("by rem"):
            assert "has the hash that the receipts state" in " ".join(exported["notes"])
    # A receipt of another system names the sending, too.
    (by_pec,) = [
        one
        for who in by_subject["by rem, taken by pec"]["recipients"]
        for one in who["receipts"]
        if one["system"] == "pec"
    ]
    message_id = next(
        first_field(raw, "Message-ID") for raw in sent[5].receipts if digest(raw) == by_pec["sha256"]
    )
    assert message_id is not None
    again = archipec(
        *known, "--lang", "en", "receipts", "--export", tmp_path / "again", raw_text(message_id), "--json"
    ).object
    assert again["identificativo"] == by_subject["by rem, taken by pec"]["identificativo"]
    assert archipec(*known, "verify", "--json").object["altered"] == 0

    # Nothing goes whose receipts are still to come.
    archipec(*known, "prune", "--yes", "--allow-large", "--json", expect=None)
    left = {digest(raw) for folder in ("INBOX", "Sent") for raw in dovecot.raw_fetch(folder).values()}
    unfinished = [one for one in sent if "missing" in one.subject]
    assert left == {digest(raw) for one in unfinished for raw in (one.original, *one.receipts)}
