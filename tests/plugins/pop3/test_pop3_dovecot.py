"""The POP3 source on a real server: every byte, and nothing changed but what was ordered."""

from __future__ import annotations

import itertools
import logging
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import ContentKey, DeletionOrder, Source, SourceType, SupportsHeaders
from archipec.errors import AlreadyGone, AuthError, Refused, TransientError
from archipec.testing import DeletionConformance, SourceConformance, configure, make_context, nasty_messages
from archipec.testing.messages import big_message, small_messages
from archipec_plugins.pop3 import POP3
from archipec_plugins.pop3.source import Pop3Source
from testbed.dovecot import PASSWORD, USER, Dovecot
from testbed.proxy import Proxy
from testbed.requirements import require

pytestmark = pytest.mark.real

LOGINS = [f"casella/{number}@pec.example.it" for number in range(60)]
# Dovecot makes something else of bare LF, NUL and a CR at the very end, and refuses a message of no bytes.
KEPT = [
    raw
    for raw in nasty_messages().values()
    if raw and b"\0" not in raw and b"\n" not in raw.replace(b"\r\n", b"") and not raw.endswith(b"\r")
]


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    require("dovecot", "dovecot-pop3")
    with Dovecot(users=dict.fromkeys(LOGINS, PASSWORD)) as server:
        yield server


_numbers = itertools.count(1)


@dataclass(frozen=True)
class Mailbox:
    """An empty mailbox of one's own."""

    server: Dovecot
    user: str
    temp: Path

    def fill(self, messages: Sequence[Any], flags: Sequence[str] = ()) -> list[int]:
        return self.server.fill("INBOX", messages, flags, user=self.user)

    @property
    def raw(self) -> list[bytes]:
        """What IMAP gives."""
        return list(self.server.raw_fetch("INBOX", self.user).values())

    @property
    def flags(self) -> list[tuple[str, ...]]:
        """Without `\\Recent`, which any session takes away."""
        return [
            tuple(flag for flag in flags if flag != "\\Recent")
            for _, flags, _ in self.server.snapshot(self.user)["INBOX"]
        ]

    @property
    def table(self) -> dict[str, Any]:
        return {
            "user": self.user,
            "password": PASSWORD,
            "host": self.server.host,
            "port": self.server.pop3_port,
            "ca_file": str(self.server.ca_file),
        }

    def open(
        self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), **table: Any
    ) -> AbstractContextManager[Source]:
        return POP3.open(configure(POP3, {**self.table, **table}), make_context(self.temp, now=now))


@pytest.fixture
def box(dovecot: Dovecot, tmp_path: Path) -> Mailbox:
    return Mailbox(dovecot, LOGINS[next(_numbers)], tmp_path)


def read(source: Source) -> list[bytes]:
    refs = [listed.ref for listed in source.scan("INBOX", None)]
    return [b"".join(answer.chunks) for answer in source.fetch("INBOX", iter(refs))]


def orders(
    source: Source, *numbers: int, life: timedelta = timedelta(minutes=10), **changes: Any
) -> list[DeletionOrder]:
    """Orders to delete the messages of these numbers, counted from 0."""
    listed = list(source.scan("INBOX", None))
    chosen = [listed[number].ref for number in numbers]
    keys = [ContentKey.of(b"".join(answer.chunks)) for answer in source.fetch("INBOX", iter(chosen))]
    made = [
        DeletionOrder("INBOX", ref, key, ("maildir:A",), datetime.now(UTC) + life)
        for ref, key in zip(chosen, keys, strict=True)
    ]
    return [replace(order, **changes) for order in made]


def test_bytes_are_those_that_imap_gives_and_nothing_is_marked_as_read(box: Mailbox) -> None:
    box.fill(KEPT)
    for scheme, port in (("pop3s", box.server.pop3_port), ("pop3", box.server.plain_pop3_port)):
        with box.open(scheme=scheme, port=port) as source:
            (folder,) = source.folders()
            assert (folder.name, folder.messages) == ("INBOX", len(KEPT))
            assert read(source) == box.raw == KEPT
    assert box.flags == [()] * len(KEPT)


def test_a_connection_that_is_cut_leaves_most_messages_unread(box: Mailbox) -> None:
    box.fill(small_messages(1500))
    with (
        Proxy(box.server.pop3_port, cut_after=150_000) as proxy,
        pytest.raises(TransientError),
        box.open(port=proxy.port) as source,
    ):
        read(source)
    assert sum(flags == ("\\Seen",) for flags in box.flags) <= 500


def test_a_listing_tells_sizes(box: Mailbox) -> None:
    box.fill(KEPT)
    with box.open() as source:
        listed = list(source.scan("INBOX", None))
        assert [one.size for one in listed] == [len(raw) for raw in KEPT]
        assert {(one.folder, one.received, one.flags) for one in listed} == {("INBOX", None, ())}


def test_a_cursor_is_good_while_what_it_covers_is_unchanged(box: Mailbox) -> None:
    box.fill(small_messages(30))
    with box.open() as source:
        listed = list(source.scan("INBOX", None))
    last = listed[-1].cursor
    box.fill([b"Subject: new\r\n\r\n"])
    with box.open() as source:
        assert len(list(source.scan("INBOX", last))) == 1
        assert len(list(source.scan("INBOX", listed[9].cursor))) == 21
    box.server.expunge("INBOX", [4], box.user)
    with box.open() as source:
        assert len(list(source.scan("INBOX", last))) == 30
        assert len(list(source.scan("INBOX", listed[2].cursor))) == 27
    box.server.expunge("INBOX", range(1, 32), box.user)
    with box.open() as source:
        assert list(source.scan("INBOX", last)) == []


def test_it_says_that_pop3_sees_only_the_inbox(box: Mailbox, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), box.open() as source:
        source.folders()
    assert "POP3 sees only the inbox" in caplog.text


def test_headers_of_a_server_that_gives_them(box: Mailbox) -> None:
    box.fill([b"Subject: x\r\n.y: z\r\n\r\nbody\r\n", b"X: " + b"y" * 300_000 + b"\r\n\r\nbody\r\n"])
    with box.open() as source:
        assert isinstance(source, SupportsHeaders)
        refs = [listed.ref for listed in source.scan("INBOX", None)]
        heads = [head for _, head in source.headers("INBOX", iter(refs))]
        assert heads[0] == b"Subject: x\r\n.y: z\r\n\r\n"
        assert len(heads[1]) == 256 * 1024
    assert box.flags == [(), ()]


def test_a_large_message_is_never_in_memory(box: Mailbox) -> None:
    raw = b"".join(big_message(30_000_000))
    box.fill([raw])
    key = ContentKey.of(raw)
    del raw
    with box.open() as source:
        (listed,) = source.scan("INBOX", None)
        tracemalloc.start()
        (size,) = (sum(map(len, answer.chunks)) for answer in source.fetch("INBOX", [listed.ref]))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert size == key.size == listed.size
    assert peak < 2_000_000


def test_a_wrong_password_is_tried_once(dovecot: Dovecot, box: Mailbox) -> None:
    before = dovecot.log().count("auth failed, 1 attempts")
    with pytest.raises(AuthError) as caught, box.open(password="wr0ng-s3cret"):
        pytest.fail("it opened")
    assert "wr0ng-s3cret" not in f"{caught.value} {caught.value.hint}"
    assert box.user in str(caught.value)
    # The server writes a line a connection, when it has ended.
    with Dovecot.client(dovecot):
        pass
    assert dovecot.log().count("auth failed, 1 attempts") - before <= 1


def test_orders_are_carried_out(box: Mailbox) -> None:
    box.fill(small_messages(8), ["\\Flagged"])
    kept = box.raw
    with box.open() as source:
        assert isinstance(source, Pop3Source)
        wanted = orders(source, 1, 6, 3)
        outcome = list(source.delete(iter(wanted)))
    assert outcome == [(order, None) for order in wanted]
    assert box.raw == [raw for number, raw in enumerate(kept) if number not in (1, 3, 6)]
    assert box.flags == [("\\Flagged",)] * 5
    with box.open() as source:
        assert isinstance(source, Pop3Source)
        assert [type(error) for _, error in source.delete(iter(wanted))] == [AlreadyGone] * len(wanted)
    assert len(box.raw) == 5


def test_orders_that_are_refused(box: Mailbox) -> None:
    box.fill(small_messages(3))
    with box.open() as source:
        assert isinstance(source, Pop3Source)
        wanted = [
            *orders(source, 0, life=timedelta(seconds=-1)),
            *orders(source, 1, key=ContentKey.of(b"something else")),
            *orders(source, 2, folder="Inviata"),
        ]
        outcome = list(source.delete(iter(wanted)))
    assert {order.ref for order, _ in outcome} == {order.ref for order in wanted}
    assert all(isinstance(error, Refused) for _, error in outcome)
    assert len(box.raw) == 3


def test_an_order_that_expires_before_quit_is_not_carried_out(box: Mailbox) -> None:
    box.fill(small_messages(3))
    start = datetime.now(UTC)
    # Checked once for each order, then once more for each that is marked.
    moments = iter([start] * 2 + [start + timedelta(minutes=11)] * 10)
    with box.open(now=lambda: next(moments)) as source:
        assert isinstance(source, Pop3Source)
        first, second = orders(source, 0, 1)
        second = replace(second, expires_at=start + timedelta(hours=1))
        outcome = dict(source.delete(iter([first, second])))
    assert isinstance(outcome[first], Refused)
    assert outcome[second] is None
    assert box.raw == small_messages(3)[::2]


def test_nothing_is_deleted_without_a_good_quit(box: Mailbox) -> None:
    box.fill(small_messages(4))
    with Proxy(box.server.pop3_port) as proxy:
        with box.open(port=proxy.port) as source:
            assert isinstance(source, Pop3Source)
            wanted = orders(source, 0, 1)

            def then_cut() -> Iterator[DeletionOrder]:
                yield from wanted
                proxy.cut()

            with pytest.raises(TransientError):
                list(source.delete(then_cut()))
        with box.open(port=proxy.port) as source:
            assert isinstance(source, Pop3Source)
            refused = orders(source, 2, life=timedelta(seconds=-1))
            # Left after the first outcome, before anything was told to be deleted.
            next(source.delete(iter([*refused, *wanted])))
    assert box.raw == small_messages(4)


class TestConformance(SourceConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_what_is_passed_over_is_said": "a mailbox holds messages alone",
        "test_half_a_message_is_an_error": "Dovecot gives messages whole; test_pop3_odd_servers has those that don't",
        "test_quota_is_sane": "POP3 tells of no quota",
        "test_folder_names_name_what_is_there": "POP3 has one folder",
        "test_a_listing_is_called_whole_that_is": "POP3 lists everything each time",
    }

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        return POP3

    @pytest.fixture
    def table(self, box: Mailbox) -> Mapping[str, object]:
        return box.table

    @pytest.fixture
    def populated(self, box: Mailbox) -> Mapping[str, Sequence[bytes]]:
        messages = [*KEPT, *small_messages(600)]
        box.fill(messages)
        return {"INBOX": messages}

    @pytest.fixture
    def snapshot(self, box: Mailbox) -> Callable[[], object]:
        # Opening alone takes \\Recent away: POP3 has nothing like EXAMINE.
        return lambda: (box.raw, box.flags)

    @pytest.fixture
    def deliver(self, box: Mailbox) -> Callable[[str, bytes], None]:
        def deliver(folder: str, raw: bytes) -> None:
            box.server.fill(folder, [raw], user=box.user)

        return deliver

    @pytest.fixture
    def mistakes(self) -> Sequence[Mapping[str, object]]:
        return ({"host": "a host"}, {"user": "line\nbreak"})

    @pytest.fixture
    def other_table(self, box: Mailbox) -> Mapping[str, object]:
        return {**box.table, "user": USER}

    @pytest.fixture
    def broken_table(self, box: Mailbox) -> Mapping[str, object]:
        return {**box.table, "password": "wr0ng-s3cret"}


class TestDeletionConformance(DeletionConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_a_deleted_message_is_put_back": "POP3 is not accepting messages",
        "test_what_others_have_marked_survives": "marks last no longer than the session that made them",
        "test_references_of_a_folder_that_is_no_more": "unique ids are for ever",
    }

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        return POP3

    @pytest.fixture
    def table(self, box: Mailbox) -> Mapping[str, object]:
        return box.table

    @pytest.fixture
    def populated(self, box: Mailbox) -> Mapping[str, Sequence[bytes]]:
        messages = small_messages(8)
        box.fill(messages)
        return {"INBOX": messages}
