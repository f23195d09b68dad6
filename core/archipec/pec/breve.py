"""Checks a short delivery receipt ("breve") against the original that its sender has kept (RFC 6109 §3.3.2).

In such a receipt every part of the original that has a file name is replaced by a text part, `NAME.hash`, that holds
40 hexadecimal digits of SHA-1. "The hash value SHOULD be calculated on base64 encoded parts": providers differ, so the
part as it is encoded and the part decoded are both tried, and which of them fits is said.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from archipec.errors import IntegrityError
from archipec.pec.mime import Part, children, entity

__all__ = ["Check", "check_breve"]

_HASH = re.compile(rb"\s*([0-9a-f]{40})\s*", re.IGNORECASE)
_BARE_LF = re.compile(rb"(?<!\r)\n")
_DEPTH = 20
MATCHES, DIFFERS, UNCHECKED = "matches", "differs", "unchecked"


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of a comparison.

    Attributes:
        status: `matches`, `differs`, or `unchecked` when there was nothing to compare with.
        form: what the hashes were made of: `encoded`, `decoded`, `encoded and decoded` when parts differ in that,
            empty when nothing was hashed or nothing fits.
        sentence: why it differs or was not checked; empty when it matches.
    """

    status: str
    form: str = ""
    sentence: str = ""


def check_breve(short: bytes, original: bytes) -> Check:
    """Compare what a short receipt has left of the original with the original itself. Raises nothing.

    Args:
        short: the `postacert.eml` of the receipt.
        original: the whole original message; its headers are not compared, providers add to them.
    """
    forms: set[str] = set()
    problem = next(_differences(entity(short), entity(original), forms, 0), None)
    if problem is not None:
        return Check(DIFFERS, sentence=f"the delivery receipt does not fit the original: {problem}")
    return Check(MATCHES, " and ".join(sorted(forms, reverse=True)))


def _differences(short: Part, original: Part, forms: set[str], depth: int) -> Iterator[str]:
    digest = _digest(short)
    if digest is not None and short.name != original.name:
        form = _form(original, digest)
        if form is None:
            yield f'"{original.name or short.name}" has another hash'
        else:
            forms.add(form)
        return
    inside, kept = children(short), children(original)
    if len(inside) != len(kept) or depth > _DEPTH:
        yield f"it has {len(kept)} parts where the receipt shows {len(inside)}"
    elif inside:
        for one, other in zip(inside, kept, strict=True):
            yield from _differences(one, other, forms, depth + 1)
    elif _text(short) != _text(original):
        yield f'"{original.name}" has changed' if original.name else "its text is another"


def _digest(part: Part) -> str | None:
    """The hash that a part stands for something else with, None when it is no such part."""
    if (
        part.media_type != "text/plain"
        or not part.name.lower().endswith(".hash")
        or part.end - part.body > 1000
    ):
        return None
    try:
        match = _HASH.fullmatch(part.content())
    except IntegrityError:
        return None
    return match[1].decode("ascii").lower() if match else None


def _form(part: Part, digest: str) -> str | None:
    """What of a part has that hash."""
    encoded = part.raw[part.body : part.end]
    # An archive may keep bare LFs, and whether the last line end belongs to a part is seen in either way.
    lines = encoded if b"\n" not in encoded else _BARE_LF.sub(b"\r\n", encoded)
    if any(_sha1(form) == digest for form in (encoded, lines, lines + b"\r\n", lines.rstrip(b"\r\n"))):
        return "encoded"
    try:
        return "decoded" if _sha1(part.content()) == digest else None
    except IntegrityError:
        return None


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _text(part: Part) -> bytes:
    """A part's content, without what transport may change of it."""
    try:
        content = part.content()
    except IntegrityError:
        content = part.raw[part.body : part.end]
    return b"\n".join(line.rstrip() for line in content.splitlines()).rstrip()
