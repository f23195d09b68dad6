"""Reads many messages: commands ahead of their replies, texts streamed as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, TypeAlias

from archipec.errors import ArchipecError, Scope
from archipec.language import _
from archipec_plugins.pop3.commands import Pop3Batch, refusal
from archipec_plugins.pop3.maildrop import Maildrop

Pop3Answer: TypeAlias = "tuple[str, Iterator[bytes]]"
"""A ref, and the bytes it stands for."""

AHEAD: Final = 500
"""Commands under way at most. Tuned, as the bytes are, by measurement at 40 ms a round trip."""
_BYTES_AHEAD: Final = 16 * 1024 * 1024
# Bytes that are assumed of a message whose size the server has not stated.
_USUAL_BYTES: Final = 64 * 1024


class Pop3FetchPipeline:
    """The commands under way for some messages.

    Args:
        refs: pulled only for commands that are sent at once.
        command: what asks for a message by its number: ``b"RETR %d"`` or ``b"TOP %d 0"``.
        ahead: commands under way at most; 1 where each reply must be waited for.
    """

    def __init__(
        self, batch: Pop3Batch, maildrop: Maildrop, refs: Iterator[str], command: bytes, ahead: int
    ) -> None:
        self._batch = batch
        self._maildrop = maildrop
        self._refs = refs
        self._command = command
        self._whole = command.startswith(b"RETR")
        self._ahead = ahead
        # None is the RSET behind a batch.
        self._under_way: deque[str | None] = deque()
        self._bytes = 0

    def answers(self) -> Iterator[Pop3Answer]:
        """Yield each message; those that aren't there are left out."""
        while True:
            self._send()
            if not self._under_way:
                return
            ref = self._under_way.popleft()
            reply = self._batch.reply()
            if ref is None:
                continue
            octets = self._maildrop.size(ref)
            self._bytes -= self._weight(octets)
            if reply.startswith(b"+OK"):
                yield ref, self._batch.text(octets if self._whole else None)
            else:
                yield (
                    ref,
                    _failing(refusal(reply, _("message {ref} can't be read").format(ref=ref), Scope.MESSAGE)),
                )

    def _send(self) -> None:
        """Send as many commands as may be under way, once half of those before are answered."""
        if len(self._under_way) > self._ahead // 2 or self._bytes > _BYTES_AHEAD // 2:
            return
        commands = []
        while len(self._under_way) < self._ahead and self._bytes < _BYTES_AHEAD:
            ref = next(self._refs, None)
            if ref is None:
                break
            number = self._maildrop.numbers.get(ref)
            if number is not None:
                self._under_way.append(ref)
                self._bytes += self._weight(self._maildrop.size(ref))
                commands.append(self._command % number)
        if not commands:
            return
        self._batch.send(*commands, text=True)
        if self._whole and self._ahead > 1:
            # Dovecot marks what was retrieved as read when the session ends, unless RSET takes that back.
            self._batch.send(b"RSET", text=False)
            self._under_way.append(None)

    def _weight(self, octets: int | None) -> int:
        return 1 if not self._whole else _USUAL_BYTES if octets is None else octets


def _failing(error: ArchipecError) -> Iterator[bytes]:
    raise error
    yield b""
