"""The dialects of mbox, and how a message that lies in one is given back.

All of them begin a message with a line ``From ADDRESS DATE`` and end it with a blank line. They differ in what becomes
of the message's own lines that begin with ``From ``:

======== ========================================================== ===========================================
RD       mboxrd: ``^>*From `` gets one ``>`` more                   archipec, Thunderbird, Google Takeout
O        mboxo: ``^From `` gets a ``>``; ``>From `` stays as it is  Python's mailbox, formail, procmail, mutt
CL       mboxcl2: stays as it is, ``Content-Length`` says how long  Dovecot
======== ========================================================== ===========================================

mboxo can't be undone for sure: ``>From `` may have been ``>From `` before. It is taken for a quoted ``From ``, which
it nearly always is. https://www.loc.gov/preservation/digital/formats/fdd/fdd000383.shtml
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator

from archipec_plugins.mbox.mboxrd import SENDER, unquote


class Dialect(enum.StrEnum):
    """How a file quotes; the value is what options and refs say."""

    RD = "mboxrd"
    O = "mboxo"
    CL = "mboxcl2"

    @classmethod
    def of(cls, separator: bytes) -> Dialect:
        """Return what a file that begins with this line is written in, ``Content-Length`` apart."""
        return cls.RD if separator.startswith((SENDER, b"From - ")) else cls.O


def restored(chunks: Iterable[bytes], dialect: Dialect) -> Iterator[bytes]:
    """Yield a message as it was before it was stored, given the bytes that are stored."""
    match dialect:
        case Dialect.RD:
            return unquote(chunks)
        case Dialect.O:
            return _unquote_once(chunks)
        case Dialect.CL:
            return iter(chunks)


_WORD = b"\n>From "


def _unquote_once(chunks: Iterable[bytes]) -> Iterator[bytes]:
    # The first line begins like any other: it is given a line end before it, which is taken away again.
    held, first = b"\n", True
    for chunk in chunks:
        data = held + chunk
        size = next((n for n in range(len(_WORD) - 1, 0, -1) if data.endswith(_WORD[:n])), 0)
        data, held = data[: len(data) - size], data[len(data) - size :]
        data = data.replace(_WORD, b"\nFrom ")
        if data:
            yield data[1:] if first else data
            first = False
    if held:
        yield held[1:] if first else held
