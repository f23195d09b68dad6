"""Numbers of messages, and what became of them, as they are said."""

from __future__ import annotations

from archipec.language import ngettext, written

__all__ = ["outcome_words"]


def outcome_words(outcome: str, number: int) -> str:
    """Return a number of messages with an outcome ("3 stored"), empty for what is no outcome."""
    words = {
        "stored": ngettext("{n} stored", "{n} stored", number),
        "failed": ngettext("{n} failed", "{n} failed", number),
        "left": ngettext("{n} not reached", "{n} not reached", number),
        "pending": ngettext("{n} pending", "{n} pending", number),
        "rejected": ngettext("{n} rejected", "{n} rejected", number),
        "deleted": ngettext("{n} deleted", "{n} deleted", number),
        "moved": ngettext("{n} moved to the trash", "{n} moved to the trash", number),
        "checked": ngettext("{n} checked", "{n} checked", number),
        "missing": ngettext("{n} missing", "{n} missing", number),
        "altered": ngettext("{n} altered", "{n} altered", number),
        "indexed": ngettext("{n} indexed", "{n} indexed", number),
    }
    return words.get(outcome, "").format(n=written(number))
