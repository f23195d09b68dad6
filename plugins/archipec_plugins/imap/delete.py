"""Deletes by order: marks exactly the messages named and expunges exactly those (UIDPLUS, RFC 4315).

A server without UIDPLUS knows only EXPUNGE, which takes whatever any program has marked: there messages are moved to
the trash (MOVE, RFC 6851), which frees nothing until that is emptied.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from archipec.contract import ContentKey, DeletionOrder
from archipec.errors import AlreadyGone, ArchipecError, Refused, Scope, TransientError, counted
from archipec.language import N_, _
from archipec_plugins.imap.commands import CommandBatch, CommandChannel, response_text
from archipec_plugins.imap.fetch import ImapFetchPipeline, parse_ref
from archipec_plugins.imap.grammar import Token, fetch_attributes, message_number, number, quoted, uid_set

_Outcome: TypeAlias = "tuple[DeletionOrder, ArchipecError | None]"

# Keeps a command within the 8,192 bytes of RFC 7162 §4, whatever the numbers.
_COMMAND_MESSAGES: Final = 250
_SHARED: Final = N_("the server gives its number to another message, too: delete it in the webmail")
_MOST_NUMBERS: Final = 100_000
_DELETED: Final = b"\\deleted"
_FLAGGED: Final = b"\\flagged"


@dataclass(frozen=True, slots=True)
class Method:
    """How this server lets single messages go.

    Attributes:
        trash: the folder they are moved to, as the server spells it; None where they are expunged.
    """

    trash: bytes | None


class _Seen(NamedTuple):
    """A message as it is now: bytes as the server counts them, and its flags in lower case.

    Attributes:
        message: its number in the folder.
        shared: another message has the same UID.
    """

    size: int | None
    flags: frozenset[bytes]
    message: int | None
    shared: bool = False


class ImapDeletion:
    """The orders of one session.

    Args:
        now: the clock; aware.
        marking: called with orders before their messages are marked (`archipec.contract.Context`).
        temp: where a message waits that must be read again.
    """

    def __init__(
        self,
        channel: CommandChannel,
        method: Method,
        now: Callable[[], datetime],
        temp: Path,
        marking: Callable[[Sequence[DeletionOrder]], None],
    ) -> None:
        self._channel = channel
        self._method = method
        self._now = now
        self._temp = temp
        self._marking = marking
        self._expunged = 0
        self._unordered: set[int] = set()

    def delete(
        self, orders: Iterable[DeletionOrder], encoded_name: Callable[[str], bytes]
    ) -> Iterator[_Outcome]:
        """Yield each order with its outcome, good only after the server was asked whether the message is gone.

        Args:
            encoded_name: tells how the server spells a folder.

        Raises:
            TransientError: the connection broke: what was not answered may have been carried out.
        """
        for folder, group in groupby(orders, key=lambda order: order.folder):
            its = list(group)
            spelt = encoded_name(folder)
            if spelt == self._method.trash:
                reason = _("this server can't delete single messages: empty the trash in the webmail")
                yield from _refuse_all(its, reason)
                continue
            try:
                batch, uidvalidity = self._select(folder, spelt)
            except ArchipecError as error:
                if error.scope > Scope.FOLDER:
                    raise
                yield from _refuse_all(its, error.message, Scope.FOLDER)
                continue
            yield from self._in_folder(batch, uidvalidity, its)

    def _select(self, folder: str, encoded_name: bytes) -> tuple[CommandBatch, str]:
        """Open a folder for changes; return its UIDVALIDITY too."""
        self._expunged = 0
        self._unordered = set()
        batch = self._channel.begin()
        (tag,) = batch.send(b"SELECT " + quoted(encoded_name))
        status = batch.outcome(tag)
        if status.word != "OK" or status.code == "READ-ONLY":
            raise Refused(
                _('folder "{folder}" can\'t be changed: {answer}').format(
                    folder=folder, answer=response_text(status)
                ),
                scope=Scope.FOLDER,
            )
        return batch, batch.codes.get("UIDVALIDITY", b"").decode("ascii", "replace")

    def _in_folder(
        self, batch: CommandBatch, uidvalidity: str, orders: Sequence[DeletionOrder]
    ) -> Iterator[_Outcome]:
        by_uid: dict[int, DeletionOrder] = {}
        for order in orders:
            generation = order.ref.partition("/")[0]
            known, place = parse_ref(order.ref)
            if place > 1:
                yield order, _refused(_SHARED)
            elif not uidvalidity or generation != uidvalidity or known is None:
                reason = _("the folder is not the one it was: its messages are numbered anew")
                yield order, _refused(reason)
            else:
                by_uid[known] = order
        uids = sorted(by_uid)
        for start in range(0, len(uids), _COMMAND_MESSAGES):
            some = {uid: by_uid[uid] for uid in uids[start : start + _COMMAND_MESSAGES]}
            yield from self._delete_some(batch, some)

    def _delete_some(self, batch: CommandBatch, orders: dict[int, DeletionOrder]) -> Iterator[_Outcome]:
        """Carry out the orders of one command: check, act, confirm."""
        seen = self._look(batch, orders)
        for uid, error in self._check(batch, orders, seen):
            yield orders.pop(uid), error
        if not orders:
            return
        self._expunged, self._unordered = 0, set()
        unmarked = [uid for uid in orders if _DELETED not in seen[uid].flags]
        reason = self._act(batch, orders, unmarked)
        yield from self._confirm(batch, orders, unmarked, reason)

    def _check(
        self, batch: CommandBatch, orders: Mapping[int, DeletionOrder], seen: Mapping[int, _Seen]
    ) -> Iterator[tuple[int, ArchipecError]]:
        """Yield the messages that must not be deleted, each with the reason: whatever has changed since the order.

        Args:
            orders: without those that were yielded, as soon as the next is asked for.
            seen: the messages that are there.
        """
        for uid in [uid for uid in orders if uid not in seen]:
            yield uid, AlreadyGone(_("message {ref} was no longer there").format(ref=orders[uid].ref))
        for uid in [uid for uid in orders if seen[uid].shared]:
            yield uid, _refused(_SHARED)
        for uid in self._mismatched(batch, orders, seen):
            yield uid, _refused(_("it is not the one that was archived"))
        for uid in [uid for uid in orders if _FLAGGED in seen[uid].flags]:
            yield uid, _refused(_("it is flagged by now"))
        # Last, because reading messages again takes time.
        for uid in [uid for uid, order in orders.items() if order.expires_at <= self._now()]:
            yield uid, _refused(_("the order has expired"))

    def _act(self, batch: CommandBatch, orders: Mapping[int, DeletionOrder], unmarked: Sequence[int]) -> str:
        """Delete the messages, or move them to the trash; return why the server did not, empty when it did.

        Args:
            unmarked: those that nothing has marked for deletion yet.
        """
        if self._method.trash is not None:
            return self._command(batch, b"UID MOVE %b " + quoted(self._method.trash), orders)
        self._marking([orders[uid] for uid in unmarked])
        return self._expunge(batch, sorted(orders), unmarked, min(o.expires_at for o in orders.values()))

    def _confirm(
        self, batch: CommandBatch, orders: Mapping[int, DeletionOrder], unmarked: Sequence[int], reason: str
    ) -> Iterator[_Outcome]:
        """Look at the messages again, and yield what came of each order. Marks left on messages are taken back.

        Args:
            reason: why the server refused, where it did.

        Raises:
            Refused: more messages went than were ordered to.
        """
        left = self._look(batch, orders)
        unsure = ""
        if self._method.trash is None:
            unsure = self._unmark(batch, [uid for uid in unmarked if uid in left])
        for uid, order in orders.items():
            if uid not in left:
                yield order, None
            elif unsure:
                yield (
                    order,
                    TransientError(
                        _(
                            "message {ref} is marked for deletion, and the mark could not be taken back: {unsure}"
                        ).format(ref=order.ref, unsure=unsure),
                        scope=Scope.MESSAGE,
                    ),
                )
            else:
                yield order, _refused(reason or _("the server still has it"))
        self._refuse_unordered(len(orders) - len(left))

    def _refuse_unordered(self, ordered: int) -> None:
        """End it when more messages went than were ordered to."""
        unordered = max(len(self._unordered), self._expunged - ordered)
        if unordered > 0:
            raise Refused(
                _(
                    "{messages} not to be deleted disappeared from the folder at the same time: the server, "
                    "or another program, deletes more than it is asked to"
                ).format(messages=counted(unordered, "message")),
                hint=_("look into the webmail before anything more is deleted"),
            )

    def _note_expunged(self, response: bytes, ordered: Collection[int]) -> None:
        """Count what the server says is gone: EXPUNGE (RFC 9051 §7.5.1), VANISHED (RFC 7162 §3.2.10)."""
        parts = response.split()
        if len(parts) == 3 and parts[1].isdigit() and parts[2].upper() == b"EXPUNGE":
            self._expunged += 1
        elif len(parts) == 3 and parts[1].upper() == b"VANISHED":
            gone = _numbers(parts[2])
            self._unordered |= gone - set(ordered)

    def _expunge(
        self, batch: CommandBatch, uids: Sequence[int], unmarked: Sequence[int], deadline: datetime
    ) -> str:
        """Mark messages and expunge them, them alone; return why the server did not, empty when it did."""
        if unmarked:
            reason = self._command(batch, b"UID STORE %b +FLAGS.SILENT (\\Deleted)", unmarked)
            if reason:
                return reason
        if deadline <= self._now():
            return _("the order has expired")
        return self._command(batch, b"UID EXPUNGE %b", uids)

    def unmark(self, folder: str, encoded_name: bytes, refs: Iterable[str]) -> None:
        """Take back marks that an earlier session left.

        Raises:
            ArchipecError: they may still be there.
        """
        batch, uidvalidity = self._select(folder, encoded_name)
        uids = sorted(
            uid
            for ref in refs
            if ref.partition("/")[0] == uidvalidity and (uid := parse_ref(ref)[0]) is not None
        )
        for start in range(0, len(uids), _COMMAND_MESSAGES):
            if reason := self._unmark(batch, uids[start : start + _COMMAND_MESSAGES]):
                raise TransientError(
                    _('folder "{folder}": marks for deletion can\'t be taken back: {reason}').format(
                        folder=folder, reason=reason
                    )
                )

    def _unmark(self, batch: CommandBatch, uids: Sequence[int]) -> str:
        """Take back marks of ours: another program's EXPUNGE must not find them. Return why that failed, if it did."""
        return self._command(batch, b"UID STORE %b -FLAGS.SILENT (\\Deleted)", uids) if uids else ""

    def _command(self, batch: CommandBatch, command: bytes, uids: Iterable[int]) -> str:
        """Return why the server refuses, empty when it doesn't."""
        wanted = sorted(uids)
        (tag,) = batch.send(command.replace(b"%b", uid_set(wanted), 1))
        while True:
            line = batch.line()
            status = batch.status(line)
            if status is None:
                self._note_expunged(batch.whole(line), wanted)
            elif status.tag == tag:
                return "" if status.word == "OK" else response_text(status)

    def _look(self, batch: CommandBatch, uids: Iterable[int]) -> dict[int, _Seen]:
        """Return those of these messages that are there."""
        wanted = frozenset(uids)
        (tag,) = batch.send(b"UID FETCH %b (UID RFC822.SIZE FLAGS)" % uid_set(sorted(wanted)))
        found: dict[int, _Seen] = {}
        for response in batch.answers(tag, _("the messages can't be looked at"), Scope.FOLDER):
            self._note_expunged(response, wanted)
            attributes = fetch_attributes(response)
            uid = number(attributes.get(b"UID"))
            if uid in wanted:
                message, known = message_number(response), found.get(uid)
                shared = known is not None and (known.shared or known.message != message)
                found[uid] = _Seen(
                    number(attributes.get(b"RFC822.SIZE")), _flags(attributes.get(b"FLAGS")), message, shared
                )
        return found

    def _mismatched(
        self, batch: CommandBatch, orders: Mapping[int, DeletionOrder], seen: Mapping[int, _Seen]
    ) -> list[int]:
        """Return the messages that are not those of their orders: of another size, and then of other bytes.

        Some servers don't count sizes exactly.
        """
        doubtful = {order.ref: uid for uid, order in orders.items() if seen[uid].size != order.key.size}
        if not doubtful:
            return []
        pipeline = ImapFetchPipeline(batch, iter(list(doubtful)), "", self._temp)
        pipeline.uidnext = max(doubtful.values()) + 1
        pipeline.send()
        mismatched = set(doubtful.values())
        for ref, chunks in pipeline.answers():
            try:
                key = ContentKey.of_chunks(chunks)
            except ArchipecError as error:
                if error.scope > Scope.MESSAGE:
                    raise
                continue
            if key == orders[doubtful[ref]].key:
                mismatched.discard(doubtful[ref])
        return sorted(mismatched)


def _numbers(spelt: bytes) -> set[int]:
    """Return the numbers of a sequence set, at most so many that they can be compared."""
    found: set[int] = set()
    for part in spelt.split(b","):
        first, _, last = part.partition(b":")
        start, end = number(first), number(last or first)
        if start is None or end is None or len(found) + end - start > _MOST_NUMBERS:
            continue
        found.update(range(start, end + 1))
    return found


def _flags(token: Token) -> frozenset[bytes]:
    flags = token if isinstance(token, list) else []
    return frozenset(word.lower() for word in flags if isinstance(word, bytes))


def _refused(reason: str, scope: Scope = Scope.MESSAGE) -> Refused:
    return Refused(reason, scope=scope)


def _refuse_all(
    orders: Iterable[DeletionOrder], reason: str, scope: Scope = Scope.MESSAGE
) -> Iterator[_Outcome]:
    for order in orders:
        yield order, _refused(reason, scope)
