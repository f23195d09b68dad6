"""Deflate (RFC 1951) in blocks that stand for themselves, so that reading may begin at any message."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from archipec.errors import IntegrityError
from archipec.language import _
from archipec_plugins.files.streams import CHUNK

LAST_BLOCK: Final = b"\x03\x00"
"""What ends a stream of blocks: one that is empty, and says that it is the last."""

# Mail never shrinks that far. What does is kept at full length, since readers of zips, ours too, refuse it as a possible zip bomb.
_MOST_SHRUNK: Final = 50


def blocks(data: bytes) -> bytes:
    """Return a chunk of at most some megabytes, deflated: blocks to be followed by others or by `LAST_BLOCK`."""
    packed = _deflated(data, zlib.Z_DEFAULT_COMPRESSION)
    return packed if len(packed) * _MOST_SHRUNK >= len(data) else _deflated(data, zlib.Z_NO_COMPRESSION)


def _deflated(data: bytes, level: int) -> bytes:
    deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush(zlib.Z_FULL_FLUSH)


def inflated(chunks: Iterable[bytes], what: str) -> Iterator[bytes]:
    """Yield what was deflated, a bounded piece at a time.

    Args:
        what: it is, for the message of the error.

    Raises:
        IntegrityError: it is damaged.
    """
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for chunk in chunks:
            data = inflate.decompress(chunk, CHUNK)
            while data:
                yield data
                data = inflate.decompress(inflate.unconsumed_tail, CHUNK)
    except zlib.error as error:
        raise IntegrityError(_("{what}: it can't be inflated any more").format(what=what)) from error
