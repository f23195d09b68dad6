"""The inventory of an archive of files: its own record of everything it holds, in one file, ``archipec.toc``.

Lines of text with a checksum each (`checked_lines`)::

    V 1 4c0e1d8e-6a0c-4b8f-9a52-6d5f3b1f0c11 CRC   the format, and the archive's identity, as in archipec.json
    A CRC                                          a run begins to add messages
    M SHA-256 5010 archive-2026.mbox CRC           a message, its bytes, and the file or folder it was put into
    C 1 5010 SHA-256 CRC                           so many messages and bytes so far, and the SHA-256 of all lines above
    Z 1 5010 SHA-256 CRC                           the same, and that the run ended in good order

A line ``M`` is written when the message is durable, so an inventory never claims what was not stored. It may lack what an
interrupted run stored last: until the next run completes it, its last mark is no ``Z``. Lines are only ever added.
An inventory that was lost is made anew when as many messages and bytes are there as it listed; its second line,
``R`` with what archipec.json said of the lost one, tells so. ``archipec.json`` repeats what the last ``Z`` says, so that neither file can be lost, cut or replaced without the other
telling. The Z line's digest is that of `head -c LENGTH archipec.toc | sha256sum`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from archipec.crc_lines import LONGEST_LINE, checked_line, text_of
from archipec.durability import open_regular, sync_directory, sync_file
from archipec.language import _
from archipec.message import ContentKey, Json

__all__ = [
    "MARKER",
    "NAME",
    "Entry",
    "InventoryReader",
    "InventoryWriter",
    "Summary",
    "claim_of",
    "extends",
    "last_summary",
    "read_marker_file",
]

NAME: Final = "archipec.toc"
MARKER: Final = "archipec.json"

_LARGEST_MARKER: Final = 4 << 20
_BLOCK: Final = 1 << 20
_NO_IDENTITY: Final = "-"
_NUMBER: Final = rb"(0|[1-9][0-9]{0,17})"
_LINE: Final = re.compile(
    rb"M ([0-9a-f]{64}) %b (.+)|([CZ]) %b %b ([0-9a-f]{64})|(A)|V 1 ([!-~]{1,100})"
    rb"|R %b %b %b ([0-9a-f]{64})|([A-Z].*)" % ((_NUMBER,) * 6),
    re.DOTALL,
)


class Entry(NamedTuple):
    """A message, and the file or folder it is in, relative to the archive's directory."""

    key: ContentKey
    file: str


class Summary(NamedTuple):
    """What an inventory says of itself.

    Attributes:
        messages: copies listed; size: bytes of them.
        length: bytes of the inventory that this is about; sha256: of those bytes.
    """

    messages: int
    size: int
    length: int
    sha256: str

    def as_json(self) -> dict[str, Json]:
        """Return the object for ``archipec.json``."""
        return {
            "file": NAME,
            "messages": self.messages,
            "bytes": self.size,
            "length": self.length,
            "sha256": self.sha256,
        }


def read_marker_file(root: str | Path) -> dict[str, Any] | None:
    """Return the JSON object in an archive's ``archipec.json``, None when there is none, or a power cut left only zeros.

    Raises:
        ValueError: what it holds is no JSON object.
        OSError: it can't be read, or is no file.
    """
    path = f"{root}/{MARKER}"
    try:
        with open(open_regular(path, os.O_RDONLY), "rb") as file:
            data = file.read(_LARGEST_MARKER + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not data.strip(b"\0 \r\n"):
        return None
    if len(data) > _LARGEST_MARKER:
        raise ValueError(_("it is too large"))
    try:
        marker = json.loads(data)
    except RecursionError:
        raise ValueError(_("it is nested too deeply")) from None
    if not isinstance(marker, dict):
        raise ValueError(_("it is no object"))  # noqa: TRY004  the file is wrong, not the program
    return marker


def claim_of(marker: Mapping[str, Any]) -> Summary | None:
    """Return what a marker says of the inventory, None when it says nothing.

    Raises:
        ValueError: what it says makes no sense.
    """
    match marker.get("record"):
        case None:
            return None
        case {
            "messages": int(messages),
            "bytes": int(size),
            "length": int(length),
            "sha256": str(sha256),
        } if min(messages, size, length) >= 0:
            return Summary(messages, size, length, sha256)
    raise ValueError(_('its "record" makes no sense'))


class InventoryReader:
    """An inventory as it is found, read once by iterating over it to the end.

    Args:
        claim: what ``archipec.json`` says of it.

    Attributes:
        exists: there is one; known once it was read.
        identity: the archive's, empty where the inventory names none.
        closed: the last run ended in good order.
        end: where the next line goes: behind the last line that is whole.
        torn: bytes behind it, which an interrupted run left.
        damage: why it can't be relied on, empty when it can.
        messages: lines for messages; size: bytes of these messages.
        later: a later version of archipec wrote it.
        replaces: what ``archipec.json`` said of a lost inventory in whose place this one was made.
    """

    def __init__(self, root: str | Path, claim: Summary | None = None) -> None:
        self.path = f"{root}/{NAME}"
        self.exists = False
        self.identity = ""
        self.closed = True
        self.end = 0
        self.torn = 0
        self.damage = ""
        self.messages = 0
        self.size = 0
        self.later = False
        self.replaces: Summary | None = None
        self.digest = hashlib.sha256()
        self._claim = claim
        self._met_claim = claim is None

    def __iter__(self) -> Iterator[Entry]:
        """Yield the messages in the order in which they were stored.

        Raises:
            OSError: it can't be read, or is no file.
        """
        try:
            descriptor = open_regular(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return
        self.exists = True
        with open(descriptor, "rb") as file:
            for line in iter(lambda: file.readline(LONGEST_LINE), b""):
                entry = self._take(line)
                if entry is not None:
                    yield entry
        # What was killed while it made one leaves a file without a line, and stored nothing yet.
        self.exists = self.end > 0 or bool(self.damage)
        if self.exists:
            self._compare(last=True)

    def _take(self, line: bytes) -> Entry | None:
        text = text_of(line)
        match = None if text is None else _LINE.fullmatch(text)
        if match is None:
            self.torn += len(line)
            return None
        if self.torn:
            # A run that was killed, or a power cut, tears what it wrote last. Marks come only after everything
            # before them is on the disk: behind a torn line they mean that another program changed it.
            if self.closed or match[4] == b"Z" or match[8]:
                self._spoil(_("the line at byte {end} was altered").format(end=self.end))
            self.torn += len(line)
            return None
        self._compare()
        entry = self._read(match)
        self.end += len(line)
        self.digest.update(line)
        return entry

    def _read(self, match: re.Match[bytes]) -> Entry | None:
        if bool(match[9]) is not (self.end == 0):
            self._spoil(_("it does not begin as an inventory") if not self.end else _("it begins twice"))
        if match[1]:
            self.messages += 1
            self.size += int(match[2])
            return Entry(ContentKey(match[1].decode(), int(match[2])), os.fsdecode(match[3]))
        if match[4]:
            said = int(match[5]), int(match[6]), match[7].decode()
            if said != (self.messages, self.size, self.digest.hexdigest()):
                self._spoil(
                    _("lines before byte {end} were changed, added or taken out").format(end=self.end)
                )
            self.closed = match[4] == b"Z"
        elif match[8]:
            self.closed = False
        elif match[9]:
            identity = match[9].decode()
            self.identity = "" if identity == _NO_IDENTITY else identity
        elif match[13]:
            self.replaces = Summary(int(match[10]), int(match[11]), int(match[12]), match[13].decode())
            self._met_claim = self._met_claim or self.replaces == self._claim
        else:
            self.later = True
            self._spoil(_("a later version of archipec wrote it"))
        return None

    def _compare(self, *, last: bool = False) -> None:
        """Compare with the claim where the reading has come to its place."""
        claim = self._claim
        if claim is None or self._met_claim:
            return
        if self.end == claim.length:
            self._met_claim = True
            if claim != Summary(self.messages, self.size, self.end, self.digest.hexdigest()):
                self._spoil(_("it is not the one that {marker} tells of").format(marker=MARKER))
        elif last or self.end > claim.length:
            self._met_claim = True
            self._spoil(
                _(
                    "it was cut short, or is an older copy: {marker} tells of {length} bytes, and {end} are "
                    "good"
                ).format(marker=MARKER, length=claim.length, end=self.end)
                if self.end < claim.length
                else _("it is not the one that {marker} tells of").format(marker=MARKER)
            )

    def _spoil(self, damage: str) -> None:
        self.damage = self.damage or damage


def last_summary(root: str | Path) -> tuple[bool, Summary | None]:
    """Tell whether an archive has an inventory, and what its last line says when a run ended in good order.

    Raises:
        OSError: it can't be read, or is no file.
    """
    try:
        descriptor = open_regular(f"{root}/{NAME}", os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False, None
    with open(descriptor, "rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - LONGEST_LINE)
        file.seek(start)
        end = file.read()
    at = end[:-1].rfind(b"\n") + 1
    text = text_of(end[at:])
    match = None if text is None else _LINE.fullmatch(text)
    if match is None or match[4] != b"Z":
        return True, None
    return True, Summary(int(match[5]), int(match[6]), start + at, match[7].decode())


def extends(root: str | Path, claim: Summary) -> bool:
    """Tell whether the inventory of an archive begins with what a claim tells of, or was made in the place of that.

    Raises:
        OSError: it can't be read, or is no file.
    """
    with open(open_regular(f"{root}/{NAME}", os.O_RDONLY), "rb") as file:
        if _digest_of(file, [claim]) is not None:
            return True
    reader = InventoryReader(root)
    next(iter(reader), None)
    return reader.replaces == claim


def _digest_of(file: BinaryIO, summaries: Iterable[Summary]) -> hashlib._Hash | None:
    """Return the digest of a file's beginning; None unless it is what all the summaries, by length, say."""
    digest, done = hashlib.sha256(), 0
    for summary in summaries:
        while done < summary.length and (block := file.read(min(_BLOCK, summary.length - done))):
            digest.update(block)
            done += len(block)
        if done != summary.length or digest.hexdigest() != summary.sha256:
            return None
    return digest


class InventoryWriter:
    """Adds to an inventory; the host's lock keeps other runs from it.

    Call `resume` or `recover` or `create`, then `begin`.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = str(root)
        self._path = f"{root}/{NAME}"
        self._descriptor: int | None = None
        self._digest = hashlib.sha256()
        self._end = 0
        self._new = False
        self.messages = 0
        self.size = 0

    def resume(self, summary: Summary, claim: Summary | None) -> bool:
        """Go on behind a last line that says this; False when the lines before are not what it says.

        Args:
            claim: what ``archipec.json`` says of the inventory.

        Raises:
            OSError: it can't be read.
        """
        with open(open_regular(self._path, os.O_RDONLY), "rb") as file:
            digest = _digest_of(file, [claim, summary] if claim else [summary])
            if digest is None:
                return False
            line = file.readline(LONGEST_LINE)
        digest.update(line)
        self._digest, self._end = digest, summary.length + len(line)
        self.messages, self.size = summary.messages, summary.size
        return True

    def recover(self, reader: InventoryReader) -> None:
        """Go on behind the last whole line of an inventory that was read to its end."""
        self._digest, self._end = reader.digest.copy(), reader.end
        self.messages, self.size = reader.messages, reader.size

    def create(self, identity: str, replaces: Summary | None) -> None:
        """Make a new one, for the archive of this identity, in the place of one without a line.

        Args:
            replaces: what ``archipec.json`` says of one that was lost.
        """
        self._new = True
        os.ftruncate(self._open(os.O_CREAT), 0)
        lines = checked_line(f"V 1 {identity or _NO_IDENTITY}")
        if replaces is not None:
            numbers = f"{replaces.messages} {replaces.size} {replaces.length}"
            lines += checked_line(f"R {numbers} {replaces.sha256}")
        self._write(lines)

    def begin(self) -> None:
        """Say that a run adds messages, durably; what was torn is cut off.

        Raises:
            OSError: the disk did not take it.
        """
        if self._descriptor is None:
            descriptor = self._open(0)
            if os.fstat(descriptor).st_size > self._end:
                os.ftruncate(descriptor, self._end)
        self._write(checked_line("A"))
        self._flush()

    def add(self, entries: Iterable[Entry]) -> None:
        """List messages that are durable in the archive.

        Raises:
            OSError: the disk did not take the lines; none of them is there then.
        """
        lines, messages, size = [], self.messages, self.size
        for key, file in entries:
            lines.append(checked_line(f"M {key.sha256} {key.size} {file}"))
            messages, size = messages + 1, size + key.size
        if lines:
            # The first write may be part of what `_mark` says: it is computed of both.
            block = b"".join(lines)
            digest = self._digest.copy()
            digest.update(block)
            self._write(block + checked_line(f"C {messages} {size} {digest.hexdigest()}"))
            self.messages, self.size = messages, size

    def close(self, *, complete: bool) -> None:
        """Close the file.

        Args:
            complete: say first, durably, that the run ended in good order: everything that was stored is listed.

        Raises:
            OSError: the disk did not take it.
        """
        descriptor = self._descriptor
        if descriptor is None:
            return
        try:
            if complete:
                # Never on the disk before what it vouches for.
                self._flush()
                self._write(checked_line(f"Z {self.messages} {self.size} {self._digest.hexdigest()}"))
                self._flush()
        finally:
            self._descriptor = None
            os.close(descriptor)

    def _open(self, flags: int) -> int:
        self._descriptor = open_regular(self._path, os.O_RDWR | flags)
        return self._descriptor

    def _write(self, data: bytes) -> None:
        assert self._descriptor is not None
        os.lseek(self._descriptor, self._end, os.SEEK_SET)
        try:
            written = 0
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except BaseException:
            os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(data)
        self._digest.update(data)

    def _flush(self) -> None:
        assert self._descriptor is not None
        sync_file(self._descriptor)
        if self._new:
            sync_directory(self._root)
            self._new = False
