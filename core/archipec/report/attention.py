"""What of a pipeline needs attention, in sentences: those of most weight first."""

from __future__ import annotations

from typing import Final

from archipec.custody.attention import MatterKind
from archipec.errors import counted
from archipec.language import N_, _
from archipec.report.facts import PipelineFacts

__all__ = ["attention"]

_BAD_SEALS: Final = {
    "altered": N_("{messages} altered after sealing"),
    "malformed": N_("{messages} with a seal that can't be read"),
    "untrusted": N_("{messages} sealed by an authority that is not trusted"),
    "expired": N_("{messages} sealed with an expired certificate"),
}


def attention(facts: PipelineFacts) -> list[str]:
    """Return what needs attention, a sentence each."""
    found = [one.text for one in facts.matters]
    waiting = sum(one.messages for one in facts.failed_messages)
    if waiting and not any(one.kind is MatterKind.NOT_STORED for one in facts.matters):
        found.append(_("not archived: {messages}").format(messages=counted(waiting, "message")))
    for seal, sentence in _BAD_SEALS.items():
        if number := facts.seals.get(seal, 0):
            found.append(_(sentence).format(messages=counted(number, "message")))
    if number := facts.sendings.attention:
        found.append(_("{messages} sent: look at the receipts").format(messages=counted(number, "message")))
    return found
