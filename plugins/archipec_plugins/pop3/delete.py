"""Deletes by order. In POP3, DELE only marks; a server deletes what is marked at QUIT (RFC 1939 §6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeAlias

from archipec.contract import ContentKey, DeletionOrder
from archipec.errors import AlreadyGone, ArchipecError, Refused, Scope
from archipec.language import _
from archipec_plugins.pop3.commands import Pop3Channel, refusal
from archipec_plugins.pop3.fetch import Pop3FetchPipeline
from archipec_plugins.pop3.maildrop import Maildrop

_Outcome: TypeAlias = "tuple[DeletionOrder, ArchipecError | None]"


class Pop3Deletion:
    """What one session deletes. An outcome is good only after the server's good answer to QUIT.

    If the iteration ends before, or the connection closes, nothing is deleted.

    Args:
        maildrop: sizes known.
        now: the clock; aware.
        ahead: commands under way at most.
    """

    def __init__(
        self, channel: Pop3Channel, maildrop: Maildrop, now: Callable[[], datetime], ahead: int
    ) -> None:
        self._channel = channel
        self._maildrop = maildrop
        self._now = now
        self._ahead = ahead

    def delete(self, orders: Iterable[DeletionOrder]) -> Iterator[_Outcome]:
        """Yield each order with its outcome, those that are refused first.

        Raises:
            TransientError: the connection broke before QUIT: nothing is deleted.
        """
        good, doubtful = [], []
        for order in orders:
            if self._is_gone(order):
                yield order, AlreadyGone(_("message {ref} was no longer there").format(ref=order.ref))
            elif (refused := self._refused(order)) is not None:
                yield order, refused
            elif self._maildrop.size(order.ref) == order.key.size:
                good.append(order)
            else:
                doubtful.append(order)
        for order, same in self._read_again(doubtful):
            if same:
                good.append(order)
            else:
                yield (
                    order,
                    Refused(
                        _("message {ref} is not the one that was archived").format(ref=order.ref),
                        scope=Scope.MESSAGE,
                    ),
                )
        yield from self._mark_and_quit(good)

    def _is_gone(self, order: DeletionOrder) -> bool:
        return order.folder == "INBOX" and order.ref not in self._maildrop.numbers

    def _refused(self, order: DeletionOrder) -> Refused | None:
        """Say why an order can't be carried out whatever the message is."""
        if order.folder != "INBOX":
            return Refused(
                _('POP3 has no folder "{folder}"').format(folder=order.folder), scope=Scope.MESSAGE
            )
        if order.ref in self._maildrop.ambiguous:
            return Refused(
                _(
                    "message {ref} has the same unique id as another, so that the server can't be asked to "
                    "delete one of them"
                ).format(ref=order.ref),
                hint=_("delete it in the webmail"),
                scope=Scope.MESSAGE,
            )
        return self._expired(order)

    def _expired(self, order: DeletionOrder) -> Refused | None:
        if order.expires_at > self._now():
            return None
        return Refused(
            _("the order to delete message {ref} has expired").format(ref=order.ref), scope=Scope.MESSAGE
        )

    def _read_again(self, orders: Sequence[DeletionOrder]) -> Iterator[tuple[DeletionOrder, bool]]:
        """Yield whether the bytes are still those of the order. Many servers don't count sizes exactly."""
        by_ref = {order.ref: order for order in orders}
        pipeline = Pop3FetchPipeline(
            self._channel.begin(), self._maildrop, iter(by_ref), b"RETR %d", self._ahead
        )
        for ref, text in pipeline.answers():
            key = None
            try:
                key = ContentKey.of_chunks(text)
            except ArchipecError as error:
                if error.scope > Scope.MESSAGE:
                    raise
            yield by_ref[ref], key == by_ref[ref].key

    def _mark_and_quit(self, orders: Sequence[DeletionOrder]) -> Iterator[_Outcome]:
        while orders:
            marked = []
            for order, error in self._mark(orders):
                if error is None:
                    marked.append(order)
                else:
                    yield order, error
            late = [(order, expired) for order in marked if (expired := self._expired(order)) is not None]
            if not late:
                yield from self._quit(marked)
                return
            # QUIT would carry them out after their time: all is unmarked, and the others are marked again.
            self._command(b"RSET")
            yield from late
            expired_refs = {order.ref for order, _ in late}
            orders = [order for order in marked if order.ref not in expired_refs]

    def _mark(self, orders: Sequence[DeletionOrder]) -> Iterator[_Outcome]:
        batch = self._channel.begin()
        for start in range(0, len(orders), self._ahead):
            some = orders[start : start + self._ahead]
            batch.send(*(b"DELE %d" % self._maildrop.numbers[order.ref] for order in some), text=False)
            for order in some:
                reply = batch.reply()
                good = reply.startswith(b"+OK")
                what = _("message {ref} can't be deleted").format(ref=order.ref)
                yield order, None if good else refusal(reply, what, Scope.MESSAGE)

    def _quit(self, marked: Sequence[DeletionOrder]) -> Iterator[_Outcome]:
        error: ArchipecError | None = None
        if marked:
            try:
                self._command(b"QUIT")
            except ArchipecError as caught:
                what = _("the server has not confirmed the deletion: {caught}").format(caught=caught)
                error = type(caught)(what, hint=_("the next listing tells what is left"), scope=caught.scope)
        for order in marked:
            yield order, error

    def _command(self, command: bytes) -> None:
        batch = self._channel.begin()
        batch.send(command, text=False)
        reply = batch.reply()
        if not reply.startswith(b"+OK"):
            raise refusal(reply, command.decode("ascii"), Scope.ENDPOINT)
