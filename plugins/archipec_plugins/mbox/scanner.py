"""Finds the messages in an mbox of whatever dialect, in one pass and a few megabytes of memory."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from archipec.errors import IntegrityError
from archipec.language import N_, _
from archipec_plugins.mbox.dialect import Dialect
from archipec_plugins.mbox.mboxrd import is_separator
from archipec_plugins.mbox.separators import (
    Behind,
    Form,
    Shape,
    begins_header,
    behind_of,
    boundary_of,
    second_separator,
    shape_of,
    usual_pattern,
)
from archipec_plugins.mbox.streams import MboxStream

SERVER_DATA: Final = N_("it is a mail server's own data, not a message")
_READ_AT_ONCE: Final = 1 << 20
_LOOK: Final = 8192
"""Bytes looked at from a line on to tell whether it is a separator, and what follows it."""
_LONGEST_LINE: Final = 1000
_FIRST_FIELD: Final = 80
_LONGEST_HEADER: Final = 64 * 1024
_KEPT: Final = 8
"""Bytes kept behind: a blank line and most of ``From `` may lie across two chunks."""
_TAIL: Final = 64 * 1024
"""Bytes kept behind where it matters how a message ends."""
_CLOSED: Final = 8
_AHEAD: Final = 1 << 20
"""Bytes looked at for the end of a part that a line may stand in."""
_MOST_WRONG_LENGTHS: Final = 3
_MOST_OPEN_ENDS: Final = 100
"""Messages whose last part is cut off, after which no more is looked ahead."""

_FROM: Final = b"From "
_INTERNAL: Final = b"\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA"
_CONTENT_LENGTH = re.compile(rb"(?i)\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r?\n")


class Window:
    """Bytes of a stream, by their offset in it.

    Attributes:
        base: offset of the first byte in memory.
        end: offset behind the last one.
        ended: the stream has no more.
        damage: why, when that is not its end.
    """

    def __init__(self, stream: MboxStream, start: int) -> None:
        self._stream = stream
        self._data = b""
        self.base = self.end = start
        self.ended = False
        self.damage: IntegrityError | None = None

    def reach(self, offset: int, keep: int) -> None:
        """Have the bytes up to an offset in memory, or all that there are.

        Args:
            keep: where it must read on, what lies before this offset is forgotten.
        """
        if self.ended or self.end >= offset:
            return
        parts = [self._data[max(0, keep - self.base) :]]
        self.base = self.end - len(parts[0])
        while not self.ended and self.end < offset:
            try:
                chunk = self._stream.read(self.end, _READ_AT_ONCE)
            except IntegrityError as error:
                self.damage, chunk = error, b""
            self.ended = not chunk
            self.end += len(chunk)
            parts.append(chunk)
        self._data = b"".join(parts)

    def find(self, word: bytes, start: int, end: int | None = None) -> int:
        """Return where ``word`` lies in memory, at ``start`` or behind it; -1 for nowhere."""
        stop = None if end is None else end - self.base
        at = self._data.find(word, max(0, start - self.base), stop)
        return at if at < 0 else at + self.base

    def bytes(self, start: int, end: int) -> bytes:
        """Return bytes that are in memory."""
        return self._data[max(0, start - self.base) : max(0, end - self.base)]

    def view(self, start: int, end: int) -> memoryview:
        """Return bytes that are in memory, uncopied."""
        return memoryview(self._data)[start - self.base : end - self.base]


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

    Whether a line that begins with ``From `` is a separator is decided by everything that can be known of it: the blank
    line before it, its date, the header behind it, how the file's first separator is built, whether the MIME part
    that it stands in ends only later. ``Content-Length`` is believed when that of the file's first message leads to a
    separator, and from then on wherever it does. Where two readings remain, the message is kept whole, and counted.

    Args:
        dialect: what the file is written in; None to find out.
        skip: given the first bytes behind a separator, returns how many of them are not the message's.
        left_out: called with (offset, reason) for what is no message, or only a part of one.

    Attributes:
        doubts: lines that may be separators and were taken for text; first_doubt: where the first of them is.
    """

    def __init__(
        self,
        stream: MboxStream,
        dialect: Dialect | None,
        skip: Callable[[bytes], int],
        left_out: Callable[[int, str], None],
    ) -> None:
        self._stream = stream
        self._dialect = dialect
        self._lengths: bool | None = None if dialect is None else dialect is Dialect.CL
        self._skip = skip
        self._left_out = left_out
        self._habit: Form | None = None
        self._usual: re.Pattern[bytes] | None = None
        self._wrong_lengths = 0
        self._open_ends = 0
        self.doubts = 0
        self.first_doubt = self._last_doubt = -1

    def continues(self, end: int) -> bool:
        """Return whether a message that once ended at ``end`` still does: a separator follows it, or nothing."""
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
                self._left_out(span.offset, SERVER_DATA)
            else:
                yield span

    def _behind_damage(self, offset: int) -> tuple[Window, int | None]:
        part_starts = self._stream.part_starts
        number = bisect_right(part_starts, offset)
        window = Window(self._stream, part_starts[number] if number < len(part_starts) else self._stream.size)
        return window, self._first_separator(window, window.base)

    # -- messages ------------------------------------------------------------------------------

    def _message(self, window: Window, at: int) -> tuple[Window, Span, int | None]:
        """Read the message behind the separator at an offset; return it and where the next separator is."""
        window.reach(at + _LOOK, at - 1)
        separator = _line(window, at)
        start = at + len(separator)
        if window.bytes(start, start + 6).removeprefix(b">").startswith(b"From ") and not is_separator(
            separator
        ):
            start += second_separator(window.bytes(start, at + _LOOK))
        preamble = window.bytes(start, start + self._skip(window.bytes(start, at + _LOOK)))
        start += len(preamble)
        head = _head(window.bytes(start, at + _LOOK))
        internal = _INTERNAL in head
        declared = self._declared_end(window, start) if self._lengths is not False else None
        following = None
        reading = _Reading(window, start, head if b"oundary" in head else b"")
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
        if reading.unquoted:  # who wrote it quotes nothing
            dialect = Dialect.CL
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
                if self._is_separator(window, at) and not self._is_inside_part(reading, at):
                    reading.take(_end(window, start, at))
                    return at
                # Some quote only behind a blank line: that one is not shows how the message was written.
                reading.unquoted = reading.unquoted or (
                    _is_apart(window, at) and window.bytes(at, at + len(_FROM)) == _FROM
                )
                looked = at + 1
            elif window.ended:
                reading.take(_end(window, start, window.end))
                return None
            else:
                looked = max(looked, window.end - len(_FROM) + 1)
                reading.take(window.end - _KEPT)
                window.reach(window.end + 1, reading.done - reading.tail)

    def _next_line(self, window: Window, offset: int, start: int) -> int:
        """Return where a line that may be a separator begins, at ``offset`` or behind it; -1 for nowhere in memory."""
        found = window.find(b"\n" + _FROM, offset - 1)
        at = found + 1 if found >= 0 else -1
        number = bisect_right(self._stream.part_starts, max(offset - 1, start))
        if number < len(self._stream.part_starts):
            start_of_part = self._stream.part_starts[number]
            if start_of_part <= window.end and (at < 0 or start_of_part < at):
                return start_of_part
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
        self._left_out(at, _("no From line comes before it, so it belongs to no message"))
        if following is not None:
            self._learn(_line(window, following))
        return following

    def _learn(self, separator: bytes) -> None:
        if self._habit is None:
            self._habit = shape_of(separator)
            self._usual = usual_pattern(self._habit)
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
        behind_line = at + len(line)
        if (
            self._usual is not None
            and self._usual.match(line) is not None
            and begins_header(window.bytes(behind_line, behind_line + _FIRST_FIELD))
        ):
            return True
        if self._dialect is Dialect.RD and is_separator(line):
            return True  # ours: whoever writes them quotes all others
        form = shape_of(line)
        behind = behind_of(window.bytes(behind_line, at + _LOOK))
        apart = _is_apart(window, at) or at in self._stream.part_starts
        usual = self._habit is None or form == self._habit
        if form.shape is Shape.PLAIN:
            separates = usual and apart and behind is Behind.HEADER
            doubtful = apart and behind in (Behind.HEADER, Behind.FIELD)
        elif usual:
            sure = form.shape is not Shape.DATED and behind in (Behind.FIELD, Behind.NOTHING)
            separates = behind is Behind.HEADER or (apart and sure)
            doubtful = apart or behind is Behind.FIELD
        else:
            separates = form.shape is Shape.CTIME and apart and behind is Behind.HEADER
            doubtful = behind is Behind.HEADER
        if doubtful and not separates and at > self._last_doubt:
            self._last_doubt = at
            self.first_doubt = at if self.first_doubt < 0 else self.first_doubt
            self.doubts += 1
        return separates

    def _is_inside_part(self, reading: _Reading, at: int) -> bool:
        """Return whether a line stands in a part of the message being read: what ends its parts comes only behind it."""
        window = reading.window
        if not reading.multipart or window.bytes(at - _CLOSED, at).rstrip(b"\r\n").endswith(b"--"):
            return False  # the end of a last part is where it should be
        boundary = boundary_of(reading.multipart)
        close = b"\n--" + boundary + b"--"
        if (
            not boundary
            or window.find(close, max(reading.start, at - _TAIL), at) >= 0
            or self._open_ends >= _MOST_OPEN_ENDS
        ):
            return False
        window.reach(at + _AHEAD, min(reading.done, at) - _TAIL)
        end = window.find(close, at, at + _AHEAD)
        # Declared once more before that, it is another copy of a message that was cut off here.
        declared = (b"=" + boundary, b'="' + boundary)
        if end >= 0 and all(window.find(one, at, end) < 0 for one in declared):
            return True
        self._open_ends += 1
        return False


class _Reading:
    """A message being read: what of it was hashed, and whether lines in it are quoted, or are not though they might."""

    def __init__(self, window: Window, start: int, multipart: bytes = b"") -> None:
        self.window = window
        self.done = self.start = start
        self.multipart = multipart  # the beginning of one that has parts
        self.tail = _TAIL if multipart else _KEPT
        self.digest = digest_of()
        self.quoted = self.unquoted = False

    def take(self, end: int) -> None:
        """Hash the bytes up to an offset."""
        if end > self.done:
            since = max(self.done - _KEPT, self.start)
            self.quoted = self.quoted or self.window.find(b">From ", since, end) >= 0
            self.digest.update(self.window.view(self.done, end))
            self.done = end

    def look(self, at: int) -> None:
        """Have what lies behind an offset in memory."""
        if self.window.end < at + _LOOK:
            self.take(at - _KEPT)
            self.window.reach(at + _LOOK, min(self.done, at) - self.tail)

    def again(self, stream: MboxStream) -> _Reading:
        """Return a reading of the same message from its start."""
        here = self.window.base < self.start
        return _Reading(self.window if here else Window(stream, self.start - 1), self.start, self.multipart)


def _head(beginning: bytes) -> bytes:
    """Return the header that a text begins with, its last line end included, or all of the text."""
    end = beginning.find(b"\n\r\n" if beginning[:_LONGEST_LINE].find(b"\r\n") >= 0 else b"\n\n")
    return beginning if end < 0 else beginning[: end + 1]


def _is_apart(window: Window, at: int) -> bool:
    """Return whether a blank line comes before the line at an offset."""
    return window.bytes(at - 3, at).endswith((b"\n\n", b"\n\r\n"))


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
