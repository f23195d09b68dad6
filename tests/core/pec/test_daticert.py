"""`archipec.pec.daticert`: certification data, also where it is odd, damaged or hostile."""

from __future__ import annotations

import re
import time
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.errors import IntegrityError
from archipec.pec.daticert import MAX_SIZE, CertificationData, Destinatario, parse_daticert
from archipec.pec.structure import parse_structure
from archipec.simulator import NAMIRIAL_2024, STYLES, Provider, Style, compose
from testbed.seals import EVERY_KIND

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


def stated(xml: bytes) -> CertificationData:
    """What a file says, whatever had to be put right to read it."""
    return parse_daticert(xml)._replace(mended=())


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
    "words", ["5.1.1 - Esempio", "5.5.1, Esempio, presenza di un virus", "5.4.12 x", "casella piena", ""]
)
def test_what_went_wrong_is_kept_as_it_stands(words: str) -> None:
    facts = parse_daticert(XML.replace(" 5.1.1 - Esempio PEC S.p.A. - indirizzo non valido", words).encode())
    assert facts.errore_esteso == words


def test_what_is_missing_is_empty_or_none() -> None:
    facts = parse_daticert(b"<postacert/>")
    assert facts == CertificationData(
        tipo="", errore="nessuno", mittente="", destinatari=(), risposte="", oggetto="", gestore="", data=None,
        identificativo="", msgid=None, ricevuta=None, consegna=None, ricezione=(), errore_esteso=None,
    )  # fmt: skip


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
    assert stated(variant) == stated(XML.encode())


def test_bytes_that_are_no_utf_8_do_not_stop_it() -> None:
    facts = parse_daticert(XML.encode("iso-8859-1"))
    assert facts.oggetto == "Perché <è> & così"
    assert facts.mended == ('bytes that are not "utf-8" were read as Windows-1252',)
    assert facts.identificativo == "opec1.2@pec.example.it"
    assert parse_daticert(XML.replace("Perché", "a\x07b").encode()).oggetto == "a\ufffdb <è> & così"


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (XML[:60].encode(), "cut short"),
        (b"", "cut short"),
        (b"\x00\x01\x02", "cut short"),
        (b"<html></html>", 'its root element is "html"'),
        (b" " * (MAX_SIZE + 1), "more than"),
        (b'<!DOCTYPE postacert [<!ENTITY a "b">]><postacert tipo="&a;"/>', "entities"),
        (b"<!DOCTYPE postacert [\n]><postacert/>", "entities"),
    ],
)
def test_what_can_not_be_read_says_so(xml: bytes, words: str) -> None:
    with pytest.raises(IntegrityError, match=words):
        parse_daticert(xml)


def test_entities_are_never_resolved() -> None:
    """Also where the declaration hides from a search for it, in another encoding."""
    attack = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE postacert [<!ENTITY a SYSTEM "file:///etc/passwd"><!ENTITY b "bb">]>'
    xml = attack + '<postacert tipo="x"><intestazione><oggetto>&a;&b;</oggetto></intestazione></postacert>'
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE postacert [<!ENTITY l0 "ha">{laughs}]><postacert tipo="&l11;"/>'
    start = time.process_time()
    for hostile in (xml, bomb):
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"):
            with pytest.raises(IntegrityError, match="entities"):
                parse_daticert(hostile.encode(encoding))
    assert time.process_time() - start < 1


def read(old: str, new: str) -> CertificationData:
    assert old in XML
    return parse_daticert(XML.replace(old, new).encode())


@pytest.mark.parametrize(
    ("written", "subject", "words"),
    [
        ("dell&#18;art. 72", "dell\ufffdart. 72", "references to characters that XML does not allow"),
        ("a&#0;b&#xFFFE;c", "a\ufffdb\ufffdc", "references to characters that XML does not allow"),
        ("a&#99999999;b&#xD800;c", "a\ufffdb\ufffdc", "references to characters that XML does not allow"),
        ("a\x12b\x00c", "a\ufffdb\ufffdc", "characters that XML does not allow"),
        ("Rossi & Figli &amp Bianchi", "Rossi & Figli &amp Bianchi", "an & that is not escaped"),
        ("perch&eacute;&nbsp;no", "perch\xe9\xa0no", "named characters of HTML"),
        ("&ignota; e &lt;", "&ignota; e <", "entities that nothing defines"),
        ("offerta <10 EUR> & oltre", "offerta <10 EUR> & oltre", "oggetto holds a < that is not escaped"),
        ("a <!-- b", "a <!-- b", "oggetto holds a <"),
        ("a <![CDATA[ b", "a <![CDATA[ b", "oggetto holds a <"),
        ("<b>bold</b>", "<b>bold</b>", "oggetto holds a <"),
    ],
)
def test_what_is_no_xml_is_read_and_said(written: str, subject: str, words: str) -> None:
    facts = read("Perché &lt;è&gt; &amp; così", written)
    assert facts.oggetto == subject
    assert any(words in one for one in facts.mended), facts.mended
    whole = parse_daticert(XML.encode())
    assert facts._replace(oggetto="", mended=()) == whole._replace(oggetto="", mended=())
    assert whole.mended == ()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (XML.encode("cp1252"), "read as Windows-1252"),
        (XML.replace("UTF-8", "x-ignota").encode("cp1252"), "read as Windows-1252"),
        (XML.replace("UTF-8", "x-ignota").encode(), 'it is UTF-8 although it says "x-ignota"'),
        (XML.replace("UTF-8", "iso-8859-1").encode(), 'it is UTF-8 although it says "iso-8859-1"'),
        (XML.replace("UTF-8", "utf-16").encode(), 'it is UTF-8 although it says "utf-16"'),
        (XML.encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (b"Content: x\r\n\r\n" + XML.encode(), "text before the root element"),
        (XML.replace("dati>", "DATI>").replace("&amp;", "&").encode(), "not escaped"),
        (XML.replace("<postacert ", "<a>&</a><p:postacert ").replace("/postacert", "/p:postacert").encode(), "before"),
        (XML[: XML.index("</postacert>")].encode(), "cut short"),
        (XML[: XML.index("</dati>")].encode(), "cut short"),
        (XML.replace("</dati>", "").encode(), ""),
    ],
)  # fmt: skip
def test_mended_files_say_the_same(raw: bytes, words: str) -> None:
    facts = parse_daticert(raw)
    assert facts._replace(mended=()) == stated(XML.encode())
    assert not words or any(words in one for one in facts.mended), facts.mended


def test_names_in_another_case_and_with_a_prefix() -> None:
    upper = re.sub(r"</?[a-z-]+", lambda match: match[0].upper(), XML)
    assert stated(upper.encode()) == stated(XML.encode())
    prefixed = re.sub(r"(</?)([a-z])", r"\1pec:\2", XML)
    assert stated(prefixed.encode()) == stated(XML.encode())


def test_where_a_file_is_cut_short_nothing_is_read_that_may_be_half() -> None:
    cut = XML.index("ufficio@avvocati.example</consegna>") + 9
    facts = parse_daticert(XML[:cut].encode())
    assert facts.consegna is None
    assert facts.identificativo == "opec1.2@pec.example.it"
    assert "consegna has no end and is not used" in facts.mended


SUBJECT = "Perché &lt;è&gt; &amp; così"
GHOST = "<dati><identificativo>x@y</identificativo><consegna>spettro@example.it</consegna></dati>"
INVENTIONS = [
    ("subject", SUBJECT, "a<consegna>spettro@example.it</consegna>"),
    ("subject closed", SUBJECT, f"a</oggetto></intestazione>{GHOST}<intestazione><oggetto>b"),
    ("subject left open", SUBJECT, f"a</oggetto></intestazione>{GHOST}&"),
    ("subject and the end", SUBJECT, f"a</oggetto></intestazione>{GHOST}</postacert>"),
    ("reply", "<risposte></risposte>", f"<risposte>a</risposte></intestazione>{GHOST}<intestazione><risposte></risposte>"),
    ("reply and the end", "<risposte></risposte>", f"<risposte>a</risposte></intestazione>{GHOST}</postacert>"),
    ("message id", "&lt;a@b&gt;", "a</msgid><consegna>spettro@example.it</consegna><msgid>b"),
    ("message id, closed", "&lt;a@b&gt;", f"a</msgid></dati>{GHOST}<dati><msgid>b"),
    ("comment", "<dati>", f"<!-- {GHOST} & --><dati>&"),
    ("instruction", "<dati>", f"<?x {GHOST}?><dati>&"),
    ("character data", "<dati>", f"<![CDATA[{GHOST}]]><dati>&"),
    ("outside", "<intestazione>", f"{GHOST.removeprefix('<dati>').removesuffix('</dati>')}<intestazione>&"),
    ("in the heading", "<intestazione>", "<intestazione><consegna>spettro@example.it</consegna>&"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new"), [case[1:] for case in INVENTIONS], ids=[case[0] for case in INVENTIONS]
)
def test_the_senders_words_never_become_a_delivery(old: str, new: str) -> None:
    """What a provider did not escape may look like elements: the genuine value is read, or none."""
    facts = read(old, new)
    assert facts.consegna in (None, "ufficio@avvocati.example")
    assert facts.identificativo in ("", "opec1.2@pec.example.it")
    assert facts.tipo == "errore-consegna"
    assert facts.mended


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            "<oggetto>", "</oggetto>", "<intestazione>", "</intestazione>", "<dati>", "</dati>", "</postacert>", "<!--", "-->",
            "<![CDATA[", "]]>", "<?", "?>", "<msgid>", "</msgid>", "<risposte>", "</risposte>", "<consegna>ghost@x</consegna>",
            "<consegna>ghost@x", "</consegna>", "<identificativo>ghost@x</identificativo>", "<postacert tipo='ghost@x'>", "&", "a",
            "<mittente>", "</mittente>", "<ricevuta tipo='ghost@x'/>", "<gestore-emittente>ghost@x</gestore-emittente>",
        ]
    ),
    max_size=9,
).map("".join)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(FRAGMENTS, FRAGMENTS, FRAGMENTS)
def test_no_words_of_the_sender_stand_in_for_the_provider_s(subject: str, reply: str, msgid: str) -> None:
    xml = XML.replace(SUBJECT, subject).replace("<risposte></risposte>", f"<risposte>{reply}</risposte>")
    whole = parse_daticert(XML.encode())
    try:
        facts = parse_daticert(xml.replace("&lt;a@b&gt;", msgid).encode())
    except IntegrityError:
        return
    assert facts.tipo == whole.tipo
    assert facts.consegna in (None, whole.consegna)
    assert facts.identificativo in ("", whole.identificativo)
    assert facts.ricevuta in (None, whole.ricevuta)
    assert facts.gestore in ("", whole.gestore)


def test_twice_the_same_is_one_and_twice_another_is_none() -> None:
    line = "<consegna>ufficio@avvocati.example</consegna>"
    assert read(line, line + line).consegna == "ufficio@avvocati.example"
    facts = read(line, line + "<consegna>altro@example.it</consegna>")
    assert facts.consegna is None
    assert "consegna is there 2 times with different values: none is used" in facts.mended
    assert read('errore="altro"', 'errore="altro" errore="virus"').errore == "nessuno"
    assert read('tipo="errore-consegna"', 'tipo="errore-consegna" tipo="avvenuta-consegna"').tipo == ""


HOSTILE = [
    b"<postacert>" * 300_000 + b"</postacert>" * 20_000,
    b"<postacert><intestazione>" + b"<destinatari/>" * 120_000 + b"</intestazione></postacert>",
    b"<postacert " + b" ".join(b'a%d=""' % n for n in range(300_000)) + b"/>",
    b"<postacert></postacert" * 150_000,
    b"<postacert>" + b"<!-- <![CDATA[ <? " * 100_000,
    b"<postacert><intestazione>" + b"<mittente>" * 150_000,
    b"<postacert><intestazione>" + b"<mittente>" * 300_000 + b"</mittente>",
    b"<postacert><dati>" + b"<consegna>a</consegna>" * 60_000,
    b"<postacert><dati>" + b"<consegna>&#0;&" * 200_000,
    b"<postacert><intestazione><oggetto>" + b"</oggetto>" * 200_000,
    b"<postacert><intestazione>" + b"<oggetto>" * 150_000 + b"</oggetto>",
    b"<postacert " + b"tipo=" * 700_000,
    b"<postacert" + b" " * 3_900_000 + b">&",
    b"<postacert><oggetto>" + b"&amp" * 900_000,
    b"<" * 1_000_000,
    b"&" * 2_000_000,
    b"\xff" * 2_000_000,
    b"<postacert>" + b"\x01\xe9" * 900_000,
]


@pytest.mark.parametrize("xml", HOSTILE)
def test_hostile_files_take_little_time(xml: bytes) -> None:
    start = time.process_time()
    with suppress(IntegrityError):
        parse_daticert(xml)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("xml", HOSTILE[:4])
def test_hostile_files_take_little_memory(xml: bytes) -> None:
    tracemalloc.start()
    with suppress(IntegrityError):
        parse_daticert(xml)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_what_the_simulator_certifies(style: Style) -> None:
    provider = Provider(style=style)
    sending = provider.accept(
        compose(subject="Perché <così> & no", reply_to="altro@posta.example.it"), external=["x@y.example"]
    )
    part = parse_structure(provider.delivery(sending, receipt="sintetica")).daticert
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
    part = parse_structure(provider.acceptance(compose(message_id=None))).daticert
    assert part is not None
    assert parse_daticert(part.content()).msgid is None


_WORDS = (
    "a", "è", "&amp;", "&lt;", "&#65;", "&quot;", "&apos;", "&egrave;", "&", "<b/>", "]]", "]]>", ">", '"', "'", " ",
    "\n", "\t", "\r", "\r\n", "\x01", "\x0b", "\x1f", "\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "\ufffe", "\uffff",
    "\U0001f600",
)  # fmt: skip
_PLACES = (
    "<mittente>", "<destinatari>", "<oggetto>", "<giorno>", "<ora>", "<identificativo>", "<msgid>", "<consegna>", "<ricezione>",
    "<errore-esteso>", 'tipo="', 'zona="', 'errore="', "</data>", "</dati>", "</postacert>", "    ", "<postacert ", "/>", "?>",
)  # fmt: skip


def both_ways(xml: str) -> list[object]:
    """What a file says, and what it says with a comment, which has it read by the parser."""
    found: list[object] = []
    for text in (xml, xml.replace("<dati>", "<dati><!-- niente -->")):
        try:
            facts = parse_daticert(text.encode("utf-8", "surrogatepass"))
        except IntegrityError as error:
            found.append(error.message)
        else:
            found.append((facts, facts.mended))
    return found


@pytest.mark.parametrize("place", _PLACES)
def test_what_is_read_without_a_tree_is_what_a_parser_reads(place: str) -> None:
    for words in _WORDS:
        for changed in (words + place, place + words):
            plain, parsed = both_ways(XML.replace(place, changed, 1))
            assert plain == parsed, changed


@given(
    st.lists(st.tuples(st.sampled_from(_PLACES), st.lists(st.sampled_from(_WORDS), max_size=5)), max_size=3)
)
def test_many_changes_are_read_without_a_tree_as_by_a_parser(changes: list[tuple[str, list[str]]]) -> None:
    xml = XML
    for place, words in changes:
        xml = xml.replace(place, place + "".join(words), 1)
    plain, parsed = both_ways(xml)
    assert plain == parsed


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_what_providers_write_is_read_without_a_tree(style: Style, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archipec.pec.daticert._read_strictly", None)
    provider = Provider(style=style)
    for make in EVERY_KIND.values():
        part = parse_structure(make(provider, provider.accept(compose(subject="È <qui> & là")))).daticert
        if part is not None:
            assert parse_daticert(part.content()).oggetto == "È <qui> & là"


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
