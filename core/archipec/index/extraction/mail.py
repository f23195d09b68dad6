"""The texts and files of a MIME entity, in the order in which they stand (RFC 2045, 2046, 3676)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from archipec.index.extraction.charset import decode_text
from archipec.pec.mime import Part, children

__all__ = ["Leaf", "leaves", "part_text"]

MAX_PARTS: Final = 2000
"""Parts of one message that are looked at, those in parts included."""

_DEPTH: Final = 20
_SOFT_BREAK: Final = re.compile(r" \n(?!-- \n)(>*) ?")
_SIGNATURES: Final = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})


class Leaf(NamedTuple):
    """A part that has no parts.

    Attributes:
        is_file: it is attached, or bears a name: not what the message says in its body.
    """

    part: Part
    is_file: bool


def leaves(part: Part, without: Collection[Part] = ()) -> Iterator[Leaf]:
    """Yield the parts of an entity that have no parts, at most `MAX_PARTS`, itself if it has none.

    An attached message is one of them, and not entered. A signature is left out.

    Args:
        without: parts to leave out, with what is in them.
    """
    left_out = {(one.start, one.end) for one in without}
    waiting = [(part, 0)]
    looked_at = 0
    while waiting and looked_at < MAX_PARTS:
        one, depth = waiting.pop()
        looked_at += 1
        if (one.start, one.end) in left_out or one.media_type in _SIGNATURES:
            continue
        inside = children(one) if depth < _DEPTH else []
        if inside:
            waiting += [(child, depth + 1) for child in reversed(inside)]
        else:
            yield Leaf(one, _is_file(one))


def _is_file(part: Part) -> bool:
    if not part.media_type.startswith("text/"):
        return True
    return part.disposition[:10].lower() == b"attachment" or bool(part.name)


def part_text(part: Part) -> tuple[str, str]:
    """Return the text of a part of type text, and what is odd about it.

    Raises:
        IntegrityError: its transfer encoding can't be undone.
    """
    text, oddity = decode_text(part.content(), part.parameter("charset") if part.content_type else "")
    if b"flowed" in part.content_type.lower() and part.parameter("format").lower() == "flowed":
        space = "" if part.parameter("delsp").lower() == "yes" else " "
        text = _SOFT_BREAK.sub(space, text)
    return text, oddity
