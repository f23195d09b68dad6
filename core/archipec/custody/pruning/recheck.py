"""Asks a source whether messages are still those that are archived, right before it is told to delete them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from archipec.contract import Source, SupportsHeaders
from archipec.custody.pruning.proof import head_digest
from archipec.errors import ArchipecError, Scope
from archipec.message import ContentKey

__all__ = ["Expected", "Found", "fetch_keys", "recheck"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a message must still be.

    Attributes:
        head: digest of its header (`head_digest`).
        size: bytes as the source lists them; None when it doesn't tell.
    """

    key: ContentKey
    head: bytes
    size: int | None


class Found(NamedTuple):
    """Refs whose messages are still the ones, and refs that the source did not answer: gone, as a rule."""

    same: set[str]
    unanswered: set[str]


def recheck(source: Source, folder: str, expected: Mapping[str, Expected]) -> Found:
    """Ask a source for messages again.

    Headers are compared where the source gives them. A message with another header or size is read whole: some
    servers show the one or count the other otherwise than it is.

    Raises:
        ArchipecError: wider than one message.
    """
    same, unanswered = set[str](), set[str]()
    if isinstance(source, SupportsHeaders):
        likely = [ref for ref, one in expected.items() if one.size in (None, one.key.size)]
        heads = {ref: head_digest(head) for ref, head in source.headers(folder, likely)}
        same = {ref for ref in likely if heads.get(ref) == expected[ref].head}
    doubtful = [ref for ref in expected if ref not in same]
    if doubtful:
        keys = fetch_keys(source, folder, doubtful)
        unanswered = {ref for ref in doubtful if ref not in keys}
        same |= {ref for ref, key in keys.items() if key == expected[ref].key}
    return Found(same, unanswered)


def fetch_keys(source: Source, folder: str, refs: Iterable[str]) -> dict[str, ContentKey | None]:
    """Read messages whole; return their keys by ref, None for one that can't be read. What is gone is left out.

    Raises:
        ArchipecError: wider than one message.
    """
    keys: dict[str, ContentKey | None] = {}
    for fetched in source.fetch(folder, iter(list(refs))):
        try:
            keys[fetched.ref] = ContentKey.of_chunks(fetched.chunks)
        except ArchipecError as error:
            if error.scope > Scope.MESSAGE:
                raise
            keys[fetched.ref] = None
    return keys
