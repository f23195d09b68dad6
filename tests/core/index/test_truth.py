"""Words put into every place of a message are read from there, whole, and nothing else is."""

from __future__ import annotations

import base64
import os
import quopri
import re

import pytest

from archipec.index.record import IndexedMessage, Place
from archipec.simulator import STYLES, Attachment, Provider, RemProvider, Stream, compose
from archipec.simulator.files import docx, odt, pdf, pptx, signed, time_stamped, xlsx, zipped
from archipec.simulator.invoices import InvoiceFacts, invoice
from testbed.indexing import indexed

MESSAGES = 2000 if os.environ.get("ARCHIPEC_DEPTH") == "full" else 40
WORD = re.compile(r"[^\W_]+")
SYLLABLES = ("ca", "mé", "lò", "gni", "trà", "sco", "vu", "qua", "zì", "pe", "bri", "fo")


def word(stream: Stream) -> str:
    """A word of some syllables, accents included, that no other place is likely to have."""
    return "".join(stream.pick(SYLLABLES) for _ in range(6)) + stream.hex(4)


def found(text: str) -> set[str]:
    return set(WORD.findall(text))


def in_place(message: IndexedMessage, place: Place) -> set[str]:
    return found(" ".join(one.text for one in message.texts if one.place is place))


def in_files(message: IndexedMessage) -> dict[str, set[str]]:
    return {
        message.attachments[one.attachment].path: found(one.text)
        for one in message.texts
        if one.attachment is not None
    }


def original(
    body: list[str], html: list[str], subject: str, files: dict[str, bytes], stream: Stream
) -> bytes:
    """A message as programs write it: quoted-printable that breaks words, HTML with entities, names in RFC 2231."""
    plain = quopri.encodestring(" ".join(body).encode()).replace(b"\n", b"\r\n")
    marked = "".join(f"<p>dell&#8217;<b>{one[:3]}</b>{one[3:]}</p>" for one in html)
    page = f'<html><head><style>x{{}}</style></head><body>{marked}<img alt="{html[0]}"></body></html>'
    parts = [
        b"Content-Type: multipart/alternative; boundary=inner\r\n\r\n--inner\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + plain
        + b"\r\n--inner\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(page.encode("latin-1")) + b"\r\n--inner--\r\n"
    ]  # fmt: skip
    for name, content in files.items():
        encoded = "".join(f"%{octet:02X}" for octet in name.encode())
        parts.append(
            f"Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename*=UTF-8''{encoded}\r\n"
            "Content-Transfer-Encoding: base64\r\n\r\n".encode()
            + base64.encodebytes(content)
        )
    named = base64.b64encode(subject.encode()).decode()
    head = (
        "Date: Tue, 15 Sep 2026 10:30:00 +0200\r\nFrom: studio@posta.example.it\r\nTo: ufficio@avvocati.example\r\n"
        f"Subject: =?utf-8?B?{named}?=\r\nMessage-ID: <{stream.hex(8)}@posta.example.it>\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=outer\r\n\r\n"
    )
    return head.encode() + b"".join(b"--outer\r\n" + part + b"\r\n" for part in parts) + b"--outer--\r\n"


@pytest.mark.parametrize("number", range(MESSAGES))
def test_every_word_is_read_from_its_place_and_no_other(number: int) -> None:
    stream = Stream("truth", number)
    words = {
        name: [word(stream) for _ in range(12)]
        for name in ("body", "html", "pdf", "docx", "xlsx", "odt", "pptx", "p7m", "tsd", "txt")
    }
    subject, name = f"Oggetto {word(stream)}", f"atto {word(stream)}"
    texts = {kind: " ".join(all_of) for kind, all_of in words.items()}
    files = {
        f"{name}.pdf": pdf(texts["pdf"]),
        f"{name}.docx": docx(*words["docx"]),
        f"{name}.xlsx": xlsx(words["xlsx"]),
        f"{name}.odt": odt(texts["odt"]),
        f"{name}.zip": zipped(
            {"a/b.pptx": pptx(texts["pptx"]), "c.pdf.p7m": signed(signed(pdf(texts["p7m"])))}
        ),
        f"{name}.txt.tsd": time_stamped(texts["tsd"].encode()),
        f"{name}.txt": texts["txt"].encode("cp1252"),
    }
    raw = original(words["body"], words["html"], subject, files, stream)
    style = stream.pick(STYLES)
    if number % 4 == 3:
        rem = RemProvider(seed=number)
        sending = rem.accept(raw)
        envelope = rem.dispatch(sending)
    else:
        provider = Provider(seed=number, style=style)
        sent = provider.accept(raw)
        envelope = provider.delivery(sent) if number % 4 == 2 else provider.envelope(sent)
    message = indexed(envelope)
    assert message.subject == subject
    # The plain text, then the HTML, which says more: its words, joined over marks, and the apostrophe's.
    assert in_place(message, Place.INNER) == {*words["body"], *words["html"], "dell"}
    assert in_files(message) == {
        f"{name}.pdf": set(words["pdf"]),
        f"{name}.docx": set(words["docx"]),
        f"{name}.xlsx": set(words["xlsx"]),
        f"{name}.odt": set(words["odt"]),
        f"{name}.zip/a/b.pptx": set(words["pptx"]),
        f"{name}.zip/c.pdf.p7m/c.pdf/c.pdf": set(words["p7m"]),
        f"{name}.txt.tsd/{name}.txt": set(words["tsd"]),
        f"{name}.txt": set(words["txt"]),
    }
    everywhere = set().union(*words.values())
    assert not in_place(message, Place.ENVELOPE) & everywhere
    assert not message.problems
    assert all(not one.problem for one in message.attachments)


def test_what_a_receipt_says_is_read() -> None:
    provider = Provider(seed=4)
    sending = provider.accept(compose(subject="Prova"))
    message = indexed(provider.failure(sending))
    assert "indirizzo non valido" in " ".join(one.text for one in message.texts)
    assert message.kind == "errore-consegna"
    assert "ufficio@avvocati.example" in {one.address for one in message.parties if one.role == "concerned"}


def test_files_that_a_short_receipt_names_alone_have_no_text_of_theirs() -> None:
    provider = Provider(seed=6)
    files = [Attachment("contratto.pdf", pdf("clausola")), Attachment("fattura.xml", invoice(InvoiceFacts()))]
    sending = provider.accept(compose(attachments=files, receipt="breve"))
    message = indexed(provider.delivery(sending))
    assert [one.path.split(".")[0] for one in message.attachments] == ["contratto", "fattura"]
    assert not message.invoices
    assert "clausola" not in " ".join(one.text for one in message.texts)
