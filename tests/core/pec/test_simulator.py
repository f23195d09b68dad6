"""The simulator's messages: shapes, quirks, determinism, a whole mailbox."""

from __future__ import annotations

import base64
import hashlib
import os
import quopri
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.pec.date import received_date
from archipec.pec.headers import all_fields, decoded_text, first_field
from archipec.pec.kind import KINDS, kind_of
from archipec.simulator import (
    ARUBA_2014,
    ARUBA_2018,
    ARUBA_2026,
    LEGALMAIL_2018,
    NAMIRIAL_2024,
    STYLES,
    Attachment,
    Provider,
    Sample,
    Stream,
    Style,
    compose,
    mailbox,
    shared_authority,
)
from archipec.simulator.breve import shortened
from archipec.simulator.clock import italian_time, rfc_date

DTD = Path(__file__).parents[4] / "shared" / "reference" / "schemas" / "pec" / "daticert.dtd"
PDF = Attachment("contratto.pdf", b"%PDF-1.7 " + bytes(range(256)))
ORIGINAL = compose(subject="Perché è così", cc=["protocollo@imprese.example"], attachments=[PDF])
# RFC 6109 §4.4: what may stand where in daticert.xml.
MODELS = {
    "postacert": "intestazione dati ",
    "intestazione": "mittente (destinatari )+risposte (oggetto )?",
    "dati": "gestore-emittente data identificativo (msgid )?(ricevuta )?(consegna )?(ricezione )*(errore-esteso )?",
    "data": "giorno ora ",
}
TIPI = {
    "accettazione",
    "non-accettazione",
    "presa-in-carico",
    "avvenuta-consegna",
    "posta-certificata",
    "errore-consegna",
    "preavviso-errore-consegna",
    "rilevazione-virus",
}


def messages(style: Style, original: bytes = ORIGINAL) -> dict[str, bytes]:
    """One message of every kind and variant."""
    provider = Provider(seed=2, style=style)
    sending = provider.accept(original)
    return {
        "envelope": provider.envelope(sending),
        "anomaly": provider.anomaly(sending),
        "acceptance": provider.acceptance(sending),
        "non-acceptance": provider.non_acceptance(sending),
        "non-acceptance-virus": provider.virus_non_acceptance(sending),
        "taken-in-charge": provider.taken_in_charge(sending),
        "virus-detected": provider.virus_detected(sending),
        "delivery": provider.delivery(sending),
        "delivery-cc": provider.delivery(sending, "protocollo@imprese.example"),
        "delivery-breve": provider.delivery(sending, receipt="breve"),
        "delivery-sintetica": provider.delivery(sending, receipt="sintetica"),
        "failure": provider.failure(sending),
        "failure-virus": provider.virus_failure(sending),
        "timeout-12": provider.timeout_notice(sending),
        "timeout-24": provider.timeout_notice(sending, hours=24),
    }


def part(message: bytes, name: str) -> bytes:
    """The decoded content of the first part with a file name."""
    head = rb'(?:Content-[^\r\n]+\r\n)*Content-Type: [^\r\n]*name="?' + re.escape(name.encode())
    match = re.search(head + rb"[^\0]*?\r\n\r\n", message)
    assert match is not None, name
    start = message.rindex(b"\r\n--", 0, match.start() + 2)
    mark = message[start : message.index(b"\r\n", start + 2)]
    content = message[match.end() : message.index(mark, match.end())]
    if b"base64" in match[0]:
        return base64.b64decode(content)
    return quopri.decodestring(content) if b"quoted-printable" in match[0] else content


@pytest.fixture(params=STYLES, ids=lambda style: style.name)
def style(request: pytest.FixtureRequest) -> Style:
    chosen = request.param
    assert isinstance(chosen, Style)
    return chosen


def test_every_line_ends_with_crlf(style: Style) -> None:
    for name, message in messages(style).items():
        assert message.endswith(b"\r\n"), name
        assert message.count(b"\n") == message.count(b"\r\n") == message.count(b"\r"), name
        assert max(map(len, message.split(b"\r\n"))) < 999, name


def test_header_of_receipts(style: Style) -> None:
    made = messages(style)
    msgid = first_field(ORIGINAL, "Message-ID")
    for name, message in made.items():
        assert first_field(message, "X-Riferimento-Message-ID") == msgid, name
        if name not in ("envelope", "anomaly"):
            assert first_field(message, "From") == f"posta-certificata@{style.domain}".encode()
            assert first_field(message, "X-Trasporto") is None
            assert first_field(message, "Return-Path") == f"<posta-certificata@{style.domain}>".encode()
        assert received_date(message) == parsedate_to_datetime((first_field(message, "Date") or b"").decode())
    assert len({first_field(message, "Message-ID") for message in made.values()}) == len(made)
    for name in ("non-acceptance-virus", "failure-virus"):
        assert first_field(made[name], "X-VerificaSicurezza") == b"errore"
    assert first_field(made["virus-detected"], "X-Mittente") == b"studio@posta.example.it"
    assert first_field(made["taken-in-charge"], "To") == f"ricevute@{style.domain}".encode()


def test_header_of_envelopes(style: Style) -> None:
    made = messages(style)
    author = f'"Per conto di: studio@posta.example.it" <posta-certificata@{style.domain}>'.encode()
    for name in ("envelope", "anomaly"):
        assert first_field(made[name], "From") == author
        assert first_field(made[name], "To") == b"ufficio@avvocati.example"
        assert first_field(made[name], "Cc") == b"protocollo@imprese.example"
        assert first_field(made[name], "X-Ricevuta") is None
    assert first_field(made["envelope"], "Sender") == (author if style.sender else None)
    assert first_field(made["envelope"], "Reply-To") == b"studio@posta.example.it"
    assert first_field(made["anomaly"], "Message-ID") == first_field(ORIGINAL, "Message-ID")
    assert b"daticert" not in made["anomaly"]
    own = compose(reply_to="altro@posta.example.it")
    assert all_fields(Provider(style=style).envelope(own), "Reply-To") == [b"altro@posta.example.it"]


def test_subjects_encode_the_prefix_too(style: Style) -> None:
    subject = first_field(messages(style)["delivery"], "Subject")
    assert subject is not None
    assert subject.startswith(b"=?UTF-8?Q?CONSEGNA=3A_")
    assert decoded_text(subject) == "CONSEGNA: Perché è così"
    plain = first_field(
        Provider(style=style).failure(compose(subject="a" * 30 + " " + "b c " * 30)), "Subject"
    )
    assert plain == b"AVVISO DI MANCATA CONSEGNA: " + b"a" * 30 + b" " + b"b c " * 29 + b"b c"


def test_the_quirks_of_each_style() -> None:
    old, new = messages(ARUBA_2018), messages(ARUBA_2026)
    assert b"\r\nX-Tiporicevuta: completa\r\n" in old["envelope"]
    assert b'micalg="sha1"' in old["envelope"]
    assert b'protocol="application/x-pkcs7-signature"' in old["envelope"]
    assert b"\r\nContent-Transfer-Encoding: binary\r\n" in old["envelope"]
    assert b"<risposte></risposte>" in part(old["acceptance"], "daticert.xml")
    assert b"text/html" not in messages(ARUBA_2014)["acceptance"]
    assert b"micalg=sha1;" in messages(ARUBA_2014)["acceptance"]
    assert b"micalg=sha-256;" in new["envelope"]
    assert b"This is a S/MIME signed message" in new["acceptance"]
    assert b"S/MIME signed message" not in new["delivery"]
    assert b"=EF=BF=BD" in new["acceptance"]
    assert first_field(new["envelope"], "X-Attachment") == b"yes"
    assert first_field(new["failure"], "X-REM-Subject") is None
    rem = first_field(new["delivery"], "X-REM-Subject")
    assert rem is not None
    assert decoded_text(rem) == "REM ContentConsignment: Perché è così"
    legal = messages(LEGALMAIL_2018)["delivery"]
    assert legal.index(b"name=postacert.eml") < legal.index(b"name=daticert.xml")
    assert b"application/pkcs7-signature; name=smime.p7s; smime-type=signed-data" in legal
    namirial = messages(NAMIRIAL_2024)["envelope"]
    assert first_field(namirial, "X-TipoRicevuta") is None
    assert part(namirial, "daticert.xml").endswith(b"</postacert>\n\r\n")


def test_identifiers_have_their_engines_shape() -> None:
    shapes = {
        "opec": r"opec\d+\.\d{14}\.\d+\.\d+\.\d+\.\d+@",
        "jpec": r"jpec\d+\.\d{14}\.\d+\.\d+\.\d+\.\d+@",
        "hex": r"([0-9A-F]{8}\.){4}posta-certificata@",
    }
    for style in STYLES:
        provider = Provider(style=style)
        sending = provider.accept(ORIGINAL)
        assert re.fullmatch(shapes[style.ids] + re.escape(style.domain), sending.identificativo)
        assert first_field(provider.envelope(sending), "Message-ID") == f"<{sending.identificativo}>".encode()
        acceptance = (first_field(provider.acceptance(sending), "Message-ID") or b"").decode()
        if style.ids == "jpec":
            assert acceptance.startswith("<" + sending.identificativo.partition("@")[0].rpartition(".")[0])
        if style.ids == "opec":
            assert (
                acceptance.count(".", 0, acceptance.index("@"))
                == sending.identificativo.partition("@")[0].count(".") + 1
            )


def test_postacert_is_the_original_but_for_its_message_id(style: Style) -> None:
    provider = Provider(style=style)
    sending = provider.accept(ORIGINAL)
    inside = part(provider.envelope(sending), "postacert.eml")
    assert inside + b"\r\n" == sending.postacert + b"\r\n" or inside == sending.postacert
    assert first_field(inside, "Message-ID") == f"<{sending.identificativo}>".encode()
    assert first_field(inside, "X-Riferimento-Message-ID") == first_field(ORIGINAL, "Message-ID")
    assert first_field(inside, "Received")
    lines = set(inside.split(b"\r\n"))
    missing = [line for line in ORIGINAL.split(b"\r\n") if line not in lines]
    assert [line[:11] for line in missing] == [b"Message-ID:"]


def test_which_receipts_repeat_the_original(style: Style) -> None:
    made = messages(style)
    holders = {name for name, message in made.items() if b"postacert.eml" in message}
    assert holders == {"envelope", "anomaly", "delivery", "delivery-breve"}
    assert part(made["anomaly"], "postacert.eml") == ORIGINAL


def test_a_short_receipt_holds_hashes() -> None:
    inside = part(messages(ARUBA_2026)["delivery-breve"], "postacert.eml")
    encoded = ORIGINAL[ORIGINAL.index(b"JVBERi0") :].partition(b"\r\n--")[0]
    assert part(inside, "contratto.pdf.hash").strip() == hashlib.sha1(encoded).hexdigest().encode()
    assert b"JVBERi0" not in inside
    assert b"Buongiorno" in inside


def test_a_short_receipt_leaves_signatures_and_opaque_messages() -> None:
    signed = (
        b'Content-Type: multipart/signed; boundary=B\r\n\r\n--B\r\nContent-Type: application/pdf; name="a.pdf"\r\n'
        b'\r\nAAAA\r\n--B\r\nContent-Type: application/pkcs7-signature; name="smime.p7s"\r\n\r\nMIIB\r\n--B--\r\n'
    )
    short = shortened(signed)
    assert b"MIIB" in short
    assert b"AAAA" not in short
    opaque = b'Content-Type: application/pkcs7-mime; name="smime.p7m"\r\n\r\nMIIB\r\n'
    assert shortened(opaque) == opaque
    assert shortened(b"no header at all") == b"no header at all"


def test_certification_data_has_the_standard_shape(style: Style) -> None:
    for name, message in messages(style).items():
        if name == "anomaly":
            continue
        xml = part(message, "daticert.xml")
        assert xml.startswith(b'<?xml version="1.0" encoding="UTF-8"?>'), name
        assert b"<!DOCTYPE" not in xml
        assert b"\n    <intestazione>" in xml.replace(b"\r", b"")
        assert b"&lt;" in xml
        root = ET.fromstring(xml)  # the writer's own output
        for element in root.iter():
            model = MODELS.get(element.tag)
            children = "".join(f"{child.tag} " for child in element)
            assert re.fullmatch(model or "", children), (name, element.tag, children)
        assert root.get("tipo") in TIPI
        assert root.get("tipo") == kind_of(message)
        assert root.get("errore") in {"nessuno", "no-dest", "no-dominio", "virus", "altro"}
        assert (root.get("errore") == "virus") == ("virus" in name), name
        has_kind = root.find("dati/ricevuta") is not None
        assert has_kind == (name == "envelope" or name.startswith("delivery")), name
        data = root.find("dati/data")
        assert data is not None
        assert re.fullmatch(r"[+-]\d{4}", data.get("zona") or "")


def test_the_two_timeout_notices_differ_in_the_reason_alone() -> None:
    made = messages(ARUBA_2026)
    reasons = [
        ET.fromstring(part(made[name], "daticert.xml")).findtext("dati/errore-esteso")
        for name in made
        if "timeout" in name
    ]
    assert [(reason or "")[:5] for reason in reasons] == ["4.4.1", "5.4.1"]
    assert first_field(made["timeout-12"], "Subject") == first_field(made["timeout-24"], "Subject")
    with pytest.raises(KeyError):
        Provider().timeout_notice(ORIGINAL, hours=36)


def test_certification_data_is_valid_against_the_dtd(style: Style, tmp_path: Path) -> None:
    if not DTD.exists():
        pytest.skip("the DTD of daticert.xml is not beside this checkout")
    models = {
        name: "".join(model.split())
        for name, model in re.findall(r"<!ELEMENT (\S+) \(([^)#]+)\)>", DTD.read_text(encoding="utf-8"))
    }
    ours = {
        name: re.sub(r"\((\S+) \)([+?*])", r"\1\2 ", model).strip().replace(" ", ",")
        for name, model in MODELS.items()
    }
    assert models == ours
    program = shutil.which("xmllint")
    if program is None:
        return  # the structural check above holds the same models
    for name, message in messages(style).items():
        if name != "anomaly":
            (tmp_path / "daticert.xml").write_bytes(part(message, "daticert.xml"))
            command = [program, "--nonet", "--noout", "--dtdvalid", str(DTD), str(tmp_path / "daticert.xml")]
            done = subprocess.run(command, capture_output=True, check=False)
            assert done.returncode == 0, (name, done.stderr)


def test_external_recipients_and_a_missing_message_id() -> None:
    provider = Provider()
    original = compose(to=["a@fuori.example", "b@imprese.example"], message_id=None)
    sending = provider.accept(original, external=["a@fuori.example"])
    xml = ET.fromstring(part(provider.acceptance(sending), "daticert.xml"))
    assert [(e.text, e.get("tipo")) for e in xml.iter("destinatari")] == [
        ("a@fuori.example", "esterno"),
        ("b@imprese.example", "certificato"),
    ]
    assert xml.find("dati/msgid") is None
    assert first_field(provider.acceptance(sending), "X-Riferimento-Message-ID") is None
    assert first_field(sending.postacert, "Message-ID") == f"<{sending.identificativo}>".encode()


def test_the_client_chooses_the_kind_of_receipt() -> None:
    provider = Provider()
    sending = provider.accept(compose(receipt="breve"))
    xml = ET.fromstring(part(provider.delivery(sending), "daticert.xml"))
    assert [e.get("tipo") for e in xml.iter("ricevuta")] == ["breve"]


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_any_original_can_be_sealed(junk: bytes) -> None:
    provider = Provider(style=ARUBA_2018)
    for original in (junk, b"Subject: " + junk + b"\r\nFrom: " + junk + b"\r\n\r\n" + junk):
        sending = provider.accept(original)
        message = provider.envelope(sending)
        assert kind_of(message) == "posta-certificata"
        ET.fromstring(part(message, "daticert.xml"))
        assert kind_of(provider.delivery(sending, receipt="breve")) == "avvenuta-consegna"
        assert kind_of(provider.anomaly(original)) == "anomalia"


def digest(samples: list[Sample]) -> str:
    total = hashlib.sha256()
    for sample in samples:
        total.update(
            f"{sample.kind}|{sample.folder}|{sample.received.isoformat()}|{len(sample.raw)}|".encode()
        )
        total.update(sample.raw)
    return total.hexdigest()


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    here = digest(list(mailbox(40, seed=9)))
    assert here == digest(list(mailbox(40, seed=9)))
    assert here != digest(list(mailbox(40, seed=10)))
    code = (
        "import sys, hashlib; from archipec.simulator import mailbox, shared_authority\n"
        "total = hashlib.sha256()\n"
        "for s in mailbox(40, seed=9):\n"
        "    total.update(f'{s.kind}|{s.folder}|{s.received.isoformat()}|{len(s.raw)}|'.encode() + s.raw)\n"
        "print(total.hexdigest(), hashlib.sha256(shared_authority().root).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == [here, hashlib.sha256(shared_authority().root).hexdigest()]


def test_calls_do_not_depend_on_each_other() -> None:
    provider = Provider(seed=4)
    first = provider.acceptance(ORIGINAL)
    provider.envelope(compose(subject="altro"))
    assert provider.acceptance(ORIGINAL) == first == Provider(seed=4).acceptance(ORIGINAL)
    assert Provider(seed=5).acceptance(ORIGINAL) != first


def test_a_mailbox_has_every_kind_in_order_of_arrival() -> None:
    samples = list(mailbox(1200, seed=1, size=15_000))
    assert len(samples) == 1200
    counted = Counter(sample.kind for sample in samples)
    assert set(counted) == {kind for kind in KINDS if not kind.startswith("rem-")} - {"unknown"}
    assert counted["accettazione"] > counted["errore-consegna"]
    assert [s.received for s in samples] == sorted(s.received for s in samples)
    assert samples[-1].received <= datetime(2026, 10, 2, tzinfo=UTC)
    mean = sum(len(sample.raw) for sample in samples) / len(samples)
    assert 0.95 * 15_000 < mean < 1.05 * 15_000
    for sample in samples:
        assert kind_of(sample.raw) == sample.kind
        assert sample.folder == ("INBOX.Inviata" if b"\r\nReceived:" not in sample.raw else "INBOX")
        if sample.folder == "INBOX":
            assert received_date(sample.raw) == sample.received
    assert len({sample.raw for sample in samples}) == len(samples)


def test_receipts_of_a_mailbox_match_what_was_sent() -> None:
    samples = list(mailbox(300, seed=6, size=9_000, mix={"sent": 3, "failed": 1}))
    sent = {sample.msgid for sample in samples if sample.folder != "INBOX"}
    accepted = {sample.identificativo: sample.msgid for sample in samples if sample.kind == "accettazione"}
    assert set(accepted.values()) <= sent
    outcomes = [sample for sample in samples if sample.kind in ("avvenuta-consegna", "errore-consegna")]
    assert outcomes
    assert all(accepted[sample.identificativo] == sample.msgid for sample in outcomes)


def test_a_mix_of_one_and_its_errors() -> None:
    only = list(
        mailbox(50, size=30_000, mix={"received": 1}, style=LEGALMAIL_2018, address="m@avvocati.example")
    )
    assert {sample.kind for sample in only} == {"posta-certificata"}
    assert all(first_field(sample.raw, "To") == b"m@avvocati.example" for sample in only)
    with pytest.raises(KeyError):
        next(mailbox(1, mix={"surprise": 1}))
    assert list(mailbox(0)) == []
    crowded = datetime(2026, 1, 1, tzinfo=UTC)
    assert len(list(mailbox(20, mix={"stray": 1}, start=crowded, end=crowded + timedelta(seconds=5)))) == 20


def test_italian_time() -> None:
    assert rfc_date(datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)) == "Sun, 29 Mar 2026 01:59:59 +0100"
    assert rfc_date(datetime(2026, 3, 29, 1, 0, 0, tzinfo=UTC)) == "Sun, 29 Mar 2026 03:00:00 +0200"
    assert rfc_date(datetime(2026, 10, 25, 1, 0, 0, tzinfo=UTC)) == "Sun, 25 Oct 2026 02:00:00 +0100"
    assert italian_time(datetime(2026, 1, 1, 23, 30, tzinfo=UTC)).day == 2


def test_streams_are_fixed_by_their_labels() -> None:
    assert Stream("a", 1).take(8).hex() == Stream("a", 1).take(4).hex() + Stream("a", 1).take(8)[4:].hex()
    assert Stream("a", 1).take(8) != Stream("a1").take(8)
    stream = Stream("numbers")
    assert {stream.between(3, 5) for _ in range(100)} == {3, 4, 5}
    assert len(stream.take(100_000)) == 100_000
    assert len(stream.hex(7)) == 7
