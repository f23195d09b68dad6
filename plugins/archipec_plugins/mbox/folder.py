"""One mbox as a folder of a source: any mbox, and that of an archive of ours, read by its table exactly as it went in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from io import FileIO
from typing import Final, NamedTuple

from archipec.contract import ContentKey, Context, Fetched, Json, Listed
from archipec.errors import IntegrityError
from archipec.language import _
from archipec_plugins.files.folders import NO_PREAMBLE, FolderEntry, Preamble, SkippedFiles, raising
from archipec_plugins.files.indexed import IndexedFolder
from archipec_plugins.files.reading import open_file
from archipec_plugins.files.toc import StoredAt
from archipec_plugins.mbox.dialect import Dialect, restored
from archipec_plugins.mbox.mboxrd import SENDER, SEPARATOR_LENGTH, chunks_of, is_separator, open_message
from archipec_plugins.mbox.scanner import SERVER_DATA, Scanner, Span, digest_of
from archipec_plugins.mbox.streams import FileStream, MboxStream, StreamPart
from archipec_plugins.mbox.toc import MboxToc, toc_path

_IN_MEMORY: Final = 1 << 20
_CHUNK: Final = 256 * 1024
_REF = re.compile(r"(mboxrd|mboxo|mboxcl2):([0-9]{1,15})\+([0-9]{1,15}):([0-9a-f]{16})")
_TOC_REF = re.compile(r"toc:([0-9]{1,15})\+([0-9]{1,15}):([0-9]{1,15}):([0-9a-f]{64})")
_MONTHS: Final = b"JanFebMarAprMayJunJulAugSepOctNovDec"
_BLANK: Final = 2
_QUOTED: Final = b">From "


class OpenedMbox(NamedTuple):
    """An mbox ready to be read, and what tells whether it has changed since an earlier run."""

    stream: MboxStream
    stamp: str


class _Ref(NamedTuple):
    """A message as it was listed: as long as the same bytes lie in the same place, it is the same."""

    dialect: Dialect
    offset: int
    length: int
    digest: str

    def __str__(self) -> str:
        return f"{self.dialect}:{self.offset}+{self.length}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> _Ref | None:
        match = _REF.fullmatch(text)
        return None if match is None else cls(Dialect(match[1]), int(match[2]), int(match[3]), match[4])


class MboxFolder:
    """An mbox: messages one after the other, found in one pass, read in another.

    Args:
        opener: opens the mbox; a stream that reads on cheaply, but goes back dearly, may outlive each opening.
        dialect: what it is written in; None to find out.
    """

    def __init__(
        self,
        name: str,
        opener: Callable[[], AbstractContextManager[OpenedMbox]],
        dialect: Dialect | None,
        context: Context,
        skipped: SkippedFiles,
        preamble_format: Preamble = NO_PREAMBLE,
    ) -> None:
        self.name = name
        self._opener = opener
        self._dialect = dialect
        self._context = context
        self._skipped = skipped
        self._preamble_format = preamble_format

    def scan(self, after: Json | None) -> Iterator[Listed]:
        """List the messages in the order in which they were appended; see `archipec.contract.Source`."""
        with self._opener() as (stream, stamp):
            last, ended, known = _cursor(after)
            start, dialect = 0, self._dialect
            if last is not None:
                # One message that is not quoted says nothing of the next.
                start, dialect = ended, self._dialect if last.dialect is Dialect.CL else last.dialect
                # Behind its last blank line a file has no room for another message.
                if known == stamp and start >= stream.size - 2:
                    return
                if known != stamp and not self._still_there(stream, last, ended):
                    start, dialect = 0, self._dialect
            scanner = Scanner(stream, dialect, self._preamble_format.skip, self._note)
            for span in scanner.spans(start):
                if self._context.cancelled():
                    return
                flags = self._preamble_format.flags(span.preamble)
                if flags is not None:
                    yield self.listed(span, flags, stamp)
            self._say_doubts(scanner)

    def spans(self, start: int, end: int, dialect: Dialect) -> Iterator[Span]:
        """Yield the messages between two offsets."""
        with self._opener() as (stream, _):
            part = StreamPart(stream, end)
            scanner = Scanner(part, dialect, self._preamble_format.skip, self._note)
            yield from scanner.spans(start)
            self._say_doubts(scanner)

    def listed(self, span: Span, flags: tuple[str, ...], stamp: str) -> Listed:
        """Return a message as it is listed."""
        ref = _Ref(span.dialect, span.offset, span.length, span.digest)
        size = span.length if span.exact else None
        cursor = {"last": str(ref), "stamp": stamp}
        return Listed(self.name, str(ref), size, None, flags, cursor)

    def _say_doubts(self, scanner: Scanner) -> None:
        if scanner.doubts:
            self._context.log.warning(
                _(
                    '%s: %d lines that begin with "From " may be text or separate messages (the first at '
                    "byte %d); they were left in the message that they stand in"
                ),
                self.name,
                scanner.doubts,
                scanner.first_doubt,
            )

    def _note(self, offset: int, reason: str) -> None:
        usual = reason == SERVER_DATA
        what = _("{name}, from byte {offset} on,").format(name=self.name, offset=offset)
        self._skipped.note(what, reason, message=not usual, usual=usual)

    def _still_there(self, stream: MboxStream, last: _Ref, ended: int) -> bool:
        scanner = Scanner(stream, last.dialect, self._preamble_format.skip, lambda _offset, _reason: None)
        digest = digest_of()
        try:
            for chunk in _stored(stream, last):
                digest.update(chunk)
            return digest.hexdigest() == last.digest and scanner.continues(ended)
        except IntegrityError:
            return False

    def fetch(self, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read messages; see `archipec.contract.Source`."""
        with self._opener() as (stream, _):
            for text in refs:
                ref = _Ref.parse(text)
                if ref is None or ref.offset + ref.length > stream.size:
                    continue
                try:
                    stream.check(ref.offset, ref.length)
                    chunks = self._checked(stream, ref)
                except IntegrityError as error:
                    yield Fetched(text, raising(error))
                    continue
                if chunks is not None:
                    yield Fetched(text, chunks, saved=True)

    def _checked(self, stream: MboxStream, ref: _Ref) -> Iterator[bytes] | None:
        """Return the message; None when other bytes lie in its place."""
        if ref.length > _IN_MEMORY:
            return restored(self._large(stream, ref), ref.dialect)
        stored = b"".join(_stored(stream, ref))
        if digest_of(stored).hexdigest() != ref.digest:
            return None
        # In whatever dialect, nothing is quoted in most messages.
        return restored((stored,), ref.dialect) if _QUOTED in stored else iter((stored,))

    def _large(self, stream: MboxStream, ref: _Ref) -> Iterator[bytes]:
        digest = digest_of()
        for chunk in _stored(stream, ref):
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != ref.digest:
            raise IntegrityError(
                _("{name}: the message at byte {offset} is not the one that was listed").format(
                    name=self.name, offset=ref.offset
                ),
                hint=_("list it anew: run the same command with --full"),
            )


def _stored(stream: MboxStream, ref: _Ref) -> Iterator[bytes]:
    """Yield bytes as they are stored.

    Raises:
        IntegrityError: not all of them are there.
    """
    offset, end = ref.offset, ref.offset + ref.length
    while offset < end:
        chunk = stream.read(offset, min(_CHUNK, end - offset))
        if not chunk:
            raise IntegrityError(_("the message at byte {offset} is cut off").format(offset=ref.offset))
        offset += len(chunk)
        yield chunk


def _cursor(cursor: Json | None) -> tuple[_Ref | None, int, str]:
    """Return the last message that was listed, where it ended, and the file's stamp at that time."""
    match cursor:
        case {"last": str(text), "stamp": str(stamp)}:
            ref = _Ref.parse(text)
            if ref is not None:
                return ref, ref.offset + ref.length, stamp
    return None, 0, ""


class IndexedMbox(IndexedFolder):
    """An mbox with the table of contents that archipec wrote.

    Messages that other programs put between or behind ours are in no table: those are found as in any mbox.

    Args:
        others: reads the same file without its table.
    """

    def __init__(self, name: str, path: str, context: Context, others: MboxFolder) -> None:
        super().__init__(name, path, context)
        self._others = others

    def _entries(self) -> Iterator[FolderEntry]:
        with open_file(self._path) as file:
            stream = FileStream(file, self._path)
            toc, end = MboxToc(toc_path(self._path), stream.size), 0
            for each in toc:
                if self._context.cancelled():
                    return
                separator = stream.read(max(0, each.offset - SEPARATOR_LENGTH), SEPARATOR_LENGTH)
                if each.offset - SEPARATOR_LENGTH > end + _BLANK:
                    yield from self._between(end, each.offset - SEPARATOR_LENGTH, ours=True)
                ref = f"toc:{each.offset}+{each.stored}:{each.size}:{each.sha256}"
                yield FolderEntry(ref, each.size, _received(separator), ())
                end = max(end, each.offset + each.stored)
            if stream.size > end + _BLANK:
                yield from self._between(end, stream.size, ours=toc.appending is None)

    def _between(self, start: int, end: int, *, ours: bool) -> Iterator[FolderEntry]:
        """Yield the messages between two offsets.

        Args:
            ours: also those that bear our separator; what an interrupted run left behind is not taken for messages.
        """
        for span in self._others.spans(start, end, Dialect.RD):
            if ours or not span.separator.startswith(SENDER):
                listed = self._others.listed(span, (), "")
                yield FolderEntry(listed.ref, listed.size, None, ())

    def fetch(self, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read messages; see `archipec.contract.Source`."""
        for ref in refs:
            match = _TOC_REF.fullmatch(ref)
            if match is None:
                yield from self._others.fetch([ref])
            else:
                stored_at = StoredAt("", int(match[1]), int(match[2]))
                yield from self._fetch_stored(ref, stored_at, ContentKey(match[4], int(match[3])))

    def _open_message(self, stored_at: StoredAt) -> FileIO:
        return open_message(self._path, stored_at.offset, stored_at.stored)

    def _chunks(self, file: FileIO, stored_at: StoredAt, key: ContentKey) -> Iterator[bytes]:
        return chunks_of(file, self._path, stored_at.stored, key)


def _received(separator: bytes) -> datetime | None:
    """Return when a message was received, as its separator says."""
    if not is_separator(separator):
        return None
    _, _, _, month, day, clock, year = separator.split()
    hour, minute, second = map(int, clock.split(b":"))
    try:
        return datetime(int(year), _MONTHS.index(month) // 3 + 1, int(day), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
