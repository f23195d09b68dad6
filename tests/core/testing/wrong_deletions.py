"""Sources that delete what they should not, and the cases of the kit that must find out. Run by ``test_kit.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from archipec.contract import ContentKey, DeletionOrder
from archipec.errors import AlreadyGone, ArchipecError, PermanentError, Refused

from . import memory_source, test_reference
from .memory_source import MemorySource
from .wrong import Wrong, wrong

WRONG: dict[str, Wrong] = {}


def broken(*fails: str, says: str) -> Callable[[type[MemorySource]], type[MemorySource]]:
    """Register a broken `MemorySource`."""

    def register(source: type[MemorySource]) -> type[MemorySource]:
        record = replace(memory_source.MEMORY_SOURCE, open=memory_source.opener(source))
        base = test_reference.TestMemoryDeletion
        WRONG[source.__name__] = wrong(source.__name__, base, {"source_type": record}, fails=fails, says=says)
        return source

    return register


@broken("test_an_expired_order", says="expired must be refused")
class ForgetsTheTime(MemorySource):
    """Carries out what came too late."""

    def refusal(self, order: DeletionOrder) -> Refused | None:
        """Think that it is still in time."""
        later = order.expires_at.replace(year=order.expires_at.year + 1)
        return super().refusal(replace(order, expires_at=later))


@broken("test_an_order_for_another_message", says="another message must be refused")
class TrustsTheNumber(MemorySource):
    """Doesn't look at what it deletes."""

    def refusal(self, order: DeletionOrder) -> Refused | None:
        """Think that it is the one."""
        raw = self.message(order.folder, order.ref)
        return super().refusal(order if raw is None else replace(order, key=ContentKey.of(raw)))


@broken("test_what_others_have_marked_survives", says="nothing but what is ordered")
class ExpungesEverything(MemorySource):
    """Takes what other programs have marked along."""

    def remove(self, order: DeletionOrder) -> None:
        """Delete that too."""
        super().remove(order)
        for folder, raw in self.server.marked:
            self.server.folders[folder] = [one for one in self.server.folders[folder] if one[1] != raw]


@broken("test_references_of_a_folder_that_is_no_more", says="former folder must be refused")
class IgnoresTheGeneration(MemorySource):
    """Goes by the number alone."""

    def refusal(self, order: DeletionOrder) -> Refused | None:
        """Think that the folder is the one it was."""
        number = order.ref.partition("/")[2]
        return super().refusal(replace(order, ref=f"{self.server.validity}/{number}"))


@broken(
    "test_exactly_what_is_ordered_goes",
    "test_an_expired_order",
    "test_an_order_for_another_message",
    "test_a_message_that_is_gone",
    "test_what_others_have_marked_survives",
    says="a good answer means|was not deleted by this order",
)
class OnlyPromises(MemorySource):
    """Says that it is done."""

    def remove(self, order: DeletionOrder) -> None:
        """Do nothing."""


@broken("test_a_message_that_is_gone", says="was not deleted by this order")
class ClaimsWhatOthersDeleted(MemorySource):
    """Says of a message that is gone that its order was carried out."""

    def delete(self, orders: Iterable[DeletionOrder]) -> Iterator[tuple[DeletionOrder, ArchipecError | None]]:
        """Count it as done."""
        for order, error in super().delete(orders):
            yield order, None if isinstance(error, AlreadyGone) else error


@broken("test_no_orders", says="nothing but what is ordered")
class TakesNoneForAll(MemorySource):
    """Deletes everything when it is told of nothing."""

    def delete(self, orders: Iterable[DeletionOrder]) -> Iterator[tuple[DeletionOrder, ArchipecError | None]]:
        """Look whether there are orders first."""
        given = list(orders)
        if not given:
            self.server.folders = {folder: [] for folder in self.server.folders}
        return super().delete(given)


@broken("test_other_folders_are_left_alone", says="nothing but what is ordered")
class DeletesEverywhere(MemorySource):
    """Deletes a message in all folders that have it."""

    def remove(self, order: DeletionOrder) -> None:
        """Delete by content."""
        for folder, messages in self.server.folders.items():
            self.server.folders[folder] = [one for one in messages if ContentKey.of(one[1]) != order.key]


@broken("test_a_deleted_message_is_put_back", says="there again, once, byte for byte")
class PutsBackOtherLineEnds(MemorySource):
    """Makes text of a message."""

    def deliver_again(self, folder: str, raw: bytes, flags: tuple[str, ...]) -> None:
        """Write the line ends of this system."""
        super().deliver_again(folder, raw.replace(b"\r\n", b"\n"), flags)


@broken("test_a_deleted_message_is_put_back", says="there again, once, byte for byte")
class PutsBackNothing(MemorySource):
    """Says that it is there again."""

    def deliver_again(self, folder: str, raw: bytes, flags: tuple[str, ...]) -> None:
        """Do nothing."""


@broken("test_a_deleted_message_is_put_back", says="one put back has a new one")
class UsesAReferenceAgain(MemorySource):
    """Gives a message the number that it had."""

    def deliver_again(self, folder: str, raw: bytes, flags: tuple[str, ...]) -> None:
        """Take the first number that is free."""
        taken = {number for number, _ in self.server.folders[folder]}
        number = next(one for one in range(1, 1000) if one not in taken)
        self.server.folders[folder].append((number, raw))


@broken("test_a_deleted_message_is_put_back", says="must have its flags")
class PutsBackUnread(MemorySource):
    """Forgets that it was read."""

    def deliver_again(self, folder: str, raw: bytes, flags: tuple[str, ...]) -> None:
        """Deliver it as new."""
        super().deliver_again(folder, raw, ())


@broken("test_a_deleted_message_is_put_back", says="leave the others as they were")
class PutsBackInPlaceOfAnother(MemorySource):
    """Makes room first."""

    def deliver_again(self, folder: str, raw: bytes, flags: tuple[str, ...]) -> None:
        """Delete the oldest one."""
        del self.server.folders[folder][0]
        super().deliver_again(folder, raw, flags)


@broken(
    "test_an_expired_order",
    "test_an_order_for_another_message",
    "test_references_of_a_folder_that_is_no_more",
    says="with Refused",
)
class RefusesWithTheWrongError(MemorySource):
    """Calls a refusal something else."""

    def delete(self, orders: Iterable[DeletionOrder]) -> Iterator[tuple[DeletionOrder, ArchipecError | None]]:
        """Translate it."""
        for order, error in super().delete(orders):
            yield order, None if error is None else PermanentError(error.message, scope=error.scope)


globals().update({each.cases.__name__: each.cases for each in WRONG.values()})
