"""What a message out of a dump may have been before it got there: the same with other line ends, or mbox quoting undone.

Programs that save mail turn CRLF into LF, put a ``From `` line in front, and quote lines that begin like one. The
seal survives the first; the bytes are others all the same, and so is the content key. A message is looked up under
these keys when its own is not held; a key found like that makes it an occurrence, never a reason to delete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import BinaryIO, Final, TypeAlias

from archipec.message import ContentKey

__all__ = ["variants"]

_Chunks: TypeAlias = Iterable[bytes]
_Change: TypeAlias = Callable[[_Chunks], Iterator[bytes]]

_CHUNK: Final = 256 * 1024
_LONGEST_FROM_LINE: Final = 1000
_LONGEST_LINE: Final = 64 * 1024

_FROM_LINE = re.compile(rb">?From [^\n]{0,%d}\n" % _LONGEST_FROM_LINE)


def variants(read: Callable[[], BinaryIO]) -> list[ContentKey]:
    """Return the keys of what a message may have been, the likeliest first; its own is not among them.

    A message with CRLF throughout and no line beginning with ``From `` was not changed by any program: it has no variants.

    Args:
        read: gives a new reader of the message from byte 0.
    """
    bare, quotable, from_line = _traits(_chunks(read))
    if not (bare or quotable or from_line):
        return []
    # The last line end may be the one an mbox needed.
    changes: tuple[tuple[_Change, ...], ...] = (
        (_without_from_line, _as_it_is) if from_line else (_as_it_is,),
        (_as_it_is, _unquoted, _unquoted_once, _quoted_once) if quotable else (_as_it_is,),
        (_with_crlf, _as_it_is) if bare else (_as_it_is,),
        (_as_it_is, _without_last_end),
    )
    own = ContentKey.of_chunks(_chunks(read))
    keys: dict[ContentKey, None] = {}
    for chosen in product(*changes):
        chunks: _Chunks = _chunks(read)
        for change in chosen:
            chunks = change(chunks)
        keys[ContentKey.of_chunks(chunks)] = None
    keys.pop(own, None)
    return list(keys)


def _chunks(read: Callable[[], BinaryIO]) -> Iterator[bytes]:
    with read() as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _traits(chunks: _Chunks) -> tuple[bool, bool, bool]:
    """Return whether a message has bare LF, a line that mbox would quote, and a From line in front."""
    bare = quotable = from_line = False
    for number, (block, fresh) in enumerate(_blocks(chunks)):
        # Every message of a dump comes here: a pattern that tries each byte takes longer than all else that is done to it.
        bare = bare or block.count(b"\n") != block.count(b"\r\n")
        quotable = quotable or (b"From " in block and _QUOTABLE[fresh].search(block) is not None)
        from_line = from_line or (number == 0 and _FROM_LINE.match(block) is not None)
    return bare, quotable, from_line


def _blocks(chunks: _Chunks) -> Iterator[tuple[bytes, bool]]:
    """Yield a message in blocks of whole lines, and whether a line begins there.

    A very long line comes in pieces, and CR and LF in one of them.
    """
    held, fresh = b"", True
    for chunk in chunks:
        held += chunk
        end = held.rfind(b"\n") + 1
        if not end and len(held) > _LONGEST_LINE:
            end = len(held) - held.endswith(b"\r")
        if end:
            yield held[:end], fresh
            fresh = held[end - 1 : end] == b"\n"
            held = held[end:]
    if held:
        yield held, fresh


def _at_line_start(pattern: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Return the pattern for blocks that begin inside a line, and for those that begin one."""
    return re.compile(rb"(?<=\n)" + pattern), re.compile(rb"(?:(?<=\n)|\A)" + pattern)


def _by_lines(patterns: tuple[re.Pattern[bytes], re.Pattern[bytes]], replacement: bytes) -> _Change:
    def change(chunks: _Chunks) -> Iterator[bytes]:
        return (patterns[fresh].sub(replacement, block) for block, fresh in _blocks(chunks))

    return change


_QUOTABLE = _at_line_start(rb">*From ")
_unquoted = _by_lines(_at_line_start(rb">(?=>*From )"), b"")  # mboxrd
_unquoted_once = _by_lines(_at_line_start(rb">(?=From )"), b"")  # mboxo
_quoted_once = _by_lines(_at_line_start(rb"(?=From )"), b">")


def _as_it_is(chunks: _Chunks) -> Iterator[bytes]:
    return iter(chunks)


def _with_crlf(chunks: _Chunks) -> Iterator[bytes]:
    # A block never ends between CR and LF.
    return (block.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for block, _ in _blocks(chunks))


def _without_from_line(chunks: _Chunks) -> Iterator[bytes]:
    for number, (block, _) in enumerate(_blocks(chunks)):
        yield block if number else _FROM_LINE.sub(b"", block, count=1)


def _without_last_end(chunks: _Chunks) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        held += chunk
        yield held[:-2]
        held = held[-2:]
    yield held.removesuffix(b"\n").removesuffix(b"\r")
