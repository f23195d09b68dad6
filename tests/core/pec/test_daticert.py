"""`archipec.pec.daticert`: certification data, also where it is odd, damaged or hostile."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.errors import IntegrityError
from archipec.pec.daticert import MAX_SIZE, CertificationData, Destinatario, parse_daticert
from archipec.pec.simulator import NAMIRIAL_2024, STYLES, Provider, Style, compose
from archipec.pec.structure import dissect

XML = """<?xml version="1.0" encoding="UTF-8"?>
<postacert tipo="errore-consegna" errore="altro">
    <intestazione>
        <mittente>studio@posta.example.it</mittente>
        <destinatari tipo="certificato">ufficio@avvocati.example</destinatari>
        <destinatari tipo="esterno">privato@example.org</destinatari>
        <destinatari>senza@example.org</destinatari>
        <risposte></risposte>
        <oggetto>Perché &lt;è&gt; &amp; così</oggetto>
    </intestazione>
    <dati>
        <gestore-emittente>Esempio PEC S.p.A.</gestore-emittente>
        <data zona="+0200">
            <giorno>16/09/2026</giorno>
            <ora>00:30:05</ora>
        </data>
        <identificativo>opec1.2@pec.example.it</identificativo>
        <msgid>&lt;a@b&gt;</msgid>
        <ricevuta tipo="completa" />
        <consegna>ufficio@avvocati.example</consegna>
        <ricezione>a@example.it</ricezione>
        <ricezione>b@example.it</ricezione>
        <errore-esteso> 5.1.1 - Esempio PEC S.p.A. - indirizzo non valido</errore-esteso>
    </dati>
</postacert>
"""


def test_every_field() -> None:
    assert parse_daticert(XML.encode()) == CertificationData(
        tipo="errore-consegna",
        errore="altro",
        mittente="studio@posta.example.it",
        destinatari=(
            Destinatario("ufficio@avvocati.example", "certificato"),
            Destinatario("privato@example.org", "esterno"),
            Destinatario("senza@example.org", "certificato"),
        ),
        risposte="",
        oggetto="Perché <è> & così",
        gestore="Esempio PEC S.p.A.",
        data=datetime(2026, 9, 16, 0, 30, 5, tzinfo=timezone(timedelta(hours=2))),
        identificativo="opec1.2@pec.example.it",
        msgid="<a@b>",
        ricevuta="completa",
        consegna="ufficio@avvocati.example",
        ricezione=("a@example.it", "b@example.it"),
        errore_esteso="5.1.1 - Esempio PEC S.p.A. - indirizzo non valido",
    )


def test_the_date_keeps_the_zone_of_the_document() -> None:
    date = parse_daticert(XML.encode()).data
    assert date is not None
    assert date.isoformat() == "2026-09-16T00:30:05+02:00"
    assert date.astimezone(UTC).day == 15


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("+0200", "-0130", "2026-09-16T00:30:05-01:30"),
        ("+0200", "+02:00", "2026-09-16T00:30:05+02:00"),
        ("00:30:05", "00:30", "2026-09-16T00:30:00+02:00"),
        ("16/09/2026", " 6/9/2026\n", "2026-09-06T00:30:05+02:00"),
        ("+0200", "CEST", None),
        ("+0200", "+9900", None),
        ("16/09/2026", "31/02/2026", None),
        ("16/09/2026", "2026-09-16", None),
        ("16/09/2026", "16/09/9999", None),
        ("00:30:05", "25:00:00", None),
    ],
)
def test_dates(old: str, new: str, expected: str | None) -> None:
    date = parse_daticert(XML.replace(old, new).encode()).data
    assert (date.isoformat() if date else None) == expected


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("5.1.1 - Esempio", "5.1.1"),
        ("5.5.1, Esempio, presenza di un virus", "5.5.1"),
        ("5.4.12 x", "5.4.12"),
        ("casella piena", None),
        ("", None),
    ],
)
def test_error_codes(words: str, code: str | None) -> None:
    facts = parse_daticert(XML.replace(" 5.1.1 - Esempio PEC S.p.A. - indirizzo non valido", words).encode())
    assert facts.errore_esteso == words
    assert facts.errore_codice == code


def test_what_is_missing_is_empty_or_none() -> None:
    facts = parse_daticert(b"<postacert/>")
    assert facts == CertificationData(
        tipo="", errore="nessuno", mittente="", destinatari=(), risposte="", oggetto="", gestore="", data=None,
        identificativo="", msgid=None, ricevuta=None, consegna=None, ricezione=(), errore_esteso=None,
    )  # fmt: skip
    assert facts.errore_codice is None


def test_unknown_values_are_kept_as_they_stand() -> None:
    xml = (
        XML.replace("errore-consegna", "Mancata Consegna")
        .replace('"altro"', '"boh"')
        .replace("esterno", "misto")
    )
    facts = parse_daticert(
        xml.replace("completa", "lunga").replace("<dati>", "<nuovo>x</nuovo><dati altro='y'>").encode()
    )
    assert (facts.tipo, facts.errore, facts.destinatari[1].tipo) == ("Mancata Consegna", "boh", "misto")
    assert facts.ricevuta == "lunga"


@pytest.mark.parametrize(
    "variant",
    [
        XML.encode() + b"\n\r\n",
        XML.encode() + b"\r\n--boundary--\r\n",
        XML.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + XML.encode(),
        XML.encode("utf-16"),
        XML.replace('encoding="UTF-8"', 'encoding="iso-8859-1"').encode("iso-8859-1"),
        XML.replace('<?xml version="1.0" encoding="UTF-8"?>\n', "").encode(),
        XML.replace("<postacert ", '<!DOCTYPE postacert SYSTEM "daticert.dtd">\n<postacert ').encode(),
        XML.replace("<postacert ", '<postacert xmlns="urn:x" ').encode(),
        XML.replace("<dati>", "<!-- - --><dati><?x y?>").encode(),
    ],
)
def test_variants_say_the_same(variant: bytes) -> None:
    assert parse_daticert(variant) == parse_daticert(XML.encode())


def test_bytes_that_are_no_utf_8_do_not_stop_it() -> None:
    facts = parse_daticert(XML.encode("iso-8859-1"))
    assert facts.oggetto == "Perch\ufffd <\ufffd> & cos\ufffd"
    assert facts.identificativo == "opec1.2@pec.example.it"
    assert parse_daticert(XML.replace("Perché", "a\x07b").encode()).oggetto == "a\ufffdb <è> & così"


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (XML[:-20].encode(), "cut short"),
        (b"", "cut short"),
        (b"\x00\x01\x02", "cut short"),
        (b"<html></html>", 'its root element is "html"'),
        (XML.replace("</dati>", "").encode(), "damaged"),
        (b" " * (MAX_SIZE + 1), "more than"),
        (b'<!DOCTYPE postacert [<!ENTITY a "b">]><postacert tipo="&a;"/>', "entities"),
        (b"<!DOCTYPE postacert [\n]><postacert/>", "entities"),
    ],
)
def test_what_can_not_be_read_says_so(xml: bytes, words: str) -> None:
    with pytest.raises(IntegrityError, match=words):
        parse_daticert(xml)


def test_entities_are_never_resolved(tmp_path: object) -> None:
    """Also where the declaration hides from a search for it, in another encoding."""
    attack = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE postacert [<!ENTITY a SYSTEM "file:///etc/passwd"><!ENTITY b "bb">]>'
    xml = attack + '<postacert tipo="x"><intestazione><oggetto>&a;&b;</oggetto></intestazione></postacert>'
    assert parse_daticert(xml.encode("utf-16")).oggetto == ""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE postacert [<!ENTITY l0 "ha">{laughs}]><postacert tipo="&l11;"/>'
    start = time.process_time()
    with pytest.raises(IntegrityError):
        parse_daticert(bomb.encode("utf-16"))
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "xml",
    [
        b"<postacert>" * 300_000 + b"</postacert>" * 20_000,
        b"<postacert><intestazione>" + b"<destinatari/>" * 120_000 + b"</intestazione></postacert>",
        b"<postacert " + b" ".join(b'a%d=""' % n for n in range(300_000)) + b"/>",
        b"<postacert></postacert" * 150_000,
    ],
)
def test_hostile_files_are_bounded(xml: bytes) -> None:
    for measured in (False, True):
        if measured:
            tracemalloc.start()
        start = time.process_time()
        with suppress(IntegrityError):
            parse_daticert(xml)
        if not measured:
            assert time.process_time() - start < 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_what_the_simulator_certifies(style: Style) -> None:
    provider = Provider(style=style)
    sending = provider.accept(
        compose(subject="Perché <così> & no", reply_to="altro@posta.example.it"), external=["x@y.example"]
    )
    part = dissect(provider.delivery(sending, receipt="sintetica")).daticert
    assert part is not None
    facts = parse_daticert(part.content())
    assert facts.tipo == "avvenuta-consegna"
    assert facts.oggetto == sending.subject
    assert facts.risposte == "altro@posta.example.it"
    assert facts.identificativo == sending.identificativo
    assert facts.msgid == sending.msgid
    assert facts.ricevuta == "sintetica"
    assert facts.consegna == sending.recipients[0]
    assert facts.data is not None and facts.data - sending.when == timedelta(seconds=20)
    assert facts.gestore == style.organization


def test_a_message_without_a_message_id() -> None:
    provider = Provider(style=NAMIRIAL_2024)
    part = dissect(provider.acceptance(compose(message_id=None))).daticert
    assert part is not None
    assert parse_daticert(part.content()).msgid is None


@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=100).map(lambda text: XML.replace("Perché", text).encode("utf-8", "replace")),
    )
)
def test_any_bytes(junk: bytes) -> None:
    for xml in (junk, XML.encode() + junk, XML[:700].encode() + junk):
        try:
            parse_daticert(xml)
        except IntegrityError as error:
            assert error.message and "\n" not in error.message
