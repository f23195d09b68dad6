"""Certified mail of a kind that this version does not know: no selection leaves it out, and it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.command import Archipec
from testbed.dovecot import Dovecot

PLAIN = b"From: a@x.example\r\nSubject: plain\r\nMessage-ID: <plain@x.example>\r\n\r\nhello\r\n"
NEW = {
    "busta-nuova": b"X-Trasporto: busta-nuova\r\n" + PLAIN,
    "ricevuta-nuova": b"X-Ricevuta: ricevuta-nuova\r\n" + PLAIN,
    "rem-brand-new": b"REM-MessageType: http://x/ERDMessageType/receipt\r\n"
    b"REM-EventIdentifier: http://uri.etsi.org/19522/Event/BrandNew\r\n" + PLAIN,
    "ordinaria": b"X-REM-Something: 1\r\n" + PLAIN,
}
ACCEPTANCE = b"X-Ricevuta: accettazione\r\n" + PLAIN
# With what it does leave out.
SELECTIONS = [
    (("--only", "receipts"), PLAIN),
    (("--only", "sent-certified"), ACCEPTANCE),
    (("--except", "certified", "--except", "ordinaria"), ACCEPTANCE),
    (("--only", "acceptances", "--except", "ordinaria"), PLAIN),
]


def with_daticert(number: int) -> bytes:
    return (
        b"From: a@x.example\r\nSubject: %d\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: application/xml; name=daticert.xml\r\n\r\n<postacert/>\r\n--b--\r\n" % number
    )


def stored(root: Path) -> set[bytes]:
    return {path.read_bytes() for path in root.rglob("cur/*")}


@pytest.mark.real
@pytest.mark.parametrize(
    ("selection", "left_out"), SELECTIONS, ids=lambda one: " ".join(one) if isinstance(one, tuple) else ""
)
def test_from_a_mailbox(
    dovecot: Dovecot,
    archipec: Archipec,
    url: Callable[..., str],
    tmp_path: Path,
    selection: tuple[str, ...],
    left_out: bytes,
) -> None:
    dovecot.fill("INBOX", [*NEW.values(), left_out])
    arguments = ("archive", "--from", url("INBOX"), "--to", f"maildir:{tmp_path / 'A'}", *selection)
    preview = archipec(*arguments, "--dry-run", "--json").object
    assert preview["unrecognised"] == len(NEW)
    assert {line["kind"]: line["count"] for line in preview["preview"]} == dict.fromkeys(NEW, 1)
    result = archipec(*arguments, "--json")
    report = result.object
    assert report["stored"] == report["unrecognised"] == len(NEW)
    assert (report["listed"], report["deselected"]) == (len(NEW) + 1, 1)
    assert result.err.count("doesn't know") == 1
    for kind in NEW:
        assert kind in result.err
    assert stored(tmp_path / "A") == set(NEW.values())
    again = archipec(*arguments, "--json")
    assert (again.object["stored"], again.object["unrecognised"]) == (0, 0)
    assert "doesn't know" not in again.err
    assert "no message matches" not in again.err
    # Nor for an archive that comes later, though nothing is read twice to decide.
    more = archipec(*arguments, "--to", f"mbox:{tmp_path / 'B'}", "--json").object
    assert more["sinks"]["mbox"]["stored"] == len(NEW)


@pytest.mark.parametrize("scheme", ["eml", "maildir", "mbox"])
def test_what_only_the_parts_tell(tmp_path: Path, scheme: str) -> None:
    mail = tmp_path / "mail"
    mail.mkdir()
    odd = {with_daticert(number) for number in range(3)}
    for number, raw in enumerate([*odd, PLAIN, with_daticert(9).replace(b"daticert", b"invoice")]):
        (mail / f"{number}.eml").write_bytes(raw)
    archipec = Archipec(tmp_path / "state")
    source = f"{scheme}:{tmp_path / 'copy'}"
    archipec("archive", "--from", f"eml:{mail}", "--to", source)
    arguments = ("archive", "--from", source, "--to", f"maildir:{tmp_path / 'A'}", "--json")
    result = archipec(*arguments, "--only", "receipts")
    assert (result.object["stored"], result.object["deselected"], result.object["unrecognised"]) == (3, 2, 3)
    assert "3 messages pass for certified mail" in result.err
    assert stored(tmp_path / "A") == odd
    assert archipec(*arguments, "--only", "receipts").object["listed"] == 2
    assert archipec(*arguments, "--only", "receipts", "--until", "2001").object["stored"] == 0


def test_prune_lets_go_no_more_than_it_says(tmp_path: Path) -> None:
    """A deletion takes what its words name: what a selection can't leave out is not thereby chosen."""
    for number, raw in enumerate([*NEW.values(), ACCEPTANCE]):
        path = tmp_path / "mail" / "cur" / f"{number}:2,S"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    for name in ("new", "tmp"):
        (tmp_path / "mail" / name).mkdir()
    archipec = Archipec(tmp_path / "state")
    pipeline = ("--from", f"maildir:{tmp_path / 'mail'}", "--to", f"mbox:{tmp_path / 'A'}")
    assert archipec("archive", *pipeline, "--only", "acceptances", "--json").object["stored"] == len(NEW) + 1
    plan = archipec("prune", *pipeline, "--only", "acceptances", "--older-than", "0d", "--json", expect=None)
    assert plan.object["candidates"] <= 1
