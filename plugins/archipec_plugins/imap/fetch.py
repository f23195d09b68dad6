"""Reads many messages: FETCH commands ahead of their answers, literals streamed as they come."""

from __future__ import annotations

import re
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias

from archipec.errors import ArchipecError, PermanentError, Scope, from_os_error
from archipec_plugins.imap.commands import CommandBatch, refusal
from archipec_plugins.imap.grammar import (
    StatusResponse,
    Token,
    fetch_attributes,
    literal_size,
    message_number,
    number,
    uid_set,
)

ImapAnswer: TypeAlias = "tuple[str, Iterator[bytes]]"
"""A ref, and the bytes it stands for."""

# Tuned by measurement at 40 ms a round trip: with less under way the network waits for us, with more the other
# connections wait for work. 250 numbers keep a command within the 8,192 bytes of RFC 7162 §4.
_AHEAD: Final = 8
_COMMAND_BYTES: Final = 1024 * 1024
_COMMAND_MESSAGES: Final = 250
# Bytes that are assumed of a message until some have come.
_USUAL_BYTES: Final = 128 * 1024

_IN_MEMORY: Final = 1024 * 1024
_CHUNK: Final = 128 * 1024


class ImapFetchPipeline:
    """The commands under way for messages of the folder that is open, or is being opened by the same batch of commands of commands.

    Args:
        refs: of one UIDVALIDITY; pulled only for commands that are sent at once.
        section: ``""`` for whole messages, ``"HEADER"`` for their headers.
        temp: where a message waits whose server names it only behind its bytes.

    Attributes:
        uidnext: from which UID on messages are newer than this connection's view of the folder; set it before
            `answers`.
    """

    def __init__(self, batch: CommandBatch, refs: Iterator[str], section: str, temp: Path) -> None:
        self.uidnext = 0
        self._batch = batch
        self._refs = refs
        self._temp = temp
        self._name = f"BODY[{section}]".encode("ascii")
        peeked = f"BODY.PEEK[{section}]".encode("ascii")  # some repeat what they were asked
        self._names = frozenset((self._name, self._name + b"<0>", peeked))
        self._items = b"(UID %b)" % peeked
        name = re.escape(self._name)
        self._usual = re.compile(rb"\* [0-9]+ FETCH \(UID ([0-9]{1,10}) " + name + rb" \{([0-9]{1,18})\}\r\n")
        self._announced = re.compile(
            rb"[ (](?:" + name + rb"(?:<0>)?|" + re.escape(peeked) + rb") *~?\{[0-9]+\+?\}\r\n\Z",
            re.IGNORECASE,
        ).search
        self._wanted: dict[int, str] = {}
        # Messages that share their UID with another, and are not the first to be listed with it.
        self._copies: dict[int, dict[int, str]] = {}
        self._under_way: dict[bytes, list[int]] = {}
        self._one_by_one: deque[int] = deque()
        # Of the last few commands; each weighs half of the one after it.
        self._messages, self._bytes = 1.0, float(_USUAL_BYTES)
        self._doubtful: dict[int, str] = {}
        self._last_round = False
        # What is not answered of the commands under way, in the order in which servers answer.
        self._turn: deque[int] = deque()
        self._held: dict[int, _Held] = {}
        self._asked_again: set[int] = set()

    def send(self, *first: bytes) -> list[bytes]:
        """Send commands and, behind them, as many FETCHes as may be under way. Return the tags of the former."""
        uid_lists: list[list[int]] = []
        while len(self._under_way) + len(uid_lists) < _AHEAD and (uids := self._next()):
            uid_lists.append(uids)
        if not first and not uid_lists:
            return []
        commands = (b"UID FETCH %b %b" % (uid_set(sorted(uids)), self._items) for uids in uid_lists)
        tags = self._batch.send(*first, *commands)
        self._under_way.update(zip(tags[len(first) :], uid_lists, strict=True))
        for uids in uid_lists:
            self._turn.extend(sorted(uids))
        return tags[: len(first)]

    def taken(self) -> list[str]:
        """Return the refs that were pulled and aren't answered."""
        copies = [ref for by_place in self._copies.values() for ref in by_place.values()]
        return [*self._wanted.values(), *copies]

    def answers(self) -> Iterator[ImapAnswer]:
        """Yield each message that comes; send on as commands are done.

        A server shows a connection neither what has arrived nor what has been expunged since it last said so:
        the former isn't answered at all, the latter by NIL (Dovecot). NOOP, with no other command under way,
        brings it up to date; then whatever is in doubt is asked for once more.

        An answer that is not in its turn may be one of another message under a wrong UID. It waits until its command is
        done: it is taken when every message of that was answered for once, else its message is asked for by itself.
        """
        try:
            yield from self._all_rounds()
        finally:
            for held in self._held.values():
                held.drop()

    def _all_rounds(self) -> Iterator[ImapAnswer]:
        yield from self._round()
        if self._doubtful:
            (noop,) = self._batch.send(b"NOOP")
            for _ in self._batch.answers(noop, "the folder can't be brought up to date", Scope.FOLDER):
                pass
            self._last_round = True
            self._refs = iter([ref for _, ref in sorted(self._doubtful.items())])
            self.send()
            yield from self._round()
        for uid, copies in self._copies.items():
            yield from self._read_copies(uid, copies)

    def _read_copies(self, uid: int, copies: dict[int, str]) -> Iterator[ImapAnswer]:
        """Read messages that share a UID, by their place among those that do: first by UID, which names them all.

        A server that answers with one of them only is asked by message number.
        """
        (tag,) = self._batch.send(b"UID FETCH %d %b" % (uid, self._items))
        yield from self._by_place(tag, uid, copies)
        if not copies:
            return
        (tag,) = self._batch.send(b"FETCH 1:* (UID)")
        places: list[int] = []
        for response in self._batch.answers(tag, "the folder can't be listed", Scope.FOLDER):
            if (message := message_number(response)) is not None:
                self._batch.useful()
                if number(fetch_attributes(response).get(b"UID")) == uid:
                    places.append(message)
        for place, message in enumerate(dict.fromkeys(places), start=1):
            if place in copies:
                (tag,) = self._batch.send(b"FETCH %d %b" % (message, self._items))
                yield from self._by_place(tag, uid, {place: copies.pop(place)}, {message: place})

    def _by_place(
        self, tag: bytes, uid: int, copies: dict[int, str], messages: Mapping[int, int] | None = None
    ) -> Iterator[ImapAnswer]:
        """Yield the answers of one command that are among ``copies``, and take them out of there.

        Args:
            messages: places by message number, where they are known; else they are counted as they come.
        """
        seen: list[int] = []
        while True:
            line = self._batch.line()
            status = self._batch.status(line)
            if status is not None:
                if status.tag == tag:
                    return
                continue
            message = message_number(line)
            with self._parsed(line) as (attributes, body):
                ref = None
                if message is not None and body is not None and number(attributes.get(b"UID")) == uid:
                    seen += [message] if message not in seen else []
                    place = len(seen) if messages is None else messages.get(message, 0)
                    ref = copies.pop(place, None)
                if ref is None or body is None:
                    self._batch.useless(len(line))
                else:
                    self._batch.useful()
                    yield ref, body

    def _round(self) -> Iterator[ImapAnswer]:
        batch, wanted = self._batch, self._wanted
        while self._under_way:
            line = b""
            match = batch.usual(self._usual)
            if match is None:
                line = batch.line()
                match = self._usual.fullmatch(line)
            if match is not None:
                uid, size = int(match[1]), int(match[2])
                length = match.end() - match.start() + size
                self._bytes += size
                body = batch.last_body(size)
                if uid in wanted and self._is_in_turn(uid):
                    batch.useful()
                    yield wanted.pop(uid), body
                elif not self._set_aside(uid, body):
                    batch.useless(length)
                continue
            status = batch.status(line)
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
            uid, place = parse_ref(ref)
            if uid is not None and place > 1:
                self._copies.setdefault(uid, {})[place] = ref
            elif uid is not None and uid not in self._wanted:
                self._wanted[uid] = ref
                uids.append(uid)
            if len(uids) >= limit:
                break
        return uids

    def _done(self, status: StatusResponse) -> Iterator[ImapAnswer]:
        """Take note that a command is done: what it left unanswered is gone, or refused."""
        uids = self._under_way.pop(status.tag)
        held = {uid: self._held.pop(uid) for uid in uids if uid in self._held}
        left = [uid for uid in uids if uid in self._wanted]
        if left or held:
            over = set(uids)
            self._turn = deque(uid for uid in self._turn if uid not in over)
        if held and not left and all(one.body is not None for one in held.values()):
            for one in held.values():
                yield from one.answer()
        else:
            for uid, one in held.items():
                one.drop()
                # Once: the host asks again for messages that are not answered.
                if uid not in self._asked_again:
                    self._asked_again.add(uid)
                    self._wanted[uid] = one.ref
                    self._one_by_one.append(uid)
        self._messages = self._messages / 2 + len(uids) - len(left)
        self._bytes = self._bytes / 2 + 1
        if status.word != "OK" and len(uids) > 1:
            # One message that makes the server fail must not take others with it.
            self._one_by_one.extend(left)
            return
        for uid in left:
            ref = self._wanted.pop(uid)
            if status.word != "OK" and status.code != "EXPUNGEISSUED":
                yield ref, _failing(refusal(status, f"message {ref} can't be read", Scope.MESSAGE))
            elif uid >= self.uidnext and not self._last_round:
                self._doubtful[uid] = ref

    def _unusual(self, line: bytes) -> Iterator[ImapAnswer]:
        """Read an answer with further attributes, in another order, or with a body that is no literal."""
        with self._parsed(line) as (attributes, body):
            uid = self._answered(attributes) if self._has_body(attributes) else None
            if uid is None or (body is None and uid not in self._wanted):
                self._batch.useless(len(line))
                return
            in_turn = uid in self._wanted and self._is_in_turn(uid)
            if body is not None and not in_turn:
                if not self._set_aside(uid, body):
                    self._batch.useless(len(line))
                return
            self._batch.useful()
            ref = self._wanted.pop(uid)
            if body is not None:
                yield ref, body
            elif self._last_round:
                # NIL is "nonexistent data" (RFC 9051 §4.6), not a message of no bytes.
                yield (
                    ref,
                    _failing(
                        PermanentError(f"the server has no bytes of message {ref}", scope=Scope.MESSAGE)
                    ),
                )
            else:
                self._doubtful[uid] = ref

    @contextmanager
    def _parsed(self, line: bytes) -> Iterator[tuple[dict[bytes, Token], Iterator[bytes] | None]]:
        """Give the attributes of the FETCH response that ``line`` begins, and its body, None when that is NIL."""
        response = line
        while (size := literal_size(line)) is not None:
            if self._announced(line):
                with self._streamed(response, size) as found:
                    yield found
                return
            literal, line = self._batch.more(size, len(response))
            response += literal + line
        attributes = fetch_attributes(response)
        body = next((attributes[name] for name in self._names if name in attributes), None)
        yield attributes, iter((body,)) if isinstance(body, bytes) else None

    @contextmanager
    def _streamed(
        self, beginning: bytes, size: int
    ) -> Iterator[tuple[dict[bytes, Token], Iterator[bytes] | None]]:
        """Give a body whose UID may stand before or behind it."""
        without_body = beginning[: beginning.rfind(b"{")].removesuffix(b"~") + b'""'
        self._bytes += size
        body = self._batch.body(size)
        attributes = fetch_attributes(without_body + b")")
        if b"UID" in attributes:
            yield attributes, body
            return
        with ExitStack() as stack:
            try:
                file = stack.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self._temp)))
                for chunk in body:
                    file.write(chunk)
                file.seek(0)
            except OSError as error:
                raise from_os_error(error, self._temp) from error
            tail = self._batch.tail()
            if not (attributes := fetch_attributes(without_body + tail)).get(b"UID"):
                # Where the list was closed too early, it may stand behind that.
                attributes = (
                    fetch_attributes(
                        (without_body + tail).removesuffix(b"\r\n").removesuffix(b")")
                        + self._batch.leftover()
                    )
                    or attributes
                )
            yield attributes, iter(partial(file.read, _CHUNK), b"")

    def _has_body(self, attributes: dict[bytes, Token]) -> bool:
        return not self._names.isdisjoint(attributes)

    def _answered(self, attributes: dict[bytes, Token]) -> int | None:
        """The UID of an answer. One without UID answers what was asked, where that was one message."""
        if b"UID" not in attributes and len(self._under_way) == 1:
            ((uid, *others),) = self._under_way.values()
            return None if others else uid
        return number(attributes.get(b"UID"))

    def _is_in_turn(self, uid: int) -> bool:
        """Tell whether it is this message that a server answers for next; it has done so then."""
        if not self._turn or self._turn[0] != uid:
            return False
        self._turn.popleft()
        return True

    def _set_aside(self, uid: int, body: Iterator[bytes]) -> bool:
        """Keep an answer that is not in its turn, or take note that there are two. False: it was not asked for."""
        ref = self._wanted.pop(uid, None)
        if ref is None:
            for _ in body:
                pass
            if uid in self._held:
                self._held[uid].drop()
            return False
        self._batch.useful()
        held = self._held[uid] = _Held(ref)
        held.keep(body, self._temp)
        return True


class _Held:
    """An answer that waits.

    Attributes:
        body: its bytes; None when they may be another message's.
    """

    def __init__(self, ref: str) -> None:
        self.ref = ref
        self.body: Iterator[bytes] | None = None
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = None

    def keep(self, body: Iterator[bytes], temp: Path) -> None:
        """Read the bytes; a message that came as one chunk stays that."""
        first = next(body, b"")
        second = next(body, b"")
        if not second:
            self.body = iter((first,) if first else ())
            return
        try:
            self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(temp))  # noqa: SIM115  # closed by drop
            for chunk in chain((first, second), body):
                self._file.write(chunk)
            self._file.seek(0)
        except OSError as error:
            raise from_os_error(error, temp) from error
        self.body = iter(partial(self._file.read, _CHUNK), b"")

    def answer(self) -> Iterator[ImapAnswer]:
        """Give it, and forget it."""
        if self.body is not None:
            yield self.ref, self.body
        self.drop()

    def drop(self) -> None:
        """Forget the bytes."""
        self.body = None
        if self._file is not None:
            self._file.close()
            self._file = None


def parse_ref(ref: str) -> tuple[int | None, int]:
    """Return (UID, place among the messages that share it, from 1) of a ref; the UID None when it is not a ref of this source.

    "7/5" is the first message listed with UID 5, "7/5 2" the second, where a server numbers two alike.
    """
    number_of, _, place = ref.partition("/")[2].partition(" ")
    uid = number(number_of.encode("ascii", "replace"))
    nth = number(place.encode("ascii", "replace")) if place else 1
    return (None, 1) if nth is None else (uid, nth)


def _failing(error: ArchipecError) -> Iterator[bytes]:
    raise error
    yield b""
