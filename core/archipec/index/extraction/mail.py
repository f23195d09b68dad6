"""The texts and files of a MIME entity, in the order in which they stand (RFC 2045, 2046, 3676)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from archipec.index.extraction.charset import decode_text
from archipec.pec.mime import Part, children

__all__ = ["Leaf", "charset_of", "leaves", "part_text"]

MAX_PARTS: Final = 2000
"""Parts of one message that are looked at, those in parts included."""

_DEPTH: Final = 20
_LONGEST_TYPE: Final = 1000  # bytes of a Content-Type
_SOFT_BREAK: Final = re.compile(r" \n(?!-- \n)(>*) ?")
_SIGNATURES: Final = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})


class Leaf(NamedTuple):
    """A part that has no parts.

    Attributes:
        is_file: it is attached, or bears a name: not what the message says in its body.
        is_repeat: it is another form of a plain text that came before it (RFC 2046 §5.1.4).
    """

    part: Part
    is_file: bool
    is_repeat: bool = False


def leaves(part: Part) -> Iterator[Leaf]:
    """Yield the parts of an entity that have no parts, at most `MAX_PARTS`, itself if it has none.

    An attached message is one of them, and not entered. A signature is left out.
    """
    waiting = [(part, 0, False)]
    looked_at = 0
    while waiting and looked_at < MAX_PARTS:
        one, depth, is_repeat = waiting.pop()
        looked_at += 1
        if one.media_type in _SIGNATURES:
            continue
        inside = children(one) if depth < _DEPTH else []
        if not inside:
            is_file = _is_file(one)
            yield Leaf(one, is_file, is_repeat and not is_file)
            continue
        repeats = one.media_type == "multipart/alternative" and inside[0].media_type == "text/plain"
        later = [(child, depth + 1, is_repeat or repeats) for child in inside[:0:-1]]
        waiting += [*later, (inside[0], depth + 1, is_repeat)]


def _is_file(part: Part) -> bool:
    if not part.media_type.startswith("text/") or part.disposition[:10].lower() == b"attachment":
        return True
    # To look for a name takes longer than to see that there can't be one.
    return b"name" in (part.content_type + part.disposition).lower() and bool(part.name)


def part_text(part: Part) -> tuple[str, str]:
    """Return the text of a part of type text, and what is odd about it.

    Raises:
        IntegrityError: its transfer encoding can't be undone.
    """
    form = _text_form(part.content_type[:_LONGEST_TYPE])
    text, oddity = decode_text(part.content(), form.charset)
    if form.flowed:
        text = _SOFT_BREAK.sub("" if form.joined else " ", text)
    return text, oddity


def charset_of(part: Part) -> str:
    """The charset that a part of type text says it has; empty for none."""
    return _text_form(part.content_type[:_LONGEST_TYPE]).charset


class _TextForm(NamedTuple):
    """How text is written: see RFC 2046 §4.1.2 and, for lines that flow, RFC 3676 §4."""

    charset: str
    flowed: bool
    joined: bool


@lru_cache(maxsize=128)
def _text_form(content_type: bytes) -> _TextForm:
    part = Part(b"", 0, 0, 0, content_type=content_type)
    return _TextForm(
        part.parameter("charset"),
        part.parameter("format").lower() == "flowed",
        part.parameter("delsp").lower() == "yes",
    )
