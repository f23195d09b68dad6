"""Folders of a source of zips: of messages that are members, one each, and the mbox in a zip of an archive of ours.

That is read by its table, exactly as it went in: without it there is no way to know whether a message ended in a line break
before the blank line was put behind it.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Final

from archipec.contract import ContentKey, Context, Fetched, Json, Listed
from archipec.errors import ArchipecError, PermanentError, Scope
from archipec_plugins.files.escape import escape
from archipec_plugins.files.folders import FolderEntry, listing, raising
from archipec_plugins.files.indexed import IndexedFolder
from archipec_plugins.files.reading import read_error
from archipec_plugins.files.sniff import SNIFFED, rejection_reason
from archipec_plugins.files.toc import StoredAt
from archipec_plugins.files.unsealed import envelope_is_missing
from archipec_plugins.maildir.names import parse_found
from archipec_plugins.zip.archive import ZipArchive
from archipec_plugins.zip.directory import ZipMember
from archipec_plugins.zip.message import chunks_of, open_message
from archipec_plugins.zip.toc import ZipToc, stored_at, toc_path

_REF = re.compile(r"(.+):([0-9]{1,6}):([0-9a-f]{8}):([0-9]{1,15})", re.DOTALL)
_TOC_REF = re.compile(r"toc:([0-9]{1,15})\+([0-9]{1,15}):([0-9]{1,3}):([0-9]{1,15}):([0-9a-f]{64})")
_NUMBER_BITS: Final = 20
_ARCHIVE_BITS: Final = 11
MOST_ARCHIVES: Final = 1 << _ARCHIVE_BITS


class MembersFolder:
    """Messages that are members of zip files: of a Maildir, or ``.eml``.

    A ref is the zip's name with the member's place, checksum and size. Each message takes 8 bytes of memory.
    """

    def __init__(
        self, name: str, archives: Sequence[ZipArchive], context: Context, *, takes_loose: bool
    ) -> None:
        self.name = name
        self._archives = archives
        self._context = context
        self._members = array("Q")
        self._takes_loose = takes_loose
        self._loose: set[tuple[int, int]] = set()

    def add(self, archive: int, member: ZipMember, *, loose: bool) -> None:
        """Add a member.

        Args:
            archive: its zip's place among the archives.
            loose: it is a message without its envelope.
        """
        time = parse_found(member.name.rpartition("/")[2]).time
        self._members.append((time << _ARCHIVE_BITS | archive) << _NUMBER_BITS | member.number)
        if loose:
            self._loose.add((archive, member.number))

    def scan(self, after: Json | None) -> Iterator[Listed]:
        """List the members, the oldest first as far as their names tell; see `archipec.contract.Source`."""
        self._members = array("Q", sorted(self._members))
        yield from listing(self.name, self._entries, after)

    def _entries(self) -> Iterator[FolderEntry]:
        for packed in self._members:
            if self._context.cancelled():
                return
            archive = self._archives[packed >> _NUMBER_BITS & MOST_ARCHIVES - 1]
            member = archive.directory[packed & (1 << _NUMBER_BITS) - 1]
            name = parse_found(member.name.rpartition("/")[2])
            times = [time for time in (name.time, member.modified) if time > 0]
            # A time of the file alone says when it was exported.
            received = datetime.fromtimestamp(min(times), UTC) if name.time else None
            yield FolderEntry(_ref(archive, member), member.size, received, name.flags)

    def fetch(self, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read members; see `archipec.contract.Source`."""
        numbers = {escape(archive.name): number for number, archive in enumerate(self._archives)}
        for ref in refs:
            match = _REF.fullmatch(ref)
            archive_number = numbers.get(match[1]) if match else None
            if match is None or archive_number is None:
                continue
            archive, number = self._archives[archive_number], int(match[2])
            if number >= len(archive.directory):
                continue
            member = archive.directory[number]
            if _ref(archive, member) != ref or archive.refusal(member):
                continue
            try:
                loose = (archive_number, number) in self._loose
                if loose and not self._takes_loose:
                    raise envelope_is_missing(f"{archive.name}: {member.name}")
                chunks = archive.open(member).chunks(partial(_check, member))
                yield Fetched(ref, chunks, saved=True, loose=loose)
            except ArchipecError as error:
                if error.scope > Scope.MESSAGE:
                    raise
                yield Fetched(ref, raising(error))


def _ref(archive: ZipArchive, member: ZipMember) -> str:
    return f"{escape(archive.name)}:{member.number}:{member.crc:08x}:{member.size}"


def _check(member: ZipMember, beginning: bytes) -> str | None:
    # Whatever lies in a Maildir is a message.
    name = member.name.rpartition("/")[2]
    return rejection_reason(beginning[:SNIFFED], name) if name.casefold().endswith(".eml") else None


class BrokenFolder:
    """A zip file that can't be read, beside others that can.

    Args:
        error: why; of scope FOLDER.
    """

    def __init__(self, name: str, error: PermanentError) -> None:
        self.name = name
        self._error = PermanentError(error.message, hint=error.hint, scope=Scope.FOLDER)

    def scan(self, after: Json | None) -> Iterator[Listed]:
        """Say why."""
        del after
        raise self._error

    def fetch(self, refs: Iterable[str]) -> Iterator[Fetched]:
        """Say why."""
        del refs
        raise self._error


def has_table(path: str) -> bool:
    """Return whether the mbox in a zip is described whole by a table beside it, and the zip is unchanged since.

    Raises:
        ArchipecError: they can't be read.
    """
    try:
        size = Path(path).stat().st_size
        toc = ZipToc(toc_path(path), size)
        for _ in toc:
            pass
    except OSError as error:
        raise read_error(error, path, Scope.FOLDER) from error
    finished = toc.appending is None and toc.zip_end == size
    return toc.inside == "mbox" and finished and not toc.damaged


class IndexedZipMbox(IndexedFolder):
    """An mbox in a zip with the table that archipec wrote."""

    def _entries(self) -> Iterator[FolderEntry]:
        for each in ZipToc(toc_path(self._path), Path(self._path).stat().st_size):
            if self._context.cancelled():
                return
            place = stored_at("", each)
            ref = f"toc:{place.offset}+{place.stored}:{place.form}:{each.size}:{each.sha256}"
            yield FolderEntry(ref, each.size, None, ())

    def fetch(self, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read messages; see `archipec.contract.Source`."""
        for match in filter(None, map(_TOC_REF.fullmatch, refs)):
            place = StoredAt("", int(match[1]), int(match[2]), int(match[3]))
            yield from self._fetch_stored(match[0], place, ContentKey(match[5], int(match[4])))

    def _open_message(self, stored_at: StoredAt) -> FileIO:
        return open_message(self._path, stored_at)

    def _chunks(self, file: FileIO, stored_at: StoredAt, key: ContentKey) -> Iterator[bytes]:
        return chunks_of(file, self._path, stored_at, key)
