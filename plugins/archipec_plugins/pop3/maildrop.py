"""What a server says its mailbox holds: lasting names by UIDL, sizes by LIST, and how far an earlier listing came."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from archipec.contract import Json

# RFC 1939 §7 allows 1 to 70 characters from "!" to "~"; some servers need more, and some give one message none.
_UNIQUE_ID: Final = re.compile(rb"^[ \t]*0*([1-9][0-9]{0,9})(?:[ \t]+([^\n]*?))?[ \t]*\r?$", re.MULTILINE)
_AS_IT_IS: Final = re.compile(rb"[!-~\x80-\xff]{0,500}")
_COUNTS: Final = re.compile(rb"\+OK[ \t]+([0-9]{1,10})(?:[ \t]+([0-9]{1,18})\b)?")
_SIZE: Final = re.compile(rb"^0*([1-9][0-9]{0,9})[ \t]+([0-9]{1,18})\b", re.MULTILINE)


def parse_counts(reply: bytes) -> tuple[int | None, int | None]:
    """Return (messages, octets) from the reply to STAT; None for what it doesn't say."""
    match = _COUNTS.match(reply)
    if match is None:
        return None, None
    return int(match[1]), None if match[2] is None else int(match[2])


def parse_unique_ids(text: bytes) -> list[tuple[int, str]] | None:
    """Return (message number, unique id) in the order of the numbers; None when any line is something else.

    The unique id is empty where the line has none, and a digest where it is longer, or of other bytes, than any should
    be: one odd name must not hide the other messages.
    """
    found = [(int(number), _name(unique_id)) for number, unique_id in _UNIQUE_ID.findall(text)]
    found.sort()
    if len(found) != text.count(b"\n") or len(dict(found)) != len(found):
        return None
    return found


def _name(unique_id: bytes) -> str:
    if _AS_IT_IS.fullmatch(unique_id):
        return unique_id.decode("latin-1")
    return f"sha256:{hashlib.sha256(unique_id).hexdigest()}"


def parse_sizes(text: bytes) -> dict[int, int]:
    """Return the octets by message number, as far as lines can be read."""
    return {int(number): int(size) for number, size in _SIZE.findall(text)}


class Maildrop:
    """The mailbox as it was at the login: neither names nor numbers change during a session (RFC 1939 §5).

    Args:
        unique_ids: (message number, unique id), ascending; the unique id empty where the server gives none.
        names: of messages without unique id, by number: something that lasts and holds a space.

    Attributes:
        refs: in the order of the message numbers. Where a server gives several messages one unique id, as it may
            when they are copies, those after the first are called "ID 2", "ID 3": no unique id holds a space.
        numbers: by ref.
        ambiguous: refs of messages that share their unique id.
        sizes: octets by message number; empty until LIST was asked for.
        count: of messages by STAT, None when the server doesn't tell.
        octets: of all messages by STAT, None when the server doesn't tell.
    """

    def __init__(self, unique_ids: Sequence[tuple[int, str]], names: Mapping[int, str] | None = None) -> None:
        self.numbers: dict[str, int] = {}
        self.ambiguous: set[str] = set()
        self.sizes: Mapping[int, int] = {}
        self.count: int | None = None
        self.octets: int | None = None
        copies: dict[str, int] = {}
        named = {number: unique_id for number, unique_id in unique_ids if unique_id}
        for number, unique_id in sorted({**(names or {}), **named}.items()):
            ref = unique_id
            if ref in self.numbers:
                copies[unique_id] = copies.get(unique_id, 1) + 1
                ref = f"{unique_id} {copies[unique_id]}"
                self.ambiguous |= {unique_id, ref}
            self.numbers[ref] = number
        self.refs = list(self.numbers)

    def size(self, ref: str) -> int | None:
        """Return a message's octets, None when the server has not stated them."""
        return self.sizes.get(self.numbers[ref])

    def covered(self, cursor: Json) -> int:
        """Return how many messages from the first on are those that ``cursor`` was made behind; 0 when they aren't.

        Servers give unique ids to other messages (numbers that begin anew, say): where the octets are others, too,
        they are not the same.
        """
        match cursor:
            case {"messages": int(count), "digest": str(digest), "octets": (int() | None) as octets} if (
                0 < count <= len(self.refs)
            ):
                now = self._octets(count)
                same = octets is None or now is None or octets == now
                if same and _digest(self.refs[:count]).hexdigest() == digest:
                    return count
        return 0

    def after(self, count: int) -> Iterator[tuple[str, Json]]:
        """Yield (ref, cursor) of the messages after the first ``count``."""
        digest = _digest(self.refs[:count])
        octets = self._octets(count)
        for number, ref in enumerate(self.refs[count:], start=count + 1):
            digest.update(b"%b\n" % ref.encode())
            size = self.size(ref)
            octets = None if octets is None or size is None else octets + size
            yield ref, {"messages": number, "digest": digest.copy().hexdigest(), "octets": octets}

    def _octets(self, count: int) -> int | None:
        """The octets of the first messages, by LIST or else, if they are all, by STAT; None when neither says."""
        if not count:
            return 0
        if self.sizes:
            sizes = [self.size(ref) for ref in self.refs[:count]]
            return None if None in sizes else sum(size or 0 for size in sizes)
        return self.octets if count == len(self.refs) == self.count else None


def _digest(refs: Sequence[str]) -> hashlib.blake2b:
    return hashlib.blake2b("".join(f"{ref}\n" for ref in refs).encode(), digest_size=16)
