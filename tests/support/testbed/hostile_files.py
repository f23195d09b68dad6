"""Files that are made to harm who reads them: bombs, depth, loops, lies about sizes, damage. The same for the same number."""

from __future__ import annotations

import base64
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

from archipec.simulator.files import docx, odt, pdf, pptx, scanned_pdf, signed, time_stamped, xlsx, zipped

Maker = Callable[[random.Random], tuple[str, bytes]]
MB = 1 << 20
_SELDOM = 40


def hostile_files(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of so many files: each kind once, then mostly those that are made and read in no time."""
    for number in range(count):
        chance = random.Random(f"{seed}/{number}")
        if number < len(HEAVY):
            yield HEAVY[number](chance)
        elif number % _SELDOM == 0:
            yield chance.choice(HEAVY)(chance)
        else:
            yield LIGHT[number % len(LIGHT)](chance)


def _bomb(chance: random.Random) -> tuple[str, bytes]:
    """A zip file of one member of zeros, with a true or a small size in its directory."""
    size = chance.choice([8, 40]) * MB
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(compressor.compress(bytes(MB)) for _ in range(size // MB)) + compressor.flush()
    claimed = chance.choice([size, 100, (1 << 30), (1 << 32) - 2])
    return "bomba.zip", raw_zip([("zeri.txt", data, claimed)] * chance.choice([1, 3]))


def raw_zip(entries: list[tuple[str, bytes, int]], *, overlap: bool = False) -> bytes:
    """A zip file whose entries claim what they are given to claim; ``overlap`` has all show the first one's data."""
    body: list[bytes] = []
    directory: list[bytes] = []
    size = 0
    for name, data, claimed in entries:
        local = struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 33, 0, len(data), claimed & 0xFFFFFFFF, len(name), 0
        )
        place = 0 if overlap else size
        if not overlap or not body:
            body.append(local + name.encode() + data)
            size += len(body[-1])
        directory.append(
            struct.pack(
                "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 33, 0, len(data), claimed & 0xFFFFFFFF,
                len(name), 0, 0, 0, 0, 0, place,
            ) + name.encode()
        )  # fmt: skip
    listed, count = b"".join(directory), min(len(entries), 0xFFFF)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(listed), size, 0)
    return b"".join((*body, listed, end))


def _overlapping(chance: random.Random) -> tuple[str, bytes]:
    data = zlib.compress(bytes(20 * MB), 9)[2:-4]
    return "sovrapposti.zip", raw_zip([("a.txt", data, 20 * MB)] * chance.choice([50, 3000]), overlap=True)


def _many_entries(chance: random.Random) -> tuple[str, bytes]:
    return "molti.zip", raw_zip(
        [(f"{number}.txt", b"\3\0", 0) for number in range(chance.choice([2000, 25_000]))]
    )


def _nested_zips(chance: random.Random) -> tuple[str, bytes]:
    content, width = pdf("fondo"), chance.choice([1, 1, 4])
    for level in range(40 if width == 1 else 5):
        content = zipped({f"{level}-{number}.zip": content for number in range(width)})
    return "annidati.zip", content


def _big_sheet(chance: random.Random) -> tuple[str, bytes]:
    """A sheet with one huge table of strings, or countless empty ones."""
    string = b"<si><t>parola " + b"x" * chance.choice([0, 50]) + b"</t></si>"
    strings = b"<sst>" + chance.choice([string, b"<si/>", b"<t>"]) * 400_000
    return "grande.xlsx", zipped({"xl/workbook.xml": b"<w/>", "xl/sharedStrings.xml": strings})


def _entities(chance: random.Random) -> tuple[str, bytes]:
    levels = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(10))
    laughs = f'<!DOCTYPE a [<!ENTITY a "ah ah ah">{levels}]><a x="&k;">&k;</a>'
    quadratic = f'<!DOCTYPE a [<!ENTITY a "{"x" * 50_000}">]><a>{"&a;" * 20_000}</a>'
    outside = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><a>&a;</a>'
    text = chance.choice([laughs, quadratic, outside])
    padding = chance.choice(["", f"<!--{'x' * 300_000}-->"])
    xml = padding + text
    name = chance.choice(["entita.xml", "IT01234567890_1.xml"])
    return name, xml.encode(chance.choice(["utf-8", "utf-16", "utf-16-be"]))


def _odd_xml(chance: random.Random) -> tuple[str, bytes]:
    deep = b"<a>" * chance.choice([300, 300_000]) + b"parola"
    attributes = b"<a " + b" ".join(b'a%d="1"' % n for n in range(100_000)) + b">parola</a>"
    long = b"<a>" + b"x" * 12_000_000 + b"</a>"
    names = b"<" + b"a" * 300_000 + b">parola"
    empty = b"<a>" + b"<b/>" * 500_000
    invoice = b"<FatturaElettronica>" + b"<FatturaElettronicaBody><Allegati><Attachment>QUJD" * 2000
    return "strano.xml", chance.choice([deep, attributes, long, names, empty, invoice])


def _odd_html(chance: random.Random) -> tuple[str, bytes]:
    deep = b"<div>" * 300_000 + b"parola"
    breaks = b"<html>" + b"<br>" * 300_000
    script = b"<html><script>" + b"x" * 2_000_000
    comment = b"<html><!--" + b"-" * 3_000_000
    tags = b"<html>" + b"<a<" * 100_000
    return "strano.html", chance.choice([deep, breaks, script, comment, tags])


def _deep_mail(chance: random.Random) -> tuple[str, bytes]:
    content = b"Content-Type: text/plain\r\n\r\nparola"
    for level in range(chance.choice([30, 400])):
        if chance.random() < 0.5:
            content = b"Content-Type: message/rfc822\r\n\r\n" + content
        else:
            boundary = b"b%d" % level
            head = b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n--" + boundary + b"\r\n"
            content = head + content + b"\r\n--" + boundary + b"--\r\n"
    return "profondo.eml", content


def _wide_mail(chance: random.Random) -> tuple[str, bytes]:
    part = chance.choice(
        [b"--b\r\n\r\nx\r\n", b"--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n", b"--b\r\n"]
    )
    return "largo.eml", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * 20_000


def _deep_signature(chance: random.Random) -> tuple[str, bytes]:
    content = pdf("fondo")
    for _ in range(chance.choice([9, 40])):
        content = chance.choice([signed, time_stamped])(content)
        if chance.random() < 0.2:
            content = base64.encodebytes(content)
    return "profondo.p7m", content


def _broken_signature(chance: random.Random) -> tuple[str, bytes]:
    kind = bytes.fromhex("06092a864886f70d010702")
    content = signed(b"parola" * 100)
    endless = b"\x30\x80" + kind + b"\xa0\x80" + b"\x30\x80" * 200_000
    claims = b"\x30\x84\x40\x00\x00\x00" + kind + b"\xa0\x84\x40\x00\x00\x00" + b"x" * 1000
    return "rotta.p7m", chance.choice(
        [endless, claims, damaged(content, chance), content[: chance.randrange(len(content))]]
    )


def _bad_pdf(chance: random.Random) -> tuple[str, bytes]:
    content = chance.choice([pdf("parola " * 200, "altra"), scanned_pdf(3)])
    return "rotto.pdf", damaged(content, chance)


def _pdf_bomb(chance: random.Random) -> tuple[str, bytes]:
    """A page whose content is 40 MB when its compression is undone, or a tree of pages that is a loop."""
    whole = pdf("parola")
    bomb = inflating_pdf(chance.choice([2, 40]) * MB, twice=chance.random() < 0.5)
    loop = whole.replace(b"/Kids[4 0 R]", b"/Kids[2 0 R]")
    count = whole.replace(b"/Count 1/", b"/Count 2000000000/")
    return "bomba.pdf", chance.choice([bomb, loop, count])


def inflating_pdf(size: int, *, twice: bool = False) -> bytes:
    """A PDF with a page whose content has so many bytes once its compression is undone."""
    shown = b"BT /F 11 Tf (parola) Tj ET\n"
    stream = zlib.compress(shown * (size // len(shown)), 9)
    filters = b"/FlateDecode"
    if twice:
        stream, filters = zlib.compress(stream, 9), b"[/FlateDecode/FlateDecode]"
    whole = pdf("parola")
    at, end = whole.index(b"<</Length"), whole.index(b"endstream") + 9
    head = b"<</Filter%s/Length %d>>\nstream\n" % (filters, len(stream))
    return whole[:at] + head + stream + b"\nendstream" + whole[end:]


def _bad_office(chance: random.Random) -> tuple[str, bytes]:
    name, make = chance.choice([("a.docx", docx), ("a.odt", odt), ("a.pptx", pptx)])
    return name, damaged(make("parola " * 50), chance)


def _bad_sheet(chance: random.Random) -> tuple[str, bytes]:
    return "a.xlsx", damaged(xlsx(["parola", 1.5], ["altra", 2]), chance)


def _encrypted(chance: random.Random) -> tuple[str, bytes]:
    octets = bytearray(zipped({"a.pdf": pdf("segreto")}))
    octets[6] |= 1
    octets[octets.index(b"PK\1\2") + 8] |= 1
    old = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le") * 1000
    locked = pdf("segreto").replace(
        b"/Root 1 0 R",
        b"/Root 1 0 R/Encrypt<</Filter/Standard/V 2/R 3/Length 128/P -4/O("
        + b"o" * 32
        + b")/U("
        + b"u" * 32
        + b")>>/ID[(i)(i)]",
    )
    return chance.choice([("chiuso.zip", bytes(octets)), ("chiuso.docx", old), ("chiuso.pdf", locked)])


def _odd_methods(chance: random.Random) -> tuple[str, bytes]:
    octets = io.BytesIO()
    method = chance.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    with zipfile.ZipFile(octets, "w", method) as archive:
        archive.writestr("a.txt", bytes(5 * MB))
    return "metodo.zip", octets.getvalue()


def _noise(chance: random.Random) -> tuple[str, bytes]:
    magic = chance.choice(
        [b"%PDF-1.7\n", b"PK\3\4", b"0\x82", b"<?xml ", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", b"\xff\xfe"]
    )
    name = chance.choice(
        ["a.pdf", "a.zip", "a.p7m", "a.xml", "a.txt", "a.eml", "a.html", "a\0b/../c\ud800.docx"[:6], "a"]
    )
    return name, magic + chance.randbytes(chance.choice([0, 10, 5000]))


def _bad_rtf(chance: random.Random) -> tuple[str, bytes]:
    whole = rb"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\f0 perch\'e9 \u8217 ? parola\par{\*\x y}}"
    deep = b"{\\rtf1 " + b"{" * 50_000 + b"parola"
    return "rotto.rtf", chance.choice(
        [damaged(whole, chance), damaged(whole, chance), deep, whole + b"\\" * 10_000]
    )


def _endless_text(chance: random.Random) -> tuple[str, bytes]:
    return "lungo.txt", chance.choice([b"x", b"\0", b"a ", b"\xe8", "è ".encode(), b"\r"]) * (12 * MB)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Content with some of its bytes changed, left out, doubled, or the end cut off."""
    octets = bytearray(content)
    for _ in range(chance.choice([1, 3, 30])):
        if not octets:
            break
        at = chance.randrange(len(octets))
        match chance.randrange(5):
            case 0:
                octets[at] = chance.randrange(256)
            case 1:
                del octets[at : at + chance.randrange(1, 40)]
            case 2:
                octets[at:at] = octets[at : at + chance.randrange(1, 400)]
            case 3:
                octets[at:at] = chance.choice([b"999999999", b"-1", b"<<", b">>", b"[", b"\0" * 20, b" 0 R "])
            case _ if chance.random() < 0.2:
                del octets[at:]
    return bytes(octets)


HEAVY: list[Maker] = [
    _bomb, _overlapping, _many_entries, _nested_zips, _big_sheet, _entities, _odd_xml, _odd_html, _wide_mail, _pdf_bomb,
    _endless_text, _odd_methods,
]  # fmt: skip
LIGHT: list[Maker] = [
    _bad_pdf, _bad_office, _bad_pdf, _deep_mail, _bad_pdf, _broken_signature, _noise, _bad_sheet, _bad_pdf, _encrypted,
    _noise, _deep_signature, _bad_rtf,
]  # fmt: skip
