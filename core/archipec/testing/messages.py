"""Messages, folder names and dates that break careless code. All made up, all the same every time."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_HEAD = b"From: mittente@pec.example.it\r\nTo: destinatario@pec.example.it\r\nSubject: prova\r\n"
_LONG = 2 * 2**20


def nasty_messages() -> dict[str, bytes]:
    """Return messages by name, each with something in it that careless code changes, loses or trips over.

    All differ. The largest has 2 MiB; none is a valid PEC message, since no seal is.
    """
    return {
        "plain": _HEAD + b"\r\nBuongiorno,\r\nin allegato la fattura.\r\n",
        "0-bytes": b"",
        "one-byte": b"x",
        "0-bytes-of-body": _HEAD + b"\r\n",
        "no-blank-line": _HEAD,
        "headers-cut": b"Subject: cut in the mid",
        "starts-with-a-blank-line": b"\r\n\r\nSubject: not a header\r\n",
        "no-final-newline": _HEAD + b"\r\nlast line",
        "many-final-newlines": _HEAD + b"\r\nlast line\r\n\r\n\r\n\n\n\r\n",
        "bare-lf": (_HEAD + b"\r\nline\r\nline\r\n").replace(b"\r\n", b"\n"),
        "bare-lf-no-final-newline": (_HEAD + b"\r\nline\r\nline").replace(b"\r\n", b"\n"),
        "bare-cr": _HEAD + b"\r\none\rtwo\rthree\r",
        "mixed-line-ends": _HEAD + b"\r\none\ntwo\r\nthree\rfour\r\r\n\n\rfive\n\r\n",
        "nul": _HEAD + b"X-Nul: \0\r\n\r\nbefore\0after\r\n\0\0\0",
        "every-byte": _HEAD + b"\r\n" + bytes(range(256)) * 4,
        "end-of-file-characters": _HEAD + b"\r\n\x1a\r\nafter\x1a\x04\r\n",
        "byte-order-mark": b"\xef\xbb\xbf" + _HEAD + b"\r\ntext\r\n",
        "8-bit-headers": b"Subject: Citt\xe0 \xe8 \xc3\xa8\r\nFrom: \xff\xfe <a@example.it>\r\n\r\nperch\xe9\r\n",
        "trailing-blanks": _HEAD + b"X-Blanks: a \t \r\n\r\nline with blanks  \t\r\n \r\n\t\r\n",
        "from-line-first": b"From mittente@example.it Thu Jan  1 00:00:00 2026\r\n" + _HEAD + b"\r\ntext\r\n",
        "only-a-from-line": b"From ",
        "from-lines": _HEAD + b"\r\nFrom here on\r\n\r\nFrom a@b.it Thu Jan  1 00:00:00 2026\r\nFrom \r\n",
        "quoted-from-lines": _HEAD + b"\r\n>From one\r\n>>From two\r\n >From three\r\nFrom\r\n>>>From \r\n",
        "from-line-last": _HEAD + b"\r\ntext\r\n\r\nFrom ",
        "from-line-in-the-header": b"Subject: x\r\nFrom nobody\r\nFrom: a@b.it\r\n\r\nFrom b\r\n",
        "from-lines-with-bare-cr": _HEAD + b"\r\na\rFrom b\r>From c\r",
        "content-length-that-lies": _HEAD + b"Content-Length: 3\r\nLines: 1\r\n\r\nlonger than that\r\n",
        "mbox-inside": _HEAD
        + b"\r\n"
        + b"From a@b.it Thu Jan  1 00:00:00 2026\n"
        + _HEAD
        + b"\n>From x\n\n" * 3,
        "lone-dots": _HEAD + b"\r\n.\r\n..\r\n.x\r\n\n.\n\r\n.\r\n",
        "imap-literal-inside": _HEAD + b"\r\n* 1 FETCH (BODY[] {5}\r\nhello)\r\nA1 OK done\r\n+ \r\n",
        "long-line": _HEAD + b"\r\n" + b"0123456789abcdef" * (_LONG // 16) + b"\r\nend\r\n",
        "long-header-line": b"Subject: " + b"x" * 100_000 + b"\r\n" + _HEAD + b"\r\ntext\r\n",
        "many-headers": b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(5_000)) + b"\r\ntext\r\n",
        "pec-envelope": _pec_envelope(),
    }


def _pec_envelope() -> bytes:
    """A multipart in the shape of a PEC envelope, with everything in it that re-serialising would tidy up."""
    original = b"From: a@pec.example.it\nSubject: =?iso-8859-1?Q?Citt=E0?=\n\nFrom the original\n.\n"
    certification = (
        b'<?xml version="1.0" encoding="UTF-8"?>\r\n<postacert tipo="posta-certificata" errore="nessuno"/>'
    )
    sealed = (
        b'Content-Type: multipart/mixed; boundary="----=_in\t"\r\n\r\npreamble\r\n------=_in\t\r\n'
        b"Content-Type: text/plain;\r\n\tcharset=iso-8859-1\r\n\r\nMessaggio di posta certificata \xe8\r\n"
        b"------=_in\t\r\nContent-Type: application/xml; name=daticert.xml\r\n\r\n" + certification + b"\r\n"
        b"------=_in\t\r\nContent-Type: message/rfc822; name=postacert.eml\r\n\r\n"
        + original
        + b"\r\n------=_in\t--  \r\n"
    )
    signature = base64.encodebytes(bytes(range(256)) * 8).replace(b"\n", b"\r\n")
    return (
        b'X-Trasporto: posta-certificata\r\nFrom: "Per conto di: a@pec.example.it"\r\n'
        b" <posta-certificata@pec.example.it>\r\nSubject: POSTA CERTIFICATA: prova\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/signed; micalg=sha-256;\r\n"
        b' protocol="application/x-pkcs7-signature"; boundary="out"\r\n\r\n'
        b"This is an S/MIME signed message\r\n--out\r\n"
        + sealed
        + b"\r\n--out\r\nContent-Type: application/x-pkcs7-signature; name=smime.p7s\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + signature + b"\r\n--out--\r\nepilogue"
    )


def small_messages(count: int) -> list[bytes]:
    """Return that many small messages, all different."""
    return [_HEAD + b"Message-ID: <%d@example.it>\r\n\r\nmessage %d\r\n" % (n, n) for n in range(count)]


def big_message(size: int) -> Iterator[bytes]:
    """Yield a message of ``size`` bytes in chunks, so that it need not be held whole."""
    yield _HEAD + b"\r\n"
    left = size - len(_HEAD) - 2
    number = 0
    while left > 0:
        line = b"%015d\r\n" % number
        chunk = (line * 4096)[:left]
        yield chunk
        left -= len(chunk)
        number += 1


def hostile_folders(outside: Path) -> list[str]:
    """Return folder names that lead a careless sink out of its directory, or into trouble in it.

    Args:
        outside: a path that must not come into being; its last part occurs in every name that leads out.
    """
    word = outside.name
    escapes = [f"../{word}", f"../../{word}", f"a/../../{word}", f"..\\{word}", f"/{word}", f"C:\\{word}"]
    odd = [
        "",
        ".",
        "..",
        "/",
        "a//b",
        "a/./b",
        "~",
        "-rf",
        "*",
        "?",
        "%2e%2e",
        "CON",
        "nul.txt",
        "LPT1",
        "a.",
        "a ",
    ]
    mail = [
        "INBOX",
        "inbox",
        "cur",
        "new",
        "tmp",
        "2026/11",
        "Posta inviata",
        'Città & "Co"',
        ".hidden",
        "INBOX:stream",
    ]
    bytes_ = [
        "nul\0byte",
        "line\r\nbreak",
        "tab\t",
        "\x1b[31m",
        "\u202egnp",
        "\udcff",
        "a\u0300",
        "\u00e0",
        "📬",
    ]
    return [str(outside), *escapes, *odd, *mail, *bytes_, "x" * 300, "è" * 200, "/".join("d" * 60)]


def hostile_dates() -> list[datetime]:
    """Return aware dates at which arithmetic, ``timestamp`` or a change of zone fails or turns negative."""
    east, west = timezone(timedelta(hours=2)), timezone(timedelta(hours=-5))
    return [
        datetime.min.replace(tzinfo=east),
        datetime.max.replace(tzinfo=west),
        datetime.min.replace(tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=east),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=east),
        datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    ]


class _Chunks(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        taken = min(len(view), len(self._rest))
        view[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken


def reader_of(chunks: Iterable[bytes]) -> BinaryIO:
    """Return a reader of these chunks, one after the other; an error they raise comes out of ``read``."""
    return io.BufferedReader(_Chunks(iter(chunks)))
