"""A folder's listing as it comes in: each message once, those that share a UID distinguished."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from archipec.contract import Json
from archipec_plugins.imap.grammar import (
    FetchLine,
    count_change,
    fetch_attributes,
    fetch_line,
    message_number,
    number,
    uid_set,
)

_HIGHEST_UID: Final = 2**32 - 1  # RFC 9051 §2.3.1.1
# Messages that may arrive while a folder is listed.
_SPARE: Final = 100_000
_ITEMS: Final = b"(UID RFC822.SIZE INTERNALDATE FLAGS)"


class Cursor(NamedTuple):
    """How far an earlier listing came; zeros for no listing.

    Attributes:
        size: of the last message listed, None when the server did not say: if it is another one now, the server has given its
            numbers to other messages.
    """

    uidvalidity: int = 0
    uid: int = 0
    size: int | None = None


def read_cursor(after: Json | None) -> Cursor:
    """Return a cursor; zeros for none and for one that isn't ours."""
    match after:
        case {"uidvalidity": int(uidvalidity), "uid": int(uid), "size": int(size)} if uid > 0:
            return Cursor(uidvalidity, uid, size)
        case {"uidvalidity": int(uidvalidity), "uid": int(uid)} if uid > 0:
            return Cursor(uidvalidity, uid)
    return Cursor()


def fetch_listing(first: int) -> bytes:
    """Return the command that lists the messages from a UID on."""
    return b"UID FETCH %d:* %b" % (max(first, 1), _ITEMS)


def fetch_numbers(numbers: Sequence[int]) -> bytes:
    """Return the command that lists messages by their numbers in the folder, ascending."""
    return b"FETCH %b %b" % (uid_set(numbers), _ITEMS)


class FolderListing:
    """The messages behind a cursor, taken from the responses to `fetch_listing`.

    Args:
        exists: how many messages the folder held when it was opened, None when the server didn't say.

    Attributes:
        exists: the same, less those that were expunged since.
        renumbered: the message the cursor was made behind is another one now.
        nameless: message numbers of those that the server gives no UID.
        endless: the server lists many more messages than the folder holds.
    """

    def __init__(self, cursor: Cursor, exists: int | None) -> None:
        self.exists = exists
        self.renumbered = False
        self.endless = False
        self.nameless: set[int] = set()
        self._cursor = cursor
        self._most = exists
        self._expunged = 0
        self._listed = 0
        self._highest, self._size = cursor.uid, cursor.size
        # UIDs and message numbers of those that came in ascending order, as they should; then the others.
        self._uids, self._messages = array("Q"), array("Q")
        self._others: dict[int, list[int]] = {}
        self._bare: dict[int, FetchLine] = {}

    def start_again(self) -> None:
        """List from the start: the cursor is worth nothing."""
        self.renumbered = False
        self._cursor = Cursor()
        self._highest, self._size = 0, None

    def take(self, response: bytes) -> tuple[FetchLine, int] | None:
        """Return (message, place among those that share its UID, from 1) when a response lists one that is new here."""
        line = fetch_line(response)
        if line is None or not line.uid:
            self._count(response)
            if _is_nameless(response):
                self.nameless.add(message_number(response) or 0)
            return None
        self.nameless.discard(line.message)
        # "n:*" always matches the last message, even when its number is below n.
        if line.uid <= self._cursor.uid:
            known = self._cursor.size
            if line.uid == self._cursor.uid and None not in (known, line.size) and known != line.size:
                self.renumbered = True
            return None
        if line.size is None and line.date is None:
            # It may have come by itself, because a flag changed.
            self._bare.setdefault(line.uid, line)
            return None
        return self._place(line)

    def rest(self) -> Iterator[tuple[FetchLine, int]]:
        """Yield what has neither size nor date, at the end of the listing."""
        for line in self._bare.values():
            if not self._numbers(line.uid) and (found := self._place(line)) is not None:
                yield found

    def cursor(self, uidvalidity: int) -> Json:
        """Return the cursor behind what was taken so far."""
        return {"uidvalidity": uidvalidity, "uid": self._highest, "size": self._size}

    def _place(self, line: FetchLine) -> tuple[FetchLine, int] | None:
        place = 1
        if not self._uids or line.uid > self._uids[-1]:
            self._uids.append(line.uid)
            self._messages.append(line.message)
        else:
            numbers = self._numbers(line.uid)
            # The same message again, perhaps with its number lowered by those expunged before it.
            if any(0 <= number - line.message <= self._expunged for number in numbers):
                return None
            self._others.setdefault(line.uid, []).append(line.message)
            place = len(numbers) + 1
        if self._highest < line.uid <= _HIGHEST_UID:
            self._highest, self._size = line.uid, line.size
        self._listed += 1
        self.endless = self._most is not None and self._listed > self._most + _SPARE
        return line, place

    def _numbers(self, uid: int) -> list[int]:
        """The message numbers of a UID, in the order they came."""
        at = bisect_left(self._uids, uid)
        first = [self._messages[at]] if at < len(self._uids) and self._uids[at] == uid else []
        return first + self._others.get(uid, [])

    def _count(self, response: bytes) -> None:
        now = count_change(response, self._most)
        if now is None or self._most is None or now == self._most:
            return
        if now < self._most:
            self._expunged += 1
            self.exists = None if self.exists is None else min(self.exists, now)
        self._most = max(now, self._most)


def _is_nameless(response: bytes) -> bool:
    """Tell whether a response lists a message without a UID, or with one that no message can have."""
    attributes = fetch_attributes(response)
    return b"RFC822.SIZE" in attributes and not number(attributes.get(b"UID"))
