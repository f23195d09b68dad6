"""Finds the messages in an mbox of whatever dialect, in one pass and a few megabytes of memory."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from archipec_plugins.sources.mbox.dialect import Dialect
from archipec_plugins.sources.mbox.stream import Stream
from archipec_plugins.sources.mbox.window import Window

__all__ = ["Scanner", "Span", "digest_of"]

_LOOK: Final = 8192
"""Bytes looked at from a line on to tell whether it is a separator, and what follows it."""
_LONGEST_LINE: Final = 1000
_LONGEST_HEADER: Final = 64 * 1024
_KEPT: Final = 8
"""Bytes kept behind: a blank line and most of ``From `` may lie across two chunks."""
_MOST_WRONG_LENGTHS: Final = 3

_FROM: Final = b"From "
# A time and a year: what they stand between differs with programs and languages.
_DATED = re.compile(
    rb"From .*\b[0-9]{1,2}:[0-9]{2}\b.*\b(?:19|20)[0-9]{2}\b|From .*\b(?:19|20)[0-9]{2}-[0-9]"
)
_INTERNAL: Final = b"\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA"
_FIELD = re.compile(rb"[!-9;-~]{1,76}[ \t]*:")
_CONTENT_LENGTH = re.compile(rb"(?i)\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r?\n")


class Span(NamedTuple):
    """A message as it lies in a stream, without separator and blank line.

    Attributes:
        offset: of its first byte.
        length: bytes stored.
        digest: of them, as `digest_of`.
        dialect: it is written in.
        exact: nothing in it is quoted: it is as long as it is stored.
        preamble: the bytes between separator and message that a mail program put there.
        separator: the line before it.
        internal: it is no message, but what a mail server keeps in the shape of one.
    """

    offset: int
    length: int
    digest: str
    dialect: Dialect
    exact: bool
    preamble: bytes
    separator: bytes
    internal: bool


def digest_of(stored: bytes = b"") -> hashlib.blake2b:
    """Return the hash by which a message is known to be stored as it was when it was listed."""
    return hashlib.blake2b(stored, digest_size=8)


class Scanner:
    """Finds messages.

    A line is a separator when it begins with ``From `` and bears a date, as the first one of the file does, and a
    header follows it; in mboxrd, where no other line can begin like that, the date is enough. In a file whose first
    separator has no date, a blank line must come before. ``Content-Length`` is believed when that of the file's first
    message leads to a separator, and from then on wherever it does.

    Args:
        dialect: what the file is written in; None to find out.
        skip: given the first bytes behind a separator, returns how many of them are not the message's.
        left_out: told (offset, reason) of what is no message, or only a part of one.
    """

    def __init__(
        self,
        stream: Stream,
        dialect: Dialect | None,
        skip: Callable[[bytes], int],
        left_out: Callable[[int, str], None],
    ) -> None:
        self._stream = stream
        self._dialect = dialect
        self._lengths: bool | None = None if dialect is None else dialect is Dialect.CL
        self._skip = skip
        self._left_out = left_out
        self._dated: bool | None = None
        self._wrong_lengths = 0

    def continues(self, end: int) -> bool:
        """Tell whether a message that once ended at ``end`` still does: a separator follows it, or nothing."""
        window = Window(self._stream, max(0, end - 1))
        window.reach(end + _LOOK, end)
        return self._boundary(window, end) is not None

    def spans(self, start: int = 0) -> Iterator[Span]:
        """Yield the messages from an offset on: that of the stream's first byte, or behind a message."""
        window = Window(self._stream, max(0, start - 1))
        at = self._first_separator(window, start)
        while at is not None:
            window, span, at = self._message(window, at)
            if at is None and window.damage is not None:
                self._left_out(span.offset, window.damage.message)
                window, at = self._behind_damage(window.end)
            elif span.internal:
                self._left_out(span.offset, "it is a mail server's own data, not a message")
            else:
                yield span

    def _behind_damage(self, offset: int) -> tuple[Window, int | None]:
        seams = self._stream.seams
        number = bisect_right(seams, offset)
        window = Window(self._stream, seams[number] if number < len(seams) else self._stream.size)
        return window, self._first_separator(window, window.base)

    # -- messages ------------------------------------------------------------------------------

    def _message(self, window: Window, at: int) -> tuple[Window, Span, int | None]:
        """Read the message behind the separator at an offset; return it and where the next separator is."""
        window.reach(at + _LOOK, at - 1)
        separator = _line(window, at)
        start = at + len(separator)
        preamble = window.bytes(start, start + self._skip(window.bytes(start, at + _LOOK)))
        start += len(preamble)
        internal = _INTERNAL in window.bytes(start, at + _LOOK)
        declared = self._declared_end(window, start) if self._lengths is not False else None
        following = None
        reading = _Reading(window, start)
        if not self._lengths or declared is None or not self._read_declared(reading, declared):
            reading = reading.again(self._stream)
            following = self._read_to_separator(reading)
            if self._lengths is None and not internal:
                self._lengths = declared is not None and 0 <= reading.done - declared <= _KEPT
                if self._lengths and declared is not None:
                    self._dialect = Dialect.CL
                    reading = reading.again(self._stream)
                    self._read_declared(reading, declared)
        window = reading.window
        if following is None:
            following = self._boundary(window, reading.done)
        dialect = self._dialect or Dialect.of(separator)
        exact = dialect is Dialect.CL or not reading.quoted
        length, digest = reading.done - start, reading.digest.hexdigest()
        span = Span(start, length, digest, dialect, exact, preamble, separator, internal)
        return window, span, None if window.ended and following == window.end else following

    @staticmethod
    def _declared_end(window: Window, start: int) -> int | None:
        """Return where a message ends by its ``Content-Length``, None when it has none."""
        window.reach(start + _LONGEST_HEADER, start - 1)
        head = window.bytes(start - 1, start + _LONGEST_HEADER)
        ends = [at + len(end) for end in (b"\n\n", b"\n\r\n") if (at := head.find(end)) >= 0]
        match = _CONTENT_LENGTH.search(head, 0, min(ends)) if ends else None
        return start - 1 + min(ends) + int(match[1]) if match else None

    def _read_declared(self, reading: _Reading, end: int) -> bool:
        """Read a message to an end; False, with part of it read or none, when it can't be the end."""
        window = reading.window
        if end <= self._stream.size:
            while reading.done < end and not (window.ended and reading.done == window.end):
                reading.take(min(end, window.end))
                window.reach(min(end, window.end + 1), reading.done - _KEPT)
            reading.look(end)
            if reading.done == end and self._boundary(window, end) is not None:
                return True
        self._wrong_lengths += 1
        if self._wrong_lengths >= _MOST_WRONG_LENGTHS:
            self._lengths = False
        return False

    def _read_to_separator(self, reading: _Reading) -> int | None:
        """Read a message to where the next one is separated from it, and return that offset; None at the end."""
        window, start = reading.window, reading.done
        looked = start
        while True:
            at = self._next_line(window, looked, start)
            if at >= 0:
                reading.look(at)
                if self._is_separator(window, at):
                    reading.take(_end(window, start, at))
                    return at
                looked = at + 1
            elif window.ended:
                reading.take(_end(window, start, window.end))
                return None
            else:
                looked = max(looked, window.end - len(_FROM) + 1)
                reading.take(window.end - _KEPT)
                window.reach(window.end + 1, reading.done - _KEPT)

    def _next_line(self, window: Window, offset: int, start: int) -> int:
        """Return where a line that may be a separator begins, at ``offset`` or behind it; -1 for nowhere in memory."""
        found = window.find(b"\n" + _FROM, offset - 1)
        at = found + 1 if found >= 0 else -1
        number = bisect_right(self._stream.seams, max(offset - 1, start))
        if number < len(self._stream.seams):
            seam = self._stream.seams[number]
            if seam <= window.end and (at < 0 or seam < at):
                return seam
        return at

    # -- separators ----------------------------------------------------------------------------

    def _first_separator(self, window: Window, offset: int) -> int | None:
        """Return where the first separator is, at ``offset`` or behind it, blank lines aside."""
        at = offset
        window.reach(at + _LOOK, at - 1)
        while blank := _blank_line(window, at):
            at += blank
            window.reach(at + _LOOK, at - 1)
        if window.bytes(at, at + len(_FROM)) == _FROM:
            self._learn(_line(window, at))
            return at
        if window.ended and at == window.end:
            return None
        following = self._read_to_separator(_Reading(window, at))
        self._left_out(at, "no From line comes before it, so it belongs to no message")
        if following is not None:
            self._learn(_line(window, following))
        return following

    def _learn(self, separator: bytes) -> None:
        if self._dated is None:
            self._dated = _DATED.match(separator) is not None
        if self._dialect is None:
            self._dialect = Dialect.of(separator)
            self._lengths = None if self._dialect is Dialect.O else False

    def _boundary(self, window: Window, end: int) -> int | None:
        """Return where the separator is that follows a message, or the end of the stream; None for neither."""
        for at in (end, end + _blank_line(window, end)):
            if (window.ended and at == window.end) or self._is_separator(window, at):
                return at
        return None

    def _is_separator(self, window: Window, at: int) -> bool:
        line = _line(window, at)
        if not line.startswith(_FROM):
            return False
        apart = window.bytes(at - 3, at).endswith((b"\n\n", b"\n\r\n")) or at in self._stream.seams
        if self._dated:
            if _DATED.match(line) is None:
                return False
            if self._dialect is Dialect.RD:
                return True
        elif not apart:
            return False
        behind = window.bytes(at + len(line), at + _LOOK)
        return _FIELD.match(behind) is not None or (apart and (not behind or behind[:1] in b"\r\n>"))


class _Reading:
    """A message being read: what of it was hashed."""

    def __init__(self, window: Window, start: int) -> None:
        self.window = window
        self.done = self._start = start
        self.digest = digest_of()
        self.quoted = False

    def take(self, end: int) -> None:
        """Hash the bytes up to an offset."""
        if end > self.done:
            since = max(self.done - _KEPT, self._start)
            self.quoted = self.quoted or self.window.find(b">From ", since, end) >= 0
            self.digest.update(self.window.view(self.done, end))
            self.done = end

    def look(self, at: int) -> None:
        """Have what lies behind an offset in memory."""
        if self.window.end < at + _LOOK:
            self.take(at - _KEPT)
            self.window.reach(at + _LOOK, min(self.done, at) - _KEPT)

    def again(self, stream: Stream) -> _Reading:
        """Return a reading of the same message from its start."""
        here = self.window.base < self._start
        return _Reading(self.window if here else Window(stream, self._start - 1), self._start)


def _line(window: Window, at: int) -> bytes:
    """Return the line at an offset with its end; nothing when it is too long for a separator."""
    end = window.find(b"\n", at, at + _LONGEST_LINE) + 1
    if not end and window.ended and window.end - at <= _LONGEST_LINE:
        end = window.end
    return window.bytes(at, end)


def _blank_line(window: Window, at: int) -> int:
    """Return how long the blank line at an offset is, 0 when there is none."""
    return {b"\n": 1, b"\r": 2 if window.bytes(at, at + 2) == b"\r\n" else 0}.get(window.bytes(at, at + 1), 0)


def _end(window: Window, start: int, at: int) -> int:
    """Return where a message ends that has a separator, or the end of the file, at ``at``: before the blank line."""
    last = window.bytes(at - 3, at)
    for blank in (b"\n\r\n", b"\n\n"):
        if last.endswith(blank):
            return max(start, at - len(blank) + 1)
    return at
