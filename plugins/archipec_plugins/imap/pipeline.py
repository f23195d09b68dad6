"""Reads many messages: FETCH commands ahead of their answers, literals streamed as they come."""

from __future__ import annotations

import re
import tempfile
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from archipec.errors import ArchipecError, PermanentError, Scope, from_os_error
from archipec_plugins.imap.dialogue import Exchange, refusal
from archipec_plugins.imap.grammar import (
    Status,
    Token,
    fetch_attributes,
    literal_size,
    number,
    uid_set,
)

__all__ = ["Answer", "Pipeline"]

Answer: TypeAlias = "tuple[str, Iterator[bytes]]"
"""A ref, and the bytes it stands for."""

# Tuned by measurement at 40 ms a round trip: with less under way the network waits for us, with more the other
# connections wait for work. 250 numbers keep a command within the 8,192 bytes of RFC 7162 §4.
_AHEAD: Final = 8
_COMMAND_BYTES: Final = 1024 * 1024
_COMMAND_MESSAGES: Final = 250
# What a message is thought to weigh until some have come.
_USUAL_BYTES: Final = 128 * 1024

_IN_MEMORY: Final = 1024 * 1024
_CHUNK: Final = 128 * 1024


class Pipeline:
    """The commands under way for messages of the folder that is open, or is being opened by the same exchange.

    Args:
        refs: of one UIDVALIDITY; pulled only for commands that are sent at once.
        section: ``""`` for whole messages, ``"HEADER"`` for their headers.
        temp: where a message waits whose server names it only behind its bytes.

    Attributes:
        uidnext: from which UID on messages are newer than this connection's view of the folder; set it before
            `answers`.
    """

    def __init__(self, exchange: Exchange, refs: Iterator[str], section: str, temp: Path) -> None:
        self.uidnext = 0
        self._exchange = exchange
        self._refs = refs
        self._temp = temp
        self._name = f"BODY[{section}]".encode("ascii")
        self._items = f"(UID BODY.PEEK[{section}])".encode("ascii")
        name = re.escape(self._name)
        self._usual = re.compile(
            rb"\* [0-9]+ FETCH \(UID ([0-9]{1,10}) " + name + rb" \{([0-9]{1,18})\}\r\n"
        ).fullmatch
        self._announced = re.compile(rb"[ (]" + name + rb" \{[0-9]+\}\r\n\Z", re.IGNORECASE).search
        self._wanted: dict[int, str] = {}
        self._under_way: dict[bytes, list[int]] = {}
        self._one_by_one: deque[int] = deque()
        # Of the last few commands; each weighs half of the one after it.
        self._messages, self._bytes = 1.0, float(_USUAL_BYTES)
        self._doubtful: dict[int, str] = {}
        self._last_round = False

    def send(self, *first: bytes) -> list[bytes]:
        """Send commands and, behind them, as many FETCHes as may be under way. Return the tags of the former."""
        batches: list[list[int]] = []
        while len(self._under_way) + len(batches) < _AHEAD and (uids := self._next()):
            batches.append(uids)
        if not first and not batches:
            return []
        commands = (b"UID FETCH %b %b" % (uid_set(sorted(uids)), self._items) for uids in batches)
        tags = self._exchange.send(*first, *commands)
        self._under_way.update(zip(tags[len(first) :], batches, strict=True))
        return tags[: len(first)]

    def answers(self) -> Iterator[Answer]:
        """Yield each message that comes; send on as commands are done.

        A server shows a connection neither what has arrived nor what has been expunged since it last said so:
        the former isn't answered at all, the latter by NIL (Dovecot). NOOP, with no other command under way,
        brings it up to date; then whatever is in doubt is asked for once more.
        """
        yield from self._round()
        if self._doubtful:
            (noop,) = self._exchange.send(b"NOOP")
            for _ in self._exchange.answers(noop, "the folder can't be brought up to date", Scope.FOLDER):
                pass
            self._last_round = True
            self._refs = iter([ref for _, ref in sorted(self._doubtful.items())])
            self.send()
            yield from self._round()

    def _round(self) -> Iterator[Answer]:
        while self._under_way:
            line = self._exchange.line()
            match = self._usual(line)
            if match is not None:
                size = int(match[2])
                self._bytes += size
                body = self._exchange.body(size)
                ref = self._wanted.pop(int(match[1]), None)
                if ref is not None:
                    yield ref, body
                continue
            status = self._exchange.status(line)
            if status is None:
                yield from self._unusual(line)
            elif status.tag in self._under_way:
                yield from self._done(status)
                self.send()

    def _next(self) -> list[int]:
        """The UIDs of the next command."""
        if self._one_by_one:
            return [self._one_by_one.popleft()]
        limit = min(_COMMAND_MESSAGES, 1 + int(_COMMAND_BYTES * self._messages / self._bytes))
        uids: list[int] = []
        for ref in self._refs:
            uid = number(ref.partition("/")[2].encode("ascii", "replace"))
            if uid is not None:
                self._wanted[uid] = ref
                uids.append(uid)
            if len(uids) >= limit:
                break
        return uids

    def _done(self, status: Status) -> Iterator[Answer]:
        """Take note that a command is done: what it left unanswered is gone, or refused."""
        uids = self._under_way.pop(status.tag)
        left = [uid for uid in uids if uid in self._wanted]
        self._messages = self._messages / 2 + len(uids) - len(left)
        self._bytes = self._bytes / 2 + 1
        if status.word != "OK" and len(uids) > 1:
            # One message that the server chokes on must not take others with it.
            self._one_by_one.extend(left)
            return
        for uid in left:
            ref = self._wanted.pop(uid)
            if status.word != "OK" and status.code != "EXPUNGEISSUED":
                yield ref, _failing(refusal(status, f"message {ref} can't be read", Scope.MESSAGE))
            elif uid >= self.uidnext and not self._last_round:
                self._doubtful[uid] = ref

    def _unusual(self, line: bytes) -> Iterator[Answer]:
        """Read an answer with further attributes, in another order, or with a body that is no literal."""
        response = line
        while (size := literal_size(line)) is not None:
            if self._announced(line):
                yield from self._streamed(response, size)
                return
            literal, line = self._exchange.more(size, len(response))
            response += literal + line
        attributes = fetch_attributes(response)
        if self._name not in attributes or (claimed := self._claim(attributes)) is None:
            return
        (uid, ref), body = claimed, attributes[self._name]
        if isinstance(body, bytes):
            yield ref, iter((body,))
        elif self._last_round:
            # NIL is "nonexistent data" (RFC 9051 §4.6), not a message of no bytes.
            yield (
                ref,
                _failing(PermanentError(f"the server has no bytes of message {ref}", scope=Scope.MESSAGE)),
            )
        else:
            self._doubtful[uid] = ref

    def _streamed(self, beginning: bytes, size: int) -> Iterator[Answer]:
        """Read a body whose UID may stand before or behind it."""
        without_body = beginning[: beginning.rfind(b"{")] + b'""'
        self._bytes += size
        body = self._exchange.body(size)
        attributes = fetch_attributes(without_body + b")")
        if b"UID" in attributes:
            if (claimed := self._claim(attributes)) is not None:
                yield claimed[1], body
            return
        try:
            with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self._temp)) as file:
                for chunk in body:
                    file.write(chunk)
                file.seek(0)
                attributes = fetch_attributes(without_body + self._exchange.tail())
                if (claimed := self._claim(attributes)) is not None:
                    yield claimed[1], iter(partial(file.read, _CHUNK), b"")
        except OSError as error:
            raise from_os_error(error, self._temp) from error

    def _claim(self, attributes: dict[bytes, Token]) -> tuple[int, str] | None:
        """The UID and ref of an answer; None when it answers nothing that was asked."""
        uid = number(attributes.get(b"UID"))
        ref = None if uid is None else self._wanted.pop(uid, None)
        return None if uid is None or ref is None else (uid, ref)


def _failing(error: ArchipecError) -> Iterator[bytes]:
    raise error
    yield b""
