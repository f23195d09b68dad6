"""What a server says its mailbox holds: lasting names by UIDL, sizes by LIST, and how far an earlier listing came."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from archipec.contract import Json

__all__ = ["Maildrop", "parse_sizes", "parse_unique_ids"]

# RFC 1939 §7 allows 1 to 70 characters from "!" to "~"; some servers need more.
_UNIQUE_ID: Final = re.compile(rb"^0*([1-9][0-9]{0,9})[ \t]+([!-~\x80-\xff]{1,500})[ \t]*\r?$", re.MULTILINE)
_SIZE: Final = re.compile(rb"^0*([1-9][0-9]{0,9})[ \t]+([0-9]{1,18})\b", re.MULTILINE)


def parse_unique_ids(text: bytes) -> list[tuple[int, str]] | None:
    """Return (message number, unique id) in the order of the numbers; None when any line is something else."""
    found = [(int(number), name.decode("latin-1")) for number, name in _UNIQUE_ID.findall(text)]
    found.sort()
    if len(found) != text.count(b"\n") or len(dict(found)) != len(found):
        return None
    return found


def parse_sizes(text: bytes) -> dict[int, int]:
    """Return the octets by message number, as far as lines can be read."""
    return {int(number): int(size) for number, size in _SIZE.findall(text)}


class Maildrop:
    """The mailbox as it was at the login: neither names nor numbers change during a session (RFC 1939 §5).

    Attributes:
        refs: in the order of the message numbers. Where a server gives several messages one unique id, as it may
            when they are copies, those after the first are called "ID 2", "ID 3": no unique id holds a space.
        numbers: by ref.
        ambiguous: refs of messages that share their unique id.
        sizes: octets by message number; empty until LIST was asked for.
    """

    def __init__(self, unique_ids: Sequence[tuple[int, str]]) -> None:
        self.numbers: dict[str, int] = {}
        self.ambiguous: set[str] = set()
        self.sizes: Mapping[int, int] = {}
        copies: dict[str, int] = {}
        for number, unique_id in unique_ids:
            ref = unique_id
            if ref in self.numbers:
                copies[unique_id] = copies.get(unique_id, 1) + 1
                ref = f"{unique_id} {copies[unique_id]}"
                self.ambiguous |= {unique_id, ref}
            self.numbers[ref] = number
        self.refs = list(self.numbers)

    def size(self, ref: str) -> int | None:
        """Return a message's octets, None when the server has not told."""
        return self.sizes.get(self.numbers[ref])

    def covered(self, cursor: Json) -> int:
        """Return how many messages from the first on are those that ``cursor`` was made behind; 0 when they aren't."""
        match cursor:
            case {"messages": int(count), "digest": str(digest)} if 0 < count <= len(self.refs):
                if _digest(self.refs[:count]).hexdigest() == digest:
                    return count
        return 0

    def after(self, count: int) -> Iterator[tuple[str, Json]]:
        """Yield (ref, cursor) of the messages after the first ``count``."""
        digest = _digest(self.refs[:count])
        for number, ref in enumerate(self.refs[count:], start=count + 1):
            digest.update(b"%b\n" % ref.encode())
            yield ref, {"messages": number, "digest": digest.copy().hexdigest()}


def _digest(refs: Sequence[str]) -> hashlib.blake2b:
    return hashlib.blake2b("".join(f"{ref}\n" for ref in refs).encode(), digest_size=16)
