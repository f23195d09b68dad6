"""Names of files as text that may be shown, stored and turned back."""

from __future__ import annotations

import os
import re

_MARK = "\N{REPLACEMENT CHARACTER}"
# Bytes that are no UTF-8 (PEP 383), what would steer a terminal, and the mark itself.
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd]+")
_ESCAPED = re.compile("(?:\ufffd[0-9a-f]{2})+")


def escape(name: str) -> str:
    """Return a file's name with what can't be shown or stored written as \N{REPLACEMENT CHARACTER} and two digits."""
    return _ODD.sub(lambda match: "".join(f"{_MARK}{byte:02x}" for byte in os.fsencode(match[0])), name)


def unescape(text: str) -> str:
    """Return the name that `escape` was given."""
    return _ESCAPED.sub(lambda match: os.fsdecode(bytes.fromhex(match[0].replace(_MARK, ""))), text)
