"""``archipec inspect`` as a person and a script use it: the installed program, its output and its exit codes."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from archipec.simulator import ARUBA_2018, Attachment, Provider, compose, shared_authority
from archipec.simulator.rem import RemProvider
from testbed.forged import FORGED, around, with_daticert
from testbed.seals import certificate, signature, signed_entity, with_signature

PROVIDER = Provider(style=ARUBA_2018)
PDF = Attachment("contratto.pdf", b"%PDF-1.7 " + bytes(range(256)))
SENDING = PROVIDER.accept(
    compose(subject="Perché è così", attachments=[PDF], reply_to="altri@posta.example.it"),
    external=["ufficio@avvocati.example"],
)
ENVELOPE = PROVIDER.envelope(SENDING)

FIELDS = [
    "file", "sha256", "size", "system", "kind", "event", "reason", "tipo", "errore", "identificativo", "msgid", "riferimento", "gestore", "mittente",
    "destinatari", "risposte", "oggetto", "data", "ricevuta", "consegna", "mended", "outside_seal", "seal",
]  # fmt: skip


@pytest.fixture
def trust(tmp_path: Path) -> str:
    path = tmp_path / "root.pem"
    path.write_text(shared_authority().root_pem, encoding="ascii")
    return str(path)


def inspect(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "archipec", "inspect", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def write(folder: Path, name: str, message: bytes) -> Path:
    path = folder / name
    path.write_bytes(message)
    return path


def shapes(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_why_a_seal_is_valid_is_said_in_the_readers_language(tmp_path: Path, trust: str) -> None:
    path = write(tmp_path, "busta.eml", ENVELOPE)
    command = [sys.executable, "-m", "archipec", "--lang", "it", "inspect", str(path), "--trust", trust]
    said = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert re.search(r'motivo +firmato da ".+" in data \d+ [a-z]+ \d{4} e da allora integro', said), said
    (shape,) = shapes(inspect(path, "--trust", trust, "--json"))
    assert re.fullmatch(
        r'sealed by ".+" on \d+ [A-Z][a-z]+ \d{4} and unchanged since', shape["seal"]["reason"]
    )


def test_a_valid_message_as_json(tmp_path: Path, trust: str) -> None:
    path = write(tmp_path, "busta.eml", ENVELOPE)
    done = inspect(path, "--trust", trust, "--json")
    assert done.returncode == 0, done.stderr
    (shape,) = shapes(done)
    assert list(shape) == FIELDS
    seal = shape.pop("seal")
    assert shape == {
        "file": str(path),
        "sha256": hashlib.sha256(ENVELOPE).hexdigest(),
        "size": len(ENVELOPE),
        "system": "pec",
        "kind": "posta-certificata",
        "event": None,
        "reason": None,
        "tipo": "posta-certificata",
        "errore": "nessuno",
        "identificativo": SENDING.identificativo,
        "msgid": SENDING.msgid,
        "riferimento": SENDING.msgid,
        "gestore": "Esempio PEC S.p.A.",
        "mittente": "studio@posta.example.it",
        "destinatari": [{"address": "ufficio@avvocati.example", "tipo": "esterno"}],
        "risposte": "altri@posta.example.it",
        "oggetto": "Perché è così",
        "data": "2026-09-15T10:30:01+02:00",
        "ricevuta": "completa",
        "consegna": None,
        "mended": [],
        "outside_seal": [],
    }
    assert seal.pop("reason").startswith(
        'sealed by "Esempio PEC S.p.A." on 15 September 2026 and unchanged since'
    )
    assert seal == {
        "status": "valid",
        "signer": "Esempio PEC S.p.A.",
        "issuer": "Test PEC CA1 0, Archipec Simulator - Not a Real Authority",
        "root": "Test Root CA 0, Archipec Simulator - Not a Real Authority",
        "signed_at": "2026-09-15T08:30:01+00:00",
        "digest": "sha1",
    }


def test_a_valid_message_for_a_person(tmp_path: Path, trust: str) -> None:
    done = inspect(write(tmp_path, "busta.eml", ENVELOPE), "--trust", trust)
    text = done.stdout.decode()
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert done.returncode == 0
    assert lines["kind"] == "posta-certificata"
    assert lines["destinatario"] == "ufficio@avvocati.example (esterno)"
    assert lines["seal"] == "VALID"
    assert "consegna" not in lines


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("altered", "altered", 7),
        ("untrusted", "untrusted", 3),
        ("expired", "expired", 3),
        ("unsigned", "unsigned", 3),
        ("malformed", "malformed", 3),
        ("ordinary", "unsigned", 0),
    ],
)
def test_every_verdict_has_its_exit_code(
    name: str, status: str, code: int, tmp_path: Path, trust: str
) -> None:
    acceptance = PROVIDER.acceptance(SENDING)
    messages = {
        "altered": ENVELOPE.replace(b"Buongiorno", b"Buonasera!"),
        "untrusted": acceptance.replace(b"From: posta-certificata@", b"From: altri@"),
        "expired": with_signature(
            acceptance,
            signature(signed_entity(acceptance), [PROVIDER.certificate], when=shared_authority_start()),
        ),
        "unsigned": b"X-Ricevuta: accettazione\r\n\r\nx",
        "malformed": with_signature(acceptance, b"\x30\x03abc"),
        "ordinary": compose(),
    }
    done = inspect(write(tmp_path, name, messages[name]), "--trust", trust, "--json")
    (shape,) = shapes(done)
    assert shape["seal"]["status"] == status
    assert done.returncode == code


def shared_authority_start() -> Any:
    """A moment before the simulator's certificates are valid."""
    from datetime import timedelta

    from archipec.simulator import LEAF_VALID

    return LEAF_VALID[0] - timedelta(days=1)


def test_of_several_files_the_worst_decides_and_none_stops_the_others(tmp_path: Path, trust: str) -> None:
    good = write(tmp_path, "a.eml", ENVELOPE)
    bad = write(tmp_path, "b.eml", ENVELOPE.replace(b"Buongiorno", b"Buonasera!"))
    done = inspect(good, tmp_path / "missing.eml", bad, compose_file(tmp_path), "--trust", trust, "--json")
    assert done.returncode == 7
    assert [shape["seal"]["status"] for shape in shapes(done)] == ["valid", "altered", "unsigned"]
    assert b"missing.eml" in done.stderr
    done = inspect(good, tmp_path / "missing.eml", "--trust", trust)
    assert done.returncode == 4


def compose_file(folder: Path) -> Path:
    return write(folder, "ordinario.eml", compose())


def test_stdin_and_what_can_not_be_used(tmp_path: Path, trust: str) -> None:
    done = inspect("-", "--trust", trust, "--json", stdin=ENVELOPE)
    assert (done.returncode, shapes(done)[0]["file"]) == (0, "-")
    assert inspect().returncode == 2
    assert inspect("-", "--trust", tmp_path / "nothing").returncode == 4
    assert inspect(tmp_path).returncode == 4


def test_extraction(tmp_path: Path, trust: str) -> None:
    folder = tmp_path / "out"
    done = inspect("-", "--trust", trust, "--extract", folder, "--json", stdin=ENVELOPE)
    assert done.returncode == 0
    assert len(shapes(done)) == 1
    assert (folder / "postacert.eml").read_bytes() == SENDING.postacert
    assert (folder / "attachments" / "contratto.pdf").read_bytes() == PDF.content
    assert b"daticert.xml" in done.stderr
    two = [write(tmp_path, "a.eml", ENVELOPE), write(tmp_path, "b.eml", PROVIDER.acceptance(SENDING))]
    assert inspect(*two, "--trust", trust, "--extract", tmp_path / "two").returncode == 0
    assert (tmp_path / "two" / "a" / "postacert.eml").exists()
    assert [path.name for path in (tmp_path / "two" / "b").iterdir()] == ["daticert.xml"]


def test_nothing_in_a_message_commands_the_terminal(tmp_path: Path, trust: str) -> None:
    hostile = "\x1b[2J\x1b]0;titolo\x07\u202egnp\x9b31m\x7f"
    sending = PROVIDER.accept(compose(subject=hostile))
    message = PROVIDER.acceptance(sending).replace(
        b"Riferimento-Message-ID: ", b"Riferimento-Message-ID: \x1b[31m\xe8"
    )
    path = write(tmp_path, "x.eml", message)
    for arguments in ((), ("--json",)):
        done = inspect(path, "--trust", trust, *arguments)
        assert done.returncode == 0
        text = done.stdout.decode()
        assert "\\x1b[31m" in text or "\\u001b[31m" in text
        assert all(character == "\n" or character.isprintable() for character in text)


def test_the_reason_says_what_a_person_must_know(tmp_path: Path, trust: str) -> None:
    entity = signed_entity(ENVELOPE)
    stranger = certificate(PROVIDER, extended_key_usage=["server_auth"])
    path = write(tmp_path, "x.eml", with_signature(ENVELOPE, signature(entity, [stranger])))
    done = inspect(path, "--trust", trust)
    assert done.returncode == 3
    assert "UNTRUSTED" in done.stdout.decode()
    assert 'the signer "Esempio PEC S.p.A." has a certificate that is not for mail' in done.stdout.decode()


def test_rem_that_nobody_sealed(tmp_path: Path) -> None:
    raw = (
        b"From: a@b.it\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: application/xml; name=RelayAcceptance.xml\r\n"
        b'\r\n<a xmlns="http://uri.etsi.org/19522/v1#"/>\r\n--x--\r\n'
    )
    done = inspect(write(tmp_path, "rem.eml", raw))
    assert done.returncode == 3
    shown = done.stdout.decode()
    assert "REM" in shown and "UNSIGNED" in shown and "RelayAcceptance (not verified)" in shown
    (shape,) = shapes(inspect(tmp_path / "rem.eml", "--json"))
    assert list(shape) == [*FIELDS, "rem"]
    assert shape["rem"] == {
        "evidence": ["RelayAcceptance"],
        "original": False,
        "verified": False,
        "reasons": [],
    }


def test_a_receipt_of_rem(tmp_path: Path, trust: str) -> None:
    provider = RemProvider(number=1)
    sending = provider.accept(compose(subject="Perché è così"))
    message = provider.receipt(sending, "ContentConsignmentFailure", reason="RD04")
    path = write(tmp_path, "rem.eml", message)
    done = inspect(path, "--trust", trust)
    assert done.returncode == 0, done.stderr
    shown = [re.split(r" {2,}", line, maxsplit=1) for line in done.stdout.decode().splitlines()]
    assert ["system", "REM"] in shown
    assert ["event reason", "RD04: not delivered: the recipient's mailbox is full"] in shown
    assert ["concerns", sending.recipients[0]] in shown
    (shape,) = shapes(inspect(path, "--trust", trust, "--json"))
    assert list(shape) == [*FIELDS, "rem"]
    assert {
        name: shape[name] for name in ("system", "kind", "event", "reason", "consegna", "identificativo")
    } == {
        "system": "rem",
        "kind": "errore-consegna",
        "event": "ContentConsignmentFailure",
        "reason": "RD04",
        "consegna": sending.recipients[0],
        "identificativo": sending.message_id,
    }
    assert shape["seal"]["status"] == "valid"
    assert shape["rem"]["verified"] is True
    assert shape["rem"]["stamp"]["authority"] == "Test TSA 0"


def test_a_message_of_rem_by_nobody_on_a_list_is_intact_and_the_command_that_helps_is_named(
    tmp_path: Path,
) -> None:
    done = inspect(write(tmp_path, "rem.eml", RemProvider().dispatch(compose())))
    assert done.returncode == 3
    shown = done.stdout.decode()
    assert "UNTRUSTED" in shown
    assert 'intact, but the signer "Esempio REM S.p.A." and its issuer' in shown
    assert "are on no list that you gave" in shown
    assert "--trust-list FILE" in shown


def test_what_is_outside_the_seal_is_named_and_never_extracted_as_sealed(tmp_path: Path, trust: str) -> None:
    text = b"Content-Type: text/plain\r\n\r\nPagate entro domani.\r\n"
    data = b'Content-Type: text/xml; name="daticert.xml"\r\n\r\n<postacert tipo="errore-consegna"/>\r\n'
    path = write(tmp_path, "x.eml", around(PROVIDER.delivery(SENDING), data, FORGED, before=text))
    done = inspect(path, "--trust", trust, "--json", "--extract", tmp_path / "out")
    (shape,) = shapes(done)
    assert done.returncode == 3
    assert (shape["kind"], shape["seal"]["status"]) == ("avvenuta-consegna", "valid")
    assert [one["name"] for one in shape["outside_seal"]] == ["", "daticert.xml", "atto-falso.pdf"]
    assert "not covered by the seal" in shape["seal"]["reason"]
    files = sorted(one.name for one in (tmp_path / "out").rglob("*") if one.is_file())
    assert files == ["contratto.pdf", "daticert.xml", "postacert.eml"]
    assert b"errore-consegna" not in (tmp_path / "out" / "daticert.xml").read_bytes()
    shown = inspect(path, "--trust", trust).stdout.decode()
    assert "outside seal   atto-falso.pdf (application/pdf, " in shown


def test_mended_certification_data_is_said(tmp_path: Path, trust: str) -> None:
    message = with_daticert(
        lambda xml: xml.replace("Perché".encode(), b"Perch&#18;"), PROVIDER.acceptance(SENDING), PROVIDER
    )
    path = write(tmp_path, "x.eml", message)
    done = inspect(path, "--trust", trust, "--json")
    (shape,) = shapes(done)
    assert (done.returncode, shape["seal"]["status"], shape["oggetto"]) == (0, "valid", "Perch\ufffd è così")
    assert shape["mended"] == ["references to characters that XML does not allow were replaced"]
    assert "mended         references" in inspect(path, "--trust", trust).stdout.decode()


@pytest.mark.parametrize(
    ("raw", "words", "hint"),
    [
        (b"From - Mon Mar  3 10:00:00 2025\r\n" + ENVELOPE + b"\r\nFrom - Mon Mar  3 10:00:01 2025\r\n" + ENVELOPE, "it is an mbox", "archipec archive --from mbox:"),
        (shared_authority().root_pem.encode(), "it holds a certificate (PEM)", "--trust"),
        (shared_authority().root, "in DER", "--trust"),
        (b"PK\x03\x04abc", "it is a zip", "archipec archive --from zip:"),
        (b"%PDF-1.7", "it is a PDF", ".eml"),
        (b'<?xml version="1.0"?><postacert/>', "it is XML", ".eml"),
        (b"\0\1\2\3", "bytes that are no text", ".eml"),
        (b"", "it is empty", ".eml"),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused_with_a_way_out(
    raw: bytes, words: str, hint: str, tmp_path: Path, trust: str
) -> None:
    path = write(tmp_path, "x", raw)
    done = inspect(path, write(tmp_path, "good.eml", ENVELOPE), "--trust", trust, "--json")
    assert done.returncode == 4
    assert [one["seal"]["status"] for one in shapes(done)] == ["valid"]
    assert f"{path} is not a message: ".encode() in done.stderr
    assert words.encode() in done.stderr and hint.encode() in done.stderr
    assert inspect("-", stdin=raw).returncode == 4


def test_one_message_behind_a_separator_is_a_message(tmp_path: Path, trust: str) -> None:
    path = write(tmp_path, "x.eml", b"From mario@example.it Mon Mar  3 10:00:00 2025\r\n" + ENVELOPE)
    assert inspect(path, "--trust", trust).returncode == 0


@pytest.mark.timeout(60)
def test_a_hostile_sender_holds_nothing_up(tmp_path: Path, trust: str) -> None:
    hostile = ENVELOPE.replace(b"\r\nFrom: ", b"\r\nFrom: " + b'\\"' * 100_000 + b"\r\nFrom: ", 1)
    assert hostile != ENVELOPE
    done = inspect(write(tmp_path, "busta.eml", hostile), "--trust", trust, "--json")
    assert done.returncode == 3, done.stderr
    assert shapes(done)[0]["seal"]["status"] == "untrusted"
