"""What the mailbox holds: its sizes, asked for once, and the contents of those messages whose size is looked for."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final, NamedTuple

from archipec.contract import Context
from archipec.errors import ArchipecError, PermanentError, Scope
from archipec.language import _
from archipec.message import ContentKey
from archipec_plugins.files.key_index import KeyIndex
from archipec_plugins.files.streams import verify_key
from archipec_plugins.imap.commands import CommandChannel
from archipec_plugins.imap.grammar import fetch_line, uid_set
from archipec_plugins.imap.select import SelectedMailbox
from archipec_plugins.imap.sink_folders import Folders

_UID_BITS: Final = 32
_AT_ONCE: Final = 250
_HIGHEST_UID: Final = (1 << _UID_BITS) - 1
_READ: Final = struct.Struct(">QQ")  # size, number of the listing and UID


class MessageLocation(NamedTuple):
    """Where a message lies."""

    folder: str
    uidvalidity: int
    uid: int

    @property
    def ref(self) -> str:
        """The message's name within its folder, as a `SelectedMailbox` reads it."""
        return f"{self.uidvalidity}/{self.uid}"


class _Listing(NamedTuple):
    """How far a folder was listed; ``number`` says which listing its messages are noted under."""

    number: int
    uidvalidity: int
    last: int


class MailboxIndex:
    """The messages of the mailbox as they were when first asked for, by size until they are read, then by content.

    A message is read when one of its size is looked for, and never again; what other programs do later isn't seen.
    """

    def __init__(self, channel: CommandChannel, folders: Folders, context: Context) -> None:
        self._channel = channel
        self._folders = folders
        self._selected = SelectedMailbox(channel, context.temp)
        self._temp = context.temp
        self._log = context.log
        self._listings: dict[str, _Listing] = {}
        self._names: list[str] = []
        self._unread: dict[int, array[int]] = {}
        self._read = KeyIndex(_READ.size)
        self._complete = False

    def held(self, keys: Iterable[ContentKey]) -> dict[ContentKey, MessageLocation]:
        """Return where messages are, of those that are in a folder that lasts, or in one that `list_new` listed.

        Raises:
            ArchipecError: it can't be found out.
        """
        wanted = list(keys)
        if not wanted:
            return {}
        self._list_all()
        candidates = [place for size in {key.size for key in wanted} for place in self._take_unread(size)]
        for candidate, key in self.keys(candidates).items():
            self.add(key, candidate)
        return {key: place for key in wanted if (place := self._known(key)) is not None}

    def list_new(self, folder: str) -> dict[int, int]:
        """List a folder, as far as it was not listed before; return the sizes by UID.

        Raises:
            ArchipecError: of scope FOLDER when it can't be listed.
        """
        known = self._listings.get(folder)
        last = 0 if known is None else known.last
        sizes: dict[int, int] = {}
        state, batch, (fetch,) = self._selected.open(
            folder, self._folders.encoded_name(folder), _sizes_after(last)
        )
        if known is None or known.uidvalidity != state.uidvalidity:
            if last:
                batch = self._channel.begin()
                (fetch,) = batch.send(_sizes_after(0))
            known = _Listing(len(self._names), state.uidvalidity, 0)
            self._names.append(folder)
        for response in batch.answers(
            fetch, _('folder "{folder}" can\'t be listed').format(folder=folder), Scope.FOLDER
        ):
            line = fetch_line(response)
            # "n:*" always matches the last message, even when its number is below n.
            if line is not None and line.size is not None and known.last < line.uid <= _HIGHEST_UID:
                batch.useful()
                sizes[line.uid] = line.size
        self._listings[folder] = known._replace(last=max(sizes, default=known.last))
        return sizes

    def add_unread(self, folder: str, sizes: Mapping[int, int]) -> None:
        """Note messages that `list_new` gave, which were not read yet."""
        number = self._listings[folder].number
        for uid, size in sizes.items():
            self._unread.setdefault(size, array("Q")).append(number << _UID_BITS | uid)

    def add(self, key: ContentKey, place: MessageLocation) -> None:
        """Note a message whose content is known."""
        number = self._listings[place.folder].number
        self._read.add(bytes.fromhex(key.sha256), _READ.pack(key.size, number << _UID_BITS | place.uid))

    def there(self, folder: str, places: Iterable[MessageLocation]) -> Iterator[MessageLocation]:
        """Yield those of a folder's places where a message is now, asked anew: contents are unread."""
        wanted = {place.uid: place for place in places}
        uids = sorted(wanted)
        self._selected = SelectedMailbox(self._channel, self._temp)
        try:
            state, batch, _ignored = self._selected.open(folder, self._folders.encoded_name(folder))
        except PermanentError as error:
            if error.scope > Scope.FOLDER:
                raise
            return  # the folder is gone
        for start in range(0, len(uids), _AT_ONCE):
            (tag,) = batch.send(b"UID FETCH %b (UID RFC822.SIZE)" % uid_set(uids[start : start + _AT_ONCE]))
            for response in batch.answers(
                tag, _('folder "{folder}" can\'t be looked at').format(folder=folder), Scope.FOLDER
            ):
                line = fetch_line(response)
                place = None if line is None else wanted.get(line.uid)
                if place is not None and place.uidvalidity == state.uidvalidity:
                    yield place

    def place(self, folder: str, uid: int) -> MessageLocation:
        """Return the place of a message in a folder that was listed."""
        return MessageLocation(folder, self._listings[folder].uidvalidity, uid)

    def keys(self, places: Iterable[MessageLocation]) -> dict[MessageLocation, ContentKey]:
        """Read messages; return the content key of each that is there and can be read."""
        found: dict[MessageLocation, ContentKey] = {}
        for folder, group in groupby(sorted(places), key=lambda place: place.folder):
            by_ref = {place.ref: place for place in group}
            for ref, chunks in self._read_whole(folder, by_ref):
                try:
                    found[by_ref[ref]] = ContentKey.of_chunks(chunks)
                except ArchipecError as error:
                    if error.scope > Scope.MESSAGE:
                        raise
        return found

    def chunks(self, key: ContentKey, place: MessageLocation) -> Iterator[bytes] | None:
        """Return the bytes of a message, None when it is not there; other bytes than its own end in IntegrityError."""
        for _ignored, chunks in self._read_whole(place.folder, [place.ref]):
            return verify_key(
                chunks,
                key,
                _('message {uid} of folder "{folder}"').format(uid=place.uid, folder=place.folder),
            )
        return None

    def _list_all(self) -> None:
        if self._complete:
            return
        for folder in self._folders.lasting:
            if folder in self._listings:
                continue
            try:
                self.add_unread(folder, self.list_new(folder))
            except PermanentError as error:
                if error.scope > Scope.FOLDER:
                    raise
                # Somebody else's, more often than not: what is in there is nothing to count on.
                self._log.info("%s: what it holds isn't known", error)
        self._complete = True

    def _known(self, key: ContentKey) -> MessageLocation | None:
        for packed in self._read.values(bytes.fromhex(key.sha256)):
            size, where = _READ.unpack(packed)
            if size == key.size and (place := self._place(where)) is not None:
                return place
        return None

    def _take_unread(self, size: int) -> Iterator[MessageLocation]:
        return filter(None, map(self._place, self._unread.pop(size, ())))

    def _place(self, packed: int) -> MessageLocation | None:
        """Return a place; None when its folder has been made anew since."""
        number, uid = packed >> _UID_BITS, packed & _HIGHEST_UID
        folder = self._names[number]
        return self.place(folder, uid) if self._listings[folder].number == number else None

    def _read_whole(self, folder: str, refs: Iterable[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
        return self._selected.read(folder, self._folders.encoded_name(folder), refs)


def _sizes_after(uid: int) -> bytes:
    return b"UID FETCH %d:* (UID RFC822.SIZE)" % (uid + 1)
