"""Tells what passes for certified mail though this version does not know its kind, so that no selection drops it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archipec.pec.headers import Header
from archipec.pec.kind import KINDS, UNSEALED

if TYPE_CHECKING:
    from archipec.pec.buffer import Octets

__all__ = ["claimed", "claims_certification", "holds_certification", "is_unrecognised"]

# REM's fields begin with REM-, those of TS 102 640, which it grew out of, with X-REM-.
_CLAIM = re.compile(rb"\n(?:x-(?:trasporto|ricevuta)|(?:x-)?rem-[!-9;-~]+)[ \t]*:")


def claims_certification(head: Octets) -> bool:
    """Whether a header has a field of PEC or REM.

    Args:
        head: a message, its beginning, or its header block; any bytes.
    """
    return claimed(Header.of(head))


def claimed(header: Header) -> bool:
    """As `claims_certification`, of a header that is cut out already."""
    return _CLAIM.search(header.folded) is not None


def holds_certification(raw: Octets) -> bool:
    """Whether a whole message, which may be any bytes, has certification data or evidence among its own parts."""
    from archipec.pec.rem.detect import detect_rem
    from archipec.pec.structure import parse_structure

    structure = parse_structure(raw)
    if any(part.name.lower() == "daticert.xml" for part in structure.parts):
        return True
    rem = detect_rem(structure)
    return rem is not None and bool(rem.evidence)


def is_unrecognised(kind: str, *, claims: bool) -> bool:
    """Whether a message passes for certified mail and is of no kind of certified mail that this version knows.

    Args:
        kind: as `kind.kind_of`.
        claims: what `claims_certification` or `holds_certification` says of it.
    """
    return kind not in KINDS or (claims and kind in UNSEALED)
