"""Standard output and standard error of the command line: what goes where, and what becomes of what can't be written.

- Standard output is data: what a plugin prints, or a program that a plugin starts, goes to standard error.
- Known secrets are masked in both.
- Nothing that keeps text from being written stops the work or its record: the first failure is kept, and what can't be
  written is dropped. Who reads standard output and leaves (``| head``) has what it wanted; a full disk or a closed
  output is an outcome of its own (`failure`).
"""

from __future__ import annotations

import errno
import io
import json
import os
import select
import sys
from contextlib import suppress
from typing import Any, Final, TextIO

from archipec.errors import TransientError
from archipec.language import _
from archipec.masking import mask, mask_json
from archipec.supervision import beat, in_plugin
from archipec.terminal import json_line

__all__ = ["failure", "take_over"]

# Windows calls a closed pipe an invalid argument.
_LEFT: Final = frozenset({errno.EPIPE, errno.ECONNRESET, *((errno.EINVAL,) if os.name == "nt" else ())})
_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_data: _Raw | None = None


class _Raw(io.RawIOBase):
    """Writes to a descriptor until that fails, and drops what comes after."""

    def __init__(self, descriptor: int, error: OSError | None = None) -> None:
        self._descriptor = descriptor
        self.error = error
        self.asked = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return self.error is None and os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        self.asked = self.asked or bool(size)
        while rest and self.error is None:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError as error:  # whoever shares it made it so
                if sys.platform == "win32":  # where select waits for sockets alone
                    self.error = error
                else:
                    select.select([], [self._descriptor], [])
            except OSError as error:
                self.error = error
        return size


class _Text(io.TextIOWrapper):
    """A text stream that masks secrets; what a plugin writes goes to ``talk`` instead, where that is given."""

    def __init__(self, raw: _Raw, like: TextIO | None, talk: TextIO | None) -> None:
        errors = getattr(like, "errors", None) or "strict"
        super().__init__(
            io.BufferedWriter(raw),
            encoding=getattr(like, "encoding", None) or "utf-8",
            # A file's name may hold what no encoding has: it is shown as an escape, which JSON reads too.
            errors="backslashreplace" if errors == "strict" else errors,
            line_buffering=raw.isatty() or talk is None,
            write_through=True,
        )
        self._talk = talk

    def write(self, text: str) -> int:
        if self._talk is not None and in_plugin():
            beat()
            return self._talk.write(text)
        super().write(_masked(text))
        return len(text)

    def flush(self) -> None:
        if self._talk is not None and in_plugin():
            self._talk.flush()
        else:
            super().flush()


def _masked(text: str) -> str:
    shown = mask(text)
    if shown is text or shown == text or not text.startswith("{"):
        return shown
    lines = []
    for line in text.splitlines(keepends=True):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            lines.append(mask(line))
        else:
            # As data: numbers and keys stay, and so does what makes it JSON.
            lines.append(json_line(mask_json(value)) + line[len(line.rstrip("\r\n")) :])
    return "".join(lines)


def take_over() -> None:
    """Put these streams in the place of Python's, once, at the start of a process that is the command line."""
    global _data
    closed = {number for number in (0, 1, 2) if not _is_open(number)}
    for number in sorted(closed):
        # Else the next file that is opened, the ledger perhaps, would be what others print into.
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing != number:
            os.dup2(nothing, number)
            os.close(nothing)
    lost = OSError(errno.EBADF, os.strerror(errno.EBADF))
    with suppress(OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    talk = _Text(_Raw(2, lost if 2 in closed else None), sys.stderr, None)
    _data = _Raw(os.dup(1), lost if 1 in closed else None)
    data = _Text(_data, sys.stdout, talk)
    # What programs and libraries write to descriptor 1 by themselves is talk.
    os.dup2(2, 1)
    sys.stdout, sys.stderr = data, talk


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def failure() -> TransientError | None:
    """Return why not all of the data could be written; None when it was, or when its reader had enough."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    if _data is None or _data.error is None or not _data.asked or _data.error.errno in _LEFT:
        return None
    if _data.error.errno == errno.EBADF:
        return TransientError(
            _("standard output is closed: what this command printed is lost"),
            hint=_("send it to a file or to /dev/null"),
        )
    full = _data.error.errno in _FULL
    reason = _("no room left on its disk") if full else (_data.error.strerror or str(_data.error)).lower()
    return TransientError(
        _("standard output: {reason}: what this command printed is not all there").format(reason=reason),
        hint=_("the work itself is done and recorded; see it by `archipec status`"),
    )
