"""Messages of every kind and provider, most of them changed, some sealed anew after the change: what verdicts are compared on."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from asn1crypto import x509

from archipec.errors import IntegrityError
from archipec.pec.anchors import Anchors, load_anchors
from archipec.pec.headers import header_block
from archipec.pec.structure import parse_structure
from archipec.pec.trusted_list import read_trusted_list
from archipec.simulator import MIXED, STYLES, Authority, Provider, compose, mailbox, shared_authority
from archipec.simulator.mime import base64_lines
from archipec.simulator.rem import REM_PROVIDERS, RemProvider
from archipec.simulator.rem_list import ListedService, trusted_list
from testbed.mutations import mutated
from testbed.seals import EVERY_KIND, WHEN, certificate, indefinite, signature, signed_entity, with_signature

__all__ = ["Originals", "trust"]

_KIT = Path(__file__).resolve().parents[4] / "shared" / "reference" / "rem" / "kit-agid"
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{20,80}=*\r\n){2,}")
_ORIGINAL = "Perché non risponde? <Fattura & bolla> n. {number}"
_EXPIRED = (datetime(2012, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC))
_REM_EVENTS = ("SubmissionAcceptance", "ContentConsignment", "RelayFailure", "ContentConsignmentFailure")

Change = Callable[["Originals", bytes, random.Random], bytes]


def trust() -> list[Anchors]:
    """Whom a verdict may be asked to trust: the test root, nobody, one who revoked, trusted lists, AgID's example root."""
    authority = shared_authority()
    providers = [RemProvider(number=number) for number in range(len(REM_PROVIDERS))]
    revoked = {Provider(style=STYLES[2]).certificate: WHEN}
    services = [ListedService(one.name, one.certificate) for one in providers]
    root = Anchors((authority.root,))
    found = [
        root,
        Anchors(),
        Anchors((authority.root,), crls=(authority.revoke(revoked, WHEN),)),
        Anchors((authority.root,), lists=(read_trusted_list(trusted_list(services)),)),
        Anchors((authority.ca, Authority(3).root)),
    ]
    kit_root = _KIT / "certificates" / "REM-ROOT-CA.crt"
    return [*found, load_anchors([kit_root])] if kit_root.exists() else found


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A message and who can seal it anew; None for one that is only changed."""

    raw: bytes
    provider: Provider | None = None


class Originals:
    """Messages to change.

    Args:
        seed: the same gives the same messages and changes.
    """

    def __init__(self, seed: int = 0) -> None:
        self._chance = random.Random(seed)
        self._sealed = [*self._by_providers(), *map(_Sealed, self._others()), *map(_Sealed, _kit())]
        self._by_a_provider = [one for one in self._sealed if one.provider is not None]
        self._pec = [one.raw for one in self._by_a_provider]

    def mutants(self, count: int) -> Iterator[bytes]:
        """So many messages; each original comes unchanged now and then."""
        chance = self._chance
        for _ in range(count):
            one = chance.choice(self._by_a_provider if chance.random() < 0.5 else self._sealed)
            raw = one.raw
            for _ in range(chance.choice((0, 1, 1, 1, 1, 1, 2, 3))):
                change = chance.choice(_CHANGES)
                if one.provider is not None and chance.random() < 0.3:
                    raw = self._sealed_anew(one.provider, raw, change)
                else:
                    raw = change(self, raw, chance) or raw
            yield raw

    def other(self, chance: random.Random) -> bytes:
        """Any sealed message of PEC."""
        return chance.choice(self._pec)

    def _by_providers(self) -> Iterator[_Sealed]:
        for number, style in enumerate(STYLES):
            provider = Provider(number, style)
            sending = provider.accept(compose(subject=_ORIGINAL.format(number=number)))
            for make in EVERY_KIND.values():
                yield _Sealed(make(provider, sending), provider)
            expired = Provider(number, style, valid=_EXPIRED)
            stranger = Provider(number, style, authority=Authority(3))
            other = Provider(number, style, certified_address="un.altro@pec.example.it")
            for one in (expired, stranger, other):
                yield _Sealed(one.delivery(sending), one)
                yield _Sealed(one.envelope(sending, WHEN + timedelta(days=number)), one)
            many = provider.accept(compose(to=[f"{place}@posta.example.it" for place in range(40)]))
            yield _Sealed(provider.acceptance(many), provider)

    def _others(self) -> Iterator[bytes]:
        for sample in mailbox(150, seed=4, size=9000, mix=MIXED):
            yield sample.raw
        message = Provider().envelope(compose())
        entity = signed_entity(message)
        for der in _odd_seals(entity):
            yield with_signature(message, der)
            yield with_signature(message, indefinite(der))
        for number in range(len(REM_PROVIDERS)):
            provider = RemProvider(number=number)
            sending = provider.accept(compose(subject=_ORIGINAL.format(number=number)))
            yield provider.dispatch(sending)
            for event in _REM_EVENTS:
                yield provider.receipt(sending, event)

    def _sealed_anew(self, provider: Provider, raw: bytes, change: Change) -> bytes:
        """A message whose signed part was changed before it was sealed."""
        structure = parse_structure(raw)
        signed, seal = structure.signed, structure.signature
        if signed is None or seal is None or signed.end == signed.start:
            return raw
        entity = change(self, raw[signed.start : signed.end], self._chance)
        when = WHEN - timedelta(seconds=self._chance.randrange(10**8))
        der = provider._sealer.seal(entity, when)
        return b"".join(
            (
                raw[: signed.start],
                entity,
                raw[signed.end : seal.body],
                base64_lines(der),
                raw[seal.end :],
            )
        )


def _kit() -> list[bytes]:
    return [file.read_bytes() for file in sorted(_KIT.rglob("REM_*.eml"))]


def _odd_seals(entity: bytes) -> Iterator[bytes]:
    provider, old = Provider(), Provider(valid=_EXPIRED)
    good = [provider.certificate]
    for digest in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
        for attributes in (True, False):
            yield signature(entity, good, digest=digest, attributes=attributes)
    for missing in ("content_type", "message_digest", "signing_time"):
        yield signature(entity, good, leave_out=missing)
    yield signature(entity, [*good, old.certificate])
    yield signature(entity, [old.certificate, *good])
    yield signature(entity, good * 9)
    yield signature(entity, good, when=None)
    yield signature(entity, good, opaque=True)
    yield signature(entity, good, carried=[])
    yield signature(entity, good, carried=[provider.authority.ca, *good, old.certificate])
    yield signature(entity, [old.certificate], when=datetime(2019, 5, 5, tzinfo=UTC))
    for without in ("key_usage", "extended_key_usage", "subject_alt_name"):
        yield signature(entity, [certificate(provider, without=without)])
    yield signature(entity, [certificate(provider, extended_key_usage=["server_auth"])])


# -- changes -------------------------------------------------------------------------------------------


def _anywhere(originals: Originals, raw: bytes, chance: random.Random) -> bytes:
    return mutated(raw, chance)


def _in_header(originals: Originals, raw: bytes, chance: random.Random) -> bytes:
    head = header_block(raw)
    return mutated(head, chance) + raw[len(head) :] if head else raw


def _field(originals: Originals, raw: bytes, chance: random.Random) -> bytes:
    """A field of the header said twice, folded, in other letters, taken from another message, or left out."""
    head = header_block(raw)
    fields = re.findall(rb"[^\n]*\n(?:[ \t][^\n]*\n)*", head + b"\n")
    if len(fields) < 2:
        return raw
    at = chance.randrange(len(fields))
    name, colon, value = fields[at].partition(b":")
    other = header_block(originals.other(chance)).split(b"\n")
    fields[at : at + 1] = chance.choice(
        (
            [fields[at], fields[at]],
            [name.swapcase() + colon + value],
            [name + b" \t" + colon + value],
            [name + colon + b"\r\n " + value],
            [name + colon + b"\r\n" + value],
            [name + colon + value.replace(b"<", b'"x@y.example" <', 1)],
            [name + colon + value.replace(b" ", b"\r\n\t", 1)],
            [chance.choice(other).strip(b"\r") + b"\r\n", fields[at]],
            [],
        )
    )
    text = b"".join(fields).removesuffix(b"\n")
    return text + raw[len(head) :]


def _in_base64(originals: Originals, raw: bytes, chance: random.Random) -> bytes:
    """Something inside base64: certification data, an attachment or the seal, changed as what it encodes."""
    blocks = list(_BASE64.finditer(raw))
    if not blocks:
        return raw
    block = chance.choice(blocks)
    try:
        data = base64.b64decode(block[0], validate=False)
    except ValueError:
        return raw
    changed = _xml(data, chance) if data.lstrip().startswith(b"<") else mutated(data, chance)
    return raw[: block.start()] + base64_lines(changed) + raw[block.end() :]


def _xml(xml: bytes, chance: random.Random) -> bytes:
    """Certification data as engines, mistakes and hostile senders write it."""
    old, new = chance.choice(_XML_CHANGES)
    if chance.random() < 0.2:
        return mutated(xml, chance)
    return re.sub(old, new, xml, count=chance.choice((0, 1)), flags=re.DOTALL)


_XML_CHANGES: tuple[tuple[bytes, bytes], ...] = (
    (rb'"', rb"'"),
    (rb"&lt;", rb"&#60;"),
    (rb"&lt;", rb"<![CDATA[<]]>"),
    (rb"&gt;", rb">"),
    (rb"&lt;", rb"<"),
    (rb"&gt;", rb"&gt;&quot;&apos;&amp;lt;"),
    (rb"\n", rb"\r\n"),
    (rb"\n\s+", rb""),
    (rb"<oggetto>", rb"<oggetto>a]]>b"),
    (rb"<oggetto>", rb"<oggetto>&nessuna;"),
    (rb"<oggetto>", b"<oggetto>\x01"),
    (rb"<oggetto>", b"<oggetto>\xc2\x85\xe2\x80\xa8 \xef\xbf\xbe"),
    (rb"<oggetto>", b"<oggetto>\xe0"),
    (rb"<oggetto>", rb"<oggetto> \n\t "),
    (rb"<oggetto>", rb"<oggetto>a & b"),
    (rb"<oggetto>.*?</oggetto>", rb"<oggetto/>"),
    (rb"<oggetto>(.*?)</oggetto>", rb"<oggetto><!-- \1 --></oggetto>"),
    (rb"<oggetto>(.*?)</oggetto>", rb"<oggetto>\1</oggetto><oggetto>\1</oggetto>"),
    (rb"<oggetto>(.*?)</oggetto>", rb"<OGGETTO>\1</OGGETTO>"),
    (rb"<oggetto>(.*?)</oggetto>", rb"<oggetto ><b>\1</b></oggetto >"),
    (rb"<risposte>.*?</risposte>", rb""),
    (rb"<risposte>(.*?)</risposte>(\s*)<oggetto>(.*?)</oggetto>", rb"<oggetto>\3</oggetto><risposte>\1</risposte>"),
    (rb"<destinatari tipo=", rb"<destinatari  altro='1' tipo = "),
    (rb'<destinatari tipo="[a-z]*"', rb"<destinatari"),
    (rb'tipo="', rb'tipo=" \t&amp;'),
    (rb'tipo="', rb'tipo="a\n'),
    (rb' errore="[a-z]*"', rb""),
    (rb'( tipo="[^"]*")', rb"\1\1"),
    (rb'( tipo="[^"]*")( errore="[^"]*")', rb"\2\1"),
    (rb"<postacert ", rb'<postacert xmlns="urn:x" '),
    (rb"(</?)(postacert|dati)", rb"\1p:\2"),
    (rb"postacert", rb"altro"),
    (rb"<dati>", rb"<dati><nuovo>x</nuovo>"),
    (rb"</dati>", rb"</dati><dati></dati>"),
    (rb"</dati>", rb"<ricezione>a@b.example</ricezione></dati>"),
    (rb"(<data .*?</data>)", rb"\1\1"),
    (rb"<data zona=", rb"<data zona='+0100' x="),
    (rb"<giorno>\d+", rb"<giorno> 32"),
    (rb"<ora>\d+", rb"<ora>\n7"),
    (rb"(<giorno>.*?</giorno>)(\s*)(<ora>.*?</ora>)", rb"\3\2\1"),
    (rb"(</data>)", rb"testo\1"),
    (rb'<ricevuta tipo="(\w*)"\s*/>', rb'<ricevuta tipo="\1"></ricevuta>'),
    (rb'<ricevuta tipo="(\w*)"\s*/>', rb"<ricevuta/>"),
    (rb"<consegna>", b"<consegna>\xef\xbb\xbf"),
    (rb"\A", b"\xef\xbb\xbf"),
    (rb"\A", rb"\n "),
    (rb"\Z", b"\x00\x00"),
    (rb"\Z", rb"<coda/>"),
    (rb"\Z", rb"<!-- coda --><?coda?>"),
    (rb"UTF-8", rb"ISO-8859-15"),
    (rb'encoding="UTF-8"', rb'encoding="UTF-8" standalone="yes"'),
    (rb"<\?xml.*?\?>", rb""),
    (rb"<postacert", rb"<!DOCTYPE postacert [<!ENTITY a 'b'>]><postacert"),
    (rb"<postacert", rb"<!DOCTYPE postacert><postacert"),
    (rb"</postacert>.*", rb""),
    (rb"<identificativo>.*", rb""),
    (rb"<msgid>", b"<msgid>\xf0\x9f\x98\x80"),
)  # fmt: skip


def _in_xml(originals: Originals, raw: bytes, chance: random.Random) -> bytes:
    """Certification data that is changed as XML, where it stands in base64."""
    for block in _BASE64.finditer(raw):
        try:
            data = base64.b64decode(block[0], validate=False)
        except ValueError:
            continue
        if b"<postacert" in data:
            changed = _xml(_xml(data, chance), chance)
            return raw[: block.start()] + base64_lines(changed) + raw[block.end() :]
    return raw


def _seal_of(raw: bytes) -> tuple[int, int, bytes] | None:
    part = parse_structure(raw).signature
    if part is None:
        return None
    try:
        return part.body, part.end, part.content()
    except IntegrityError:
        return None


def _in_seal(originals: Originals, raw: bytes, chance: random.Random) -> bytes:
    """The CMS with a byte, a length, a time, or an order that is another one; or in indefinite lengths."""
    found = _seal_of(raw)
    if found is None or not found[2]:
        return raw
    start, end, der = found
    try:
        changed = chance.choice(_SEAL_CHANGES)(der, chance)
    except (IndexError, ValueError):
        return raw
    return raw[:start] + base64_lines(changed) + raw[end:]


def _one_octet(der: bytes, chance: random.Random) -> bytes:
    """Most often in the signer's part, which is at the end."""
    at = (
        chance.randrange(len(der))
        if chance.random() < 0.3
        else len(der) - chance.randrange(1, min(650, len(der)))
    )
    return der[:at] + bytes((chance.choice((der[at] ^ 1 << chance.randrange(8), chance.randrange(256), 0x80)),)) + der[at + 1 :]  # fmt: skip


def _one_octet_more(der: bytes, chance: random.Random) -> bytes:
    at = len(der) - chance.randrange(min(650, len(der)))
    return der[:at] + bytes((chance.randrange(256),)) + der[at + chance.randrange(3) :]


def _another_time(der: bytes, chance: random.Random) -> bytes:
    at = der.rindex(bytes.fromhex("2a864886f70d010905")) + 13
    digits = b"%02d%02d" % (chance.randrange(100), chance.randrange(14))
    return der[:at] + digits + der[at + 4 :]


def _attributes_moved(der: bytes, chance: random.Random) -> bytes:
    """Two signed attributes in each other's place."""
    first = der.rindex(bytes.fromhex("2a864886f70d010903")) - 4
    size = 2 + der[first + 1]
    second = first + size
    other = 2 + der[second + 1]
    return der[:first] + der[second : second + other] + der[first : first + size] + der[second + other :]


def _attribute_gone(der: bytes, chance: random.Random) -> bytes:
    """An attribute called something else."""
    name = bytes.fromhex(chance.choice(("2a864886f70d010903", "2a864886f70d010904", "2a864886f70d010905")))
    at = der.rindex(name) + len(name) - 1
    return der[:at] + bytes((chance.choice((3, 4, 5, 99)),)) + der[at + 1 :]


def _indefinite(der: bytes, chance: random.Random) -> bytes:
    return indefinite(der)


def _trailing(der: bytes, chance: random.Random) -> bytes:
    return der + chance.choice((b"\0", b"\0\0", b"\r\n", der, b"\x30\x80"))


_SEAL_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _one_octet, _one_octet, _one_octet, _one_octet_more, _another_time, _attributes_moved, _attribute_gone,
    _indefinite, _trailing,
)  # fmt: skip


def _seal_of_another(originals: Originals, raw: bytes, chance: random.Random) -> bytes:
    """The seal of another message, or this one's with the other's certificates."""
    mine, others = _seal_of(raw), _seal_of(originals.other(chance))
    if mine is None or others is None:
        return raw
    start, end, der = mine
    if chance.random() < 0.5:
        return raw[:start] + base64_lines(others[2]) + raw[end:]
    certificates, foreign = _certificates(der), _certificates(others[2])
    if not certificates or not foreign:
        return raw
    return raw[:start] + base64_lines(der.replace(certificates[0], chance.choice(foreign))) + raw[end:]


def _certificates(der: bytes) -> Sequence[bytes]:
    found = []
    at = 0
    while (at := der.find(b"\x30\x82", at)) >= 0:
        length = 4 + int.from_bytes(der[at + 2 : at + 4], "big")
        candidate = der[at : at + length]
        if candidate[4:6] == b"\x30\x82" and b"\x2a\x86\x48\x86\xf7\x0d\x01\x01" in candidate[:60]:
            try:
                x509.Certificate.load(candidate).native  # noqa: B018
            except ValueError:
                at += 1
                continue
            found.append(candidate)
            at += length
        else:
            at += 1
    return found


def _part_twice(originals: Originals, raw: bytes, chance: random.Random) -> bytes:
    """A stretch between two boundaries twice, moved, or left out."""
    marks = list(dict.fromkeys(re.findall(rb"\n--[^\r\n]{8,70}(?=\r?\n)", raw)))
    if not marks:
        return raw
    mark = chance.choice(marks)
    pieces = raw.split(mark)
    at = chance.randrange(1, len(pieces))
    piece = pieces[at]
    way = chance.randrange(4)
    if way == 0:
        pieces.insert(at, piece)
    elif way == 1:
        pieces.insert(chance.randrange(1, len(pieces) + 1), pieces.pop(at))
    elif way == 2:
        pieces.pop(at)
    else:
        pieces[at] = piece.replace(b"--\r\n", b"\r\n", 1)
    return bytes(mark).join(pieces)


def _wrapped(originals: Originals, raw: bytes, chance: random.Random) -> bytes:
    """What a mailing list makes of it, with something beside it."""
    head = header_block(raw)
    content_type = re.search(rb"\nContent-Type:[^\n]*\n(?:[ \t][^\n]*\n)*", head + b"\n")
    if content_type is None:
        return raw
    inner = content_type[0][1:].removesuffix(b"\n").removesuffix(b"\r") + b"\r\n"
    outer = head.replace(
        content_type[0][1:].removesuffix(b"\n"), b'Content-Type: multipart/mixed; boundary="lista"'
    )
    return b"".join(
        (
            outer, b"\r\n\r\n", chance.choice((b"", b"preambolo\r\n")), b"--lista\r\n", inner, raw[len(head) + 2 :],
            b"\r\n--lista\r\nContent-Type: text/plain\r\n\r\npiede\r\n--lista--\r\n",
        )
    )  # fmt: skip


def _line_ends(originals: Originals, raw: bytes, chance: random.Random) -> bytes:
    return raw.replace(b"\r\n", chance.choice((b"\n", b"\n", b"\r\r\n")))


_CHANGES: tuple[Change, ...] = (
    _anywhere, _anywhere, _anywhere, _in_header, _in_header, _field, _field, _field, _in_base64, _in_base64, _in_xml,
    _in_xml, _in_xml, _in_seal, _in_seal, _in_seal, _seal_of_another, _part_twice, _part_twice, _wrapped, _line_ends,
)  # fmt: skip
