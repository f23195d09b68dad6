"""ImapDeletion over IMAP, on a real server: exactly the messages named, whatever else is marked, or none."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from archipec.contract import ContentKey, DeletionOrder, SourceType
from archipec.errors import Refused, Scope, TransientError
from archipec.testing import DeletionConformance, configure, make_context
from archipec.testing.messages import small_messages
from archipec_plugins.imap import IMAP_SOURCE
from archipec_plugins.imap.source import ImapSource
from testbed.dovecot import ITALIAN_FOLDERS, PASSWORD, Dovecot
from testbed.proxy import Proxy
from testbed.requirements import require

pytestmark = pytest.mark.real

LOGINS = [f"casella/{number}@pec.example.it" for number in range(60)]
# What Dovecot says after a login, less UIDPLUS; the second lacks MOVE too.
WITHOUT_UIDPLUS = "IMAP4rev1 LITERAL+ SASL-IR LIST-EXTENDED LIST-STATUS SPECIAL-USE ENABLE MOVE"
WITHOUT_EITHER = WITHOUT_UIDPLUS.removesuffix(" MOVE")

_numbers = itertools.count()


@dataclass(frozen=True)
class Box:
    """A mailbox of one's own."""

    server: Dovecot
    user: str
    temp: Path

    def fill(self, folder: str, messages: Sequence[bytes], flags: Sequence[str] = ()) -> list[int]:
        return self.server.fill(folder, messages, flags, user=self.user)

    def left(self, folder: str = "INBOX") -> dict[int, bytes]:
        return self.server.raw_fetch(folder, self.user)

    def flags(self, folder: str = "INBOX") -> dict[int, tuple[str, ...]]:
        return {
            uid: tuple(flag for flag in flags if flag != "\\Recent")
            for uid, flags, _ in self.server.snapshot(self.user)[folder]
        }

    @property
    def table(self) -> dict[str, Any]:
        return {
            "user": self.user,
            "password": PASSWORD,
            "host": self.server.host,
            "port": self.server.port,
            "ca_file": str(self.server.ca_file),
        }

    def open(
        self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), **table: Any
    ) -> AbstractContextManager[ImapSource]:
        opened = IMAP_SOURCE.open(
            configure(IMAP_SOURCE, {**self.table, **table}), make_context(self.temp, now=now)
        )
        return cast("AbstractContextManager[ImapSource]", opened)

    def orders(self, *uids: int, folder: str = "INBOX", **changes: Any) -> list[DeletionOrder]:
        with self.open() as source:
            refs = {int(one.ref.partition("/")[2]): one.ref for one in source.scan(folder, None)}
        raws = self.left(folder)
        expires = datetime.now(UTC) + timedelta(minutes=10)
        made = [DeletionOrder(folder, refs[uid], ContentKey.of(raws[uid]), (), expires) for uid in uids]
        return [replace(order, **changes) for order in made]


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str], Dovecot]]:
    """Servers by the capabilities they admit to; "" for all they have."""
    require("dovecot")
    started: dict[str, Dovecot] = {}

    def server(capabilities: str) -> Dovecot:
        if capabilities not in started:
            config = f"protocol imap {{\n  imap_capability = {capabilities}\n}}\n" if capabilities else ""
            users = dict.fromkeys(LOGINS, PASSWORD)
            started[capabilities] = Dovecot(users=users, special=ITALIAN_FOLDERS, config=config).__enter__()
        return started[capabilities]

    yield server
    for one in started.values():
        one.__exit__(None, None, None)


@pytest.fixture
def box(servers: Callable[[str], Dovecot], tmp_path: Path) -> Box:
    return Box(servers(""), LOGINS[next(_numbers)], tmp_path)


def carried_out(source: ImapSource, orders: Sequence[DeletionOrder]) -> list[str]:
    """What each order was answered, in words, empty for a good answer."""
    answers = dict(source.delete(iter(orders)))
    return [str(answers[order] or "") for order in orders]


def test_a_thousand_orders_in_two_folders(box: Box) -> None:
    messages = small_messages(1000)
    first, second = box.fill("INBOX", messages[:700]), box.fill("Posta & più", messages[700:])
    orders = [*box.orders(*first[::2]), *box.orders(*second[1::2], folder="Posta & più")]
    with box.open() as source:
        assert carried_out(source, orders) == [""] * 500
    assert list(box.left()) == first[1::2]
    assert list(box.left("Posta & più")) == second[::2]


def test_what_another_program_has_marked_survives_with_its_mark(box: Box) -> None:
    uids = box.fill("INBOX", small_messages(6))
    box.server.flag("INBOX", uids[:3], "\\Deleted", user=box.user)
    with box.open() as source:
        assert carried_out(source, box.orders(uids[2], uids[3])) == ["", ""]
    assert box.flags() == {
        uids[0]: ("\\Deleted",),
        uids[1]: ("\\Deleted",),
        uids[4]: (),
        uids[5]: (),
    }


def test_a_message_flagged_by_now_stays(box: Box) -> None:
    uids = box.fill("INBOX", small_messages(2))
    orders = box.orders(*uids)
    box.server.flag("INBOX", uids[:1], "\\Flagged", user=box.user)
    with box.open() as source:
        flagged, other = carried_out(source, orders)
    assert ("it is flagged by now" in flagged, other) == (True, "")
    assert box.flags() == {uids[0]: ("\\Flagged",)}


def test_an_order_that_expires_between_mark_and_expunge(box: Box) -> None:
    """The mark is taken back: another program's EXPUNGE must not find it."""
    uids = box.fill("INBOX", small_messages(3))
    box.server.flag("INBOX", uids[:1], "\\Deleted", user=box.user)
    orders = box.orders(*uids[:2])
    times = iter([datetime.now(UTC)] * 2)
    with box.open(now=lambda: next(times, datetime.now(UTC) + timedelta(hours=1))) as source:
        assert all("the order has expired" in answer for answer in carried_out(source, orders))
    assert box.flags() == {uids[0]: ("\\Deleted",), uids[1]: (), uids[2]: ()}


def test_a_folder_that_is_not_there_or_is_no_folder_s_name(box: Box) -> None:
    (uid,) = box.fill("INBOX", small_messages(1))
    (order,) = box.orders(uid)
    gone = replace(order, folder="Non c'è")
    odd = replace(order, ref="1;1/x")
    with box.open() as source:
        answers = dict(source.delete(iter([gone, odd, order])))
    assert isinstance(answers[gone], Refused)
    assert isinstance(answers[odd], Refused)
    assert (answers[order], box.left()) == (None, {})


def test_a_server_that_counts_sizes_inexactly_is_read_again(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archipec_plugins.imap import delete as deletion

    look = deletion.ImapDeletion._look
    monkeypatch.setattr(
        deletion.ImapDeletion,
        "_look",
        lambda self, *given: {uid: one._replace(size=7) for uid, one in look(self, *given).items()},
    )
    uids = box.fill("INBOX", small_messages(4))
    wrong, *good = box.orders(*uids[:3])
    wrong = replace(wrong, key=ContentKey.of(b"quite another"))
    with box.open() as source:
        answers = carried_out(source, [wrong, *good])
    assert answers[1:] == ["", ""]
    assert "not the one that was archived" in answers[0]
    assert list(box.left()) == [uids[0], uids[3]]
    assert box.flags() == {uids[0]: (), uids[3]: ()}


def test_a_connection_cut_in_the_middle_promises_nothing(box: Box) -> None:
    uids = box.fill("INBOX", small_messages(300))
    orders = box.orders(*uids)
    with Proxy(box.server.port) as proxy:
        answered = 0
        with pytest.raises(TransientError), box.open(port=proxy.port) as source:
            for _, error in source.delete(iter(orders)):
                assert error is None
                answered += 1
                proxy.cut()
    assert 0 < answered <= 250
    assert len(box.left()) == 300 - 250


def test_reading_goes_on_after_a_deletion(box: Box) -> None:
    uids = box.fill("INBOX", small_messages(4))
    orders = box.orders(uids[0])
    with box.open() as source:
        refs = [one.ref for one in source.scan("INBOX", None)]
        carried_out(source, orders)
        found = {one.ref: b"".join(one.chunks) for one in source.fetch("INBOX", iter(refs))}
    assert list(found.values()) == list(box.left().values())
    assert all(flags == () for flags in box.flags().values())


def test_without_uidplus_messages_are_moved_to_the_trash(
    servers: Callable[[str], Dovecot], tmp_path: Path
) -> None:
    box = Box(servers(WITHOUT_UIDPLUS), LOGINS[next(_numbers)], tmp_path)
    messages = small_messages(5)
    uids = box.fill("INBOX", messages)
    (old,) = box.fill("Cestino", [messages[0]])
    box.server.flag("INBOX", uids[:2], "\\Deleted", user=box.user)
    with box.open() as source:
        assert (source.only_moves(), source.trash()) == (True, "Cestino")
        assert carried_out(source, box.orders(*uids[1:3])) == ["", ""]
        in_trash = box.orders(old, folder="Cestino")
        assert "empty the trash in the webmail" in carried_out(source, in_trash)[0]
    assert list(box.left()) == [uids[0], *uids[3:]]
    assert list(box.left("Cestino").values()) == [messages[0], *messages[1:3]]


def test_without_uidplus_and_move_everything_is_refused(
    servers: Callable[[str], Dovecot], tmp_path: Path
) -> None:
    box = Box(servers(WITHOUT_EITHER), LOGINS[next(_numbers)], tmp_path)
    uids = box.fill("INBOX", small_messages(2))
    with box.open() as source:
        for ask in (source.only_moves, lambda: list(source.delete(iter(box.orders(*uids))))):
            with pytest.raises(Refused, match="can't delete single messages") as caught:
                ask()
            assert caught.value.scope > Scope.MESSAGE
    assert list(box.left()) == uids


def test_the_trash_by_its_name_where_the_server_does_not_tell(box: Box) -> None:
    with box.open() as source:
        assert (source.trash(), source.only_moves()) == ("Cestino", False)


class TestDeletion(DeletionConformance):
    """The kit that third parties run."""

    expected_skips: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        return IMAP_SOURCE

    @pytest.fixture
    def table(self, box: Box) -> Mapping[str, object]:
        return box.table

    @pytest.fixture
    def populated(self, box: Box) -> Mapping[str, Sequence[bytes]]:
        messages = small_messages(8)
        # Not the inbox, which can't be removed and made again.
        box.fill("Grande", messages)
        box.fill("Altro", messages[:3])
        return {"Grande": messages, "Altro": messages[:3]}

    @pytest.fixture
    def mark(self, box: Box) -> Callable[[str, bytes], None]:
        def mark(folder: str, raw: bytes) -> None:
            uids = [uid for uid, one in box.left(folder).items() if one == raw]
            box.server.flag(folder, uids, "\\Deleted", user=box.user)

        return mark

    @pytest.fixture
    def renumber(self, box: Box) -> Callable[[str], None]:
        def renumber(folder: str) -> None:
            messages = list(box.left(folder).values())
            box.server.remove(folder, box.user)
            box.fill(folder, messages)

        return renumber
