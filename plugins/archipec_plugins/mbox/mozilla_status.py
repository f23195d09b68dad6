"""The lines Thunderbird writes in front of a message in its folders, which are not part of the message.

::

    X-Account-Key: account1
    X-UIDL: 0000001a5f3c
    X-Mozilla-Status: 0011
    X-Mozilla-Status2: 00800000
    X-Mozilla-Keys: $label1

https://searchfox.org/comm-central/source/mailnews/base/public/nsMsgMessageFlags.idl
"""

from __future__ import annotations

import re
from typing import Final

_LINES = re.compile(rb"(?:X-(?:Account-Key|UIDL|Mozilla-(?:Status2?|Keys)):[^\n]*\n)+")
_OURS = re.compile(rb"(?m)^X-(?:Account-Key|Mozilla-(?:Status2?|Keys)):")
_STATUS = re.compile(rb"(?m)^X-Mozilla-Status:[ \t]*([0-9A-Fa-f]{4})[ \t]*\r?$")
_KEYS = re.compile(rb"(?m)^X-Mozilla-Keys:[ \t]*([!-~ \t]*?)[ \t]*\r?$")

_EXPUNGED: Final = 0x0008
_PARTIAL: Final = 0x0400
_FLAGS: Final = ((0x0001, "\\Seen"), (0x0002, "\\Answered"), (0x0004, "\\Flagged"), (0x1000, "$Forwarded"))


class MozillaStatus:
    """Thunderbird as an `archipec_plugins.files.folders.Preamble`.

    Attributes:
        deleted: messages met that are deleted, and only wait for the folder to be compacted.
        partial: messages met of which only the beginning was downloaded.
    """

    def __init__(self) -> None:
        self.deleted = 0
        self.partial = 0

    def skip(self, beginning: bytes) -> int:
        """Return how long the lines are; a server's own X-UIDL alone doesn't count."""
        match = _LINES.match(beginning)
        return match.end() if match and _OURS.search(match[0]) else 0

    def flags(self, preamble: bytes) -> tuple[str, ...] | None:
        """Return the flags that the lines state, None for a message that is deleted, or not wholly there."""
        match = _STATUS.search(preamble)
        status = int(match[1], 16) if match else 0
        if status & _EXPUNGED:
            self.deleted += 1
            return None
        if status & _PARTIAL:
            self.partial += 1
            return None
        keys = _KEYS.search(preamble)
        words = keys[1].decode("ascii").split() if keys else []
        return tuple(flag for bit, flag in _FLAGS if status & bit) + tuple(words)
