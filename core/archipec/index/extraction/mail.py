"""The texts and files of a MIME entity, in the order in which they stand (RFC 2045, 2046, 3676)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from archipec.index.extraction.charset import decode_text
from archipec.pec.mime import Part, children

__all__ = ["Leaf", "leaves", "part_text"]

MAX_PARTS: Final = 2000
"""Parts of one message that are looked at, those in parts included."""

_DEPTH: Final = 20
_SOFT_BREAK: Final = re.compile(r"(?<!^--) \n(?!-- \n)>* ?", re.MULTILINE)  # "-- " begins a signature
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
    if not part.media_type.startswith("text/"):
        return True
    return part.disposition[:10].lower() == b"attachment" or bool(part.name)


def part_text(part: Part) -> tuple[str, str]:
    """Return the text of a part of type text, and what is odd about it.

    Raises:
        IntegrityError: its transfer encoding can't be undone.
    """
    text, oddity = decode_text(part.content(), part.parameter("charset"))
    if part.parameter("format").lower() == "flowed":  # RFC 3676 §4
        text = _SOFT_BREAK.sub("" if part.parameter("delsp").lower() == "yes" else " ", text)
    return text, oddity
