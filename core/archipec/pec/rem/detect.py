"""Recognises messages of REM, the European registered mail that follows PEC (ETSI EN 319 532, TS 102 640).

It recognises them and no more: their evidence has signatures of its own (XAdES with a time-stamp), which nothing here
checks. A reader of certified mail that carries `X-REM-Subject` alone is still a PEC message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archipec.errors import IntegrityError
from archipec.pec.headers import Header, raw_text
from archipec.pec.mime import EntityHeader, Part, children

if TYPE_CHECKING:
    from archipec.pec.structure import Structure

NOT_VERIFIED = "not verified as REM"
"""What is to be said of every such message."""

_MAX_EVIDENCE = 64
_MAX_XML = 4 * 1024 * 1024
_NAMESPACE = b"http://uri.etsi.org/19522/"
_EVENT = re.compile(rb"http://uri\.etsi\.org/19522/Event/([A-Za-z]{1,60})")
_MARKS = re.compile(
    rb"\n(?:REM-Section-Type|REM-UAMessageIdentifier|X-REM-(?:Msg-Type|Section-Type|Evidence-Type|Event"
    rb"|Evidence-Identifier|Message-Identifier|DigestMethod))[ \t]*:",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Rem:
    """What shows that a message is REM.

    Attributes:
        evidence: names of the events that it holds evidence of (`SubmissionAcceptance`, `ContentConsignment`…).
        original: whether it holds the original message.
    """

    evidence: tuple[str, ...]
    original: bool


def detect_rem(structure: Structure) -> Rem | None:
    """Whether a message is REM; None when nothing says so. Raises nothing."""
    marked = _is_marked(structure.header)
    sections = [
        (part, is_section)
        for part in structure.parts
        if (is_section := _is_marked(part.header)) or _may_be_evidence(part.header)
    ]
    if not marked and not sections:
        return None
    evidence: list[str] = []
    original = False
    # Some providers put evidence one level below.
    for part in [part for part, is_section in sections if is_section]:
        sections += [(child, _is_marked(child.header)) for child in children(part)]
    for part, is_section in sections:
        event = ""
        if is_section:
            marked = True
            header = part.header
            section = header.first("REM-Section-Type") or header.first("X-REM-Section-Type")
            original = original or (section or b"").lower().endswith(b"original")
            event = raw_text(header.first("X-REM-Evidence-Type") or header.first("X-REM-Event") or b"")
        event = event or _event(part)
        if event and event not in evidence and len(evidence) < _MAX_EVIDENCE:
            evidence.append(event[:80])
    return Rem(tuple(evidence), original) if marked or evidence else None


def _is_marked(header: Header) -> bool:
    return b"rem-" in header.folded and _MARKS.search(header.block) is not None


def _may_be_evidence(header: EntityHeader) -> bool:
    name = header.name.lower()
    return (header.media_type.endswith("/xml") or name.endswith(".xml")) and name != "daticert.xml"


def _event(part: Part) -> str:
    """The event that an XML part is evidence of, by what it says, else by its name; empty when it is something else."""
    if not _may_be_evidence(part.header):
        return ""
    kind, name = part.media_type, part.name
    if kind.startswith(("multipart/", "message/")) or part.end - part.body > _MAX_XML:
        return ""
    try:
        content = part.content()
    except IntegrityError:
        return ""  # then it is no evidence that anyone could read
    if _NAMESPACE not in content:
        return ""
    match = _EVENT.search(content)
    return match[1].decode("ascii") if match else name.rpartition(".")[0]
