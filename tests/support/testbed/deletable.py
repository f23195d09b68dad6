"""A mailbox in memory that can also delete, and whatever may go wrong with that: for tests of prune."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

from archipec.contract import DeletionOrder, Json, Listed, Quota
from archipec.errors import AlreadyGone, ArchipecError, Refused, Scope
from archipec.message import ContentKey
from testbed.fakes import Mailbox, MemorySource

__all__ = ["NOW", "Box", "DeletableSource", "MovingSource"]

NOW = datetime.now(UTC)
TRASH = "Cestino"


@dataclass
class Box(Mailbox):
    """A mailbox of one's own.

    Attributes:
        ages: days since arrival by "folder/ref", 0 unless said; None: the source doesn't tell.
        room: what `quota` says.
        deleted: "folder/ref" in the order of their deletion.
        before_delete: called with the orders before they are carried out.
        delete_errors: by "folder/ref", what its order is answered.
        breaks_at: "folder/ref" at which the connection breaks, after or before carrying the order out.
    """

    ages: dict[str, int | None] = field(default_factory=dict)
    flags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    room: Quota | None = None
    deleted: list[str] = field(default_factory=list)
    orders: list[DeletionOrder] = field(default_factory=list)
    before_delete: Callable[[], None] = lambda: None
    delete_errors: dict[str, ArchipecError] = field(default_factory=dict)
    breaks_at: tuple[str, ArchipecError, bool] | None = None

    def left(self, folder: str = "INBOX") -> list[bytes]:
        """Return what the folder still holds."""
        return list(self.folders[folder].values())


class DeletableSource(MemorySource):
    """Deletes, by orders that it checks."""

    @property
    def box(self) -> Box:
        return cast("Box", self._mailbox)

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        start = after if isinstance(after, int) else 0
        for ref, raw in list(self.box.folders.get(folder, {}).items()):
            age = self.box.ages.get(f"{folder}/{ref}", 0)
            received = None if age is None else NOW - timedelta(days=age)
            if int(ref) > start:
                yield Listed(
                    folder, ref, len(raw), received, self.box.flags.get(f"{folder}/{ref}", ()), int(ref)
                )
                if errors := self.box.scan_errors.get(folder):
                    raise errors.pop(0)

    def quota(self) -> Quota | None:
        return self.box.room

    def delete(self, orders: Iterable[DeletionOrder]) -> Iterator[tuple[DeletionOrder, ArchipecError | None]]:
        self.box.before_delete()
        for order in orders:
            name = f"{order.folder}/{order.ref}"
            self.box.orders.append(order)
            raw = self.box.folders[order.folder].get(order.ref)
            error = self.box.delete_errors.get(name)
            if raw is None or error is not None:
                yield order, error or AlreadyGone(f"message {order.ref} was no longer there")
                continue
            if ContentKey.of(raw) != order.key or order.expires_at <= datetime.now(UTC):
                yield order, Refused("not the one, or too late", scope=Scope.MESSAGE)
                continue
            breaks = self.box.breaks_at if self.box.breaks_at and self.box.breaks_at[0] == name else None
            if breaks is None or breaks[2]:
                self._remove(order, raw)
                self.box.deleted.append(name)
            if breaks is not None:
                raise breaks[1]
            yield order, None

    def _remove(self, order: DeletionOrder, raw: bytes) -> None:
        del raw
        del self.box.folders[order.folder][order.ref]


class MovingSource(DeletableSource):
    """Deletes into a trash: so do some servers by themselves."""

    def folders(self) -> list[object]:  # type: ignore[override]
        return [one for one in super().folders() if one.name != TRASH]

    def trash(self) -> str | None:
        return TRASH

    def only_moves(self) -> bool:
        return False

    def _remove(self, order: DeletionOrder, raw: bytes) -> None:
        super()._remove(order, raw)
        if order.folder != TRASH:
            trash = self.box.folders.setdefault(TRASH, {})
            trash[str(len(trash) + 100)] = raw
