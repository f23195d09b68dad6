"""The IMAP source on a real server: every byte, every folder, and nothing changed."""

from __future__ import annotations

import itertools
import os
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import pytest

from archipec.contract import Source, SourceType
from archipec.errors import AuthError, PermanentError, Scope, TransientError
from archipec.testing import SourceConformance, configure, make_context, nasty_messages
from archipec.testing.messages import big_message, small_messages
from archipec_plugins.imap import IMAP_SOURCE
from archipec_plugins.imap.source import ImapSource
from testbed.dovecot import ITALIAN_FOLDERS, PASSWORD, USER, Dovecot
from testbed.proxy import Proxy
from testbed.requirements import require

pytestmark = pytest.mark.real

LOGINS = [f"casella/{number}@pec.example.it" for number in range(60)]
DEPTH_FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
# Dovecot makes something else of bare LF, NUL and a CR at the very end, and refuses a message of no bytes.
KEPT = {
    name: raw
    for name, raw in nasty_messages().items()
    if raw and b"\0" not in raw and b"\n" not in raw.replace(b"\r\n", b"") and not raw.endswith(b"\r")
}


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    require("dovecot")
    with Dovecot(users=dict.fromkeys(LOGINS, PASSWORD), special=ITALIAN_FOLDERS, quota="500M") as server:
        yield server


_numbers = itertools.count(1)


@dataclass(frozen=True)
class Mailbox:
    """An empty mailbox of one's own."""

    server: Dovecot
    user: str
    temp: Path

    def fill(self, folder: str, messages: Sequence[Any]) -> list[int]:
        return self.server.fill(folder, messages, user=self.user)

    def raw(self, folder: str) -> dict[int, bytes]:
        return self.server.raw_fetch(folder, self.user)

    @property
    def table(self) -> dict[str, Any]:
        return {
            "user": self.user,
            "password": PASSWORD,
            "host": self.server.host,
            "port": self.server.port,
            "ca_file": str(self.server.ca_file),
        }

    def open(self, **table: Any) -> AbstractContextManager[Source]:
        return IMAP_SOURCE.open(configure(IMAP_SOURCE, {**self.table, **table}), make_context(self.temp))


@pytest.fixture
def mailbox(dovecot: Dovecot, tmp_path: Path) -> Mailbox:
    return Mailbox(dovecot, LOGINS[next(_numbers)], tmp_path)


def read(source: Source, folder: str) -> dict[int, bytes]:
    refs = [listed.ref for listed in source.scan(folder, None)]
    return {
        int(answer.ref.partition("/")[2]): b"".join(answer.chunks)
        for answer in source.fetch(folder, iter(refs))
    }


def uids(source: Source, folder: str, after: Any = None) -> list[int]:
    return [int(listed.ref.partition("/")[2]) for listed in source.scan(folder, after)]


def test_bytes_are_those_that_a_plain_client_gets_and_nothing_changes(mailbox: Mailbox) -> None:
    folders = ("INBOX", "Posta inviata", 'Città & "Co"', "2026/11", "back\\slash", "a*b%c", "perché no?")
    for folder in folders:
        mailbox.fill(folder, [*KEPT.values(), folder.encode()])
    before = mailbox.server.snapshot(mailbox.user)
    for scheme, port in (("imaps", mailbox.server.port), ("imap", mailbox.server.plain_port)):
        with mailbox.open(scheme=scheme, port=port) as source:
            found = [folder.name for folder in source.folders()]
            assert found == ["INBOX", *sorted(folders[1:])]
            for folder in folders:
                assert read(source, folder) == mailbox.raw(folder)
                assert len(mailbox.raw(folder)) == len(KEPT) + 1
            assert isinstance(source, ImapSource)
            quota = source.quota()
            assert quota is not None
            assert 0 < quota.used < quota.limit == 500 * 2**20
    assert mailbox.server.snapshot(mailbox.user) == before


def test_a_listing_tells_what_the_server_knows(mailbox: Mailbox) -> None:
    received = datetime(2026, 3, 29, 3, 30, 7, tzinfo=timezone(timedelta(hours=2)))
    mailbox.server.append(
        "INBOX", b"Subject: x\r\n\r\n12345", received, ["\\Seen", "$Forwarded"], mailbox.user
    )
    mailbox.fill("INBOX", [(b"Subject: y\r\n\r\n", datetime(1999, 1, 1, tzinfo=UTC))])
    with mailbox.open() as source:
        first, second = source.scan("INBOX", None)
    assert (first.size, set(first.flags)) == (19, {"\\Seen", "$Forwarded"})
    assert first.received == received
    assert (second.size, second.flags, second.received) == (14, (), datetime(1999, 1, 1, tzinfo=UTC))


def test_trash_drafts_and_junk_stay_out_unless_named(mailbox: Mailbox) -> None:
    for folder in ITALIAN_FOLDERS:
        mailbox.fill(folder, [b"Subject: x\r\n\r\n"])
    with mailbox.open() as source:
        assert [(folder.name, folder.special) for folder in source.folders()] == [
            ("INBOX", None),
            ("Posta inviata", "Sent"),
        ]
    with mailbox.open(folders=["Cestino", "Posta*"], exclude=["*inviata"]) as source:
        assert [(folder.name, folder.special, folder.messages) for folder in source.folders()] == [
            ("Cestino", "Trash", 1)
        ]


def test_a_listing_goes_on_where_it_stopped(mailbox: Mailbox) -> None:
    mailbox.fill("INBOX", small_messages(10))
    with mailbox.open() as source:
        listed = list(source.scan("INBOX", None))
        assert uids(source, "INBOX", listed[3].cursor) == list(range(5, 11))
        assert uids(source, "INBOX", listed[-1].cursor) == []
        mailbox.fill("INBOX", small_messages(2))
        assert uids(source, "INBOX", listed[-1].cursor) == [11, 12]
    mailbox.server.expunge("INBOX", [12], mailbox.user)
    with mailbox.open() as source:
        source.folders()
        assert uids(source, "INBOX", {**listed[0].cursor, "uid": 11}) == []  # type: ignore[dict-item]
        assert uids(source, "INBOX", listed[-1].cursor) == [11]


def test_a_folder_made_anew_is_listed_from_the_start(mailbox: Mailbox) -> None:
    mailbox.fill("A", small_messages(5))
    with mailbox.open() as source:
        old = list(source.scan("A", None))
    mailbox.server.remove("A", mailbox.user)
    # UIDVALIDITY is a time in seconds.
    mailbox.fill("B", small_messages(1))
    mailbox.server.remove("B", mailbox.user)
    mailbox.fill("A", [b"Subject: new\r\n\r\n"])
    with mailbox.open() as source:
        assert uids(source, "A", old[-1].cursor) == [1]
        assert list(source.fetch("A", [one.ref for one in old])) == []
        assert read(source, "A") == {1: b"Subject: new\r\n\r\n"}


def test_messages_expunged_meanwhile_are_not_answered(mailbox: Mailbox) -> None:
    large = [b"Subject: %d\r\n\r\n" % number + b"x" * 300_000 for number in range(60)]
    mailbox.fill("INBOX", large)
    with mailbox.open() as source:
        refs = [listed.ref for listed in source.scan("INBOX", None)]
        mailbox.server.expunge("INBOX", [2, 3], mailbox.user)
        answers = source.fetch("INBOX", refs)
        found = {(first := next(answers)).ref: b"".join(first.chunks)}
        mailbox.server.expunge("INBOX", [58, 59], mailbox.user)
        found |= {answer.ref: b"".join(answer.chunks) for answer in answers}
        expected = dict(zip(refs, large, strict=True))
        assert found == {ref: expected[ref] for ref in found}
        gone = set(refs) - found.keys()
        assert {refs[1], refs[2]} <= gone <= {refs[1], refs[2], refs[57], refs[58]}
        # Nobody was thrown out.
        assert len(uids(source, "INBOX")) == 56


def test_a_message_that_came_after_the_folder_was_opened(mailbox: Mailbox) -> None:
    mailbox.fill("INBOX", small_messages(1))
    with mailbox.open() as one, mailbox.open() as other:
        assert len(read(one, "INBOX")) == 1
        mailbox.fill("INBOX", [b"Subject: late\r\n\r\n"])
        refs = [listed.ref for listed in other.scan("INBOX", None)]
        assert [b"".join(answer.chunks) for answer in one.fetch("INBOX", refs[1:])] == [
            b"Subject: late\r\n\r\n"
        ]


def test_many_folders(mailbox: Mailbox) -> None:
    count = 3000 if DEPTH_FULL else 300
    day = datetime(2017, 1, 1, tzinfo=UTC)
    names = [f"{day + timedelta(days=number):%Y/%m/%d}" for number in range(count)]
    with mailbox.server.client(mailbox.user) as client:
        for name in names:
            client.create(f'"{name}"')
    mailbox.fill(names[7], small_messages(3))
    with mailbox.open() as source:
        folders = {folder.name: folder.messages for folder in source.folders()}
        assert folders == {"INBOX": 0, "Posta inviata": 0} | dict.fromkeys(names, 0) | {names[7]: 3}
        assert [name for name in folders if uids(source, name)] == [names[7]]


def test_a_server_with_the_least_of_capabilities(tmp_path: Path) -> None:
    require("dovecot")
    with Dovecot(config="imap_capability = IMAP4rev1\n", special=ITALIAN_FOLDERS) as server:
        server.fill("Città", small_messages(3))
        server.fill("Cestino", small_messages(1))
        mailbox = Mailbox(server, USER, tmp_path)
        with mailbox.open() as source:
            folders = {folder.name: folder.messages for folder in source.folders()}
            assert folders == {"INBOX": 0, "Città": 3, "Posta inviata": 0}
            assert read(source, "Città") == server.raw_fetch("Città")
            assert isinstance(source, ImapSource)
            assert source.quota() is None


def test_a_large_message_is_streamed(mailbox: Mailbox) -> None:
    # A CR at the very end would be Dovecot's to drop.
    raw = b"".join(big_message(60_000_000 if DEPTH_FULL else 12_000_000)).rstrip(b"\r")
    mailbox.fill("INBOX", [raw, b"Subject: next\r\n\r\n"])
    with mailbox.open() as source:
        refs = [listed.ref for listed in source.scan("INBOX", None)]
        tracemalloc.start()
        try:
            at = 0
            answers = source.fetch("INBOX", refs)
            for chunk in next(answers).chunks:
                assert raw.startswith(chunk, at)
                at += len(chunk)
            assert at == len(raw)
            assert b"".join(next(answers).chunks) == b"Subject: next\r\n\r\n"
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_cut_in_the_middle_leaves_the_rest_to_ask_for_again(
    mailbox: Mailbox, reset: bool
) -> None:
    messages = [b"Subject: %d\r\n\r\n" % number + b"x" * 50_000 for number in range(40)]
    mailbox.fill("INBOX", messages)
    with Proxy(mailbox.server.port, cut_after=[1_000_000, None], reset=reset) as proxy:
        found: dict[str, bytes] = {}
        with mailbox.open(port=proxy.port) as source:
            refs = [listed.ref for listed in source.scan("INBOX", None)]
            with pytest.raises(TransientError) as caught:
                for answer in source.fetch("INBOX", refs):
                    found[answer.ref] = b"".join(answer.chunks)
            assert caught.value.scope is Scope.ENDPOINT
        assert len(found) < 20
        with mailbox.open(port=proxy.port) as source:
            rest = (ref for ref in refs if ref not in found)
            found |= {answer.ref: b"".join(answer.chunks) for answer in source.fetch("INBOX", rest)}
    assert [found[ref] for ref in refs] == messages


def test_a_server_that_stalls(mailbox: Mailbox) -> None:
    with Proxy(mailbox.server.port) as proxy, mailbox.open(port=proxy.port, timeout=1) as source:
        assert uids(source, "INBOX") == []
        proxy.stall()
        with pytest.raises(TransientError, match="has not answered for 1 seconds"):
            uids(source, "INBOX")
        proxy.resume()


def test_a_wrong_password_is_tried_once(mailbox: Mailbox) -> None:
    with Proxy(mailbox.server.port) as proxy:
        with (
            pytest.raises(AuthError, match=rf"refused the login of {mailbox.user}.*AUTHENTICATIONFAILED"),
            mailbox.open(port=proxy.port, password="wrong"),
        ):
            pass
        assert proxy.connections == 1


def test_a_folder_that_is_not_there(mailbox: Mailbox) -> None:
    with mailbox.open(folders=["Posta Inviata"]) as source:
        with pytest.raises(PermanentError, match='no folder "Posta Inviata"') as caught:
            source.folders()
        assert "Posta inviata" in caught.value.hint


Kept: TypeAlias = dict[str, list[bytes]]


@pytest.fixture(scope="module")
def shared(dovecot: Dovecot) -> tuple[str, Kept]:
    """The login of a mailbox that all cases of the kit read, and what is in it."""
    kept = {
        "INBOX": small_messages(2100),
        'Città & "Co"': list(KEPT.values()),
        "2026/11": [b"Subject: twice\r\n\r\n"] * 2,
    }
    for folder, messages in kept.items():
        dovecot.fill(folder, messages, user=LOGINS[0])
    return LOGINS[0], kept


class TestConformance(SourceConformance):
    """The kit that third parties run."""

    window: ClassVar[int] = 2000
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_what_is_passed_over_is_said": "a mailbox holds messages alone",
        "test_half_a_message_is_an_error": "Dovecot gives messages whole; test_imap_odd_servers has those that don't",
    }

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        return IMAP_SOURCE

    @pytest.fixture
    def populated(self, shared: tuple[str, Kept]) -> Kept:
        return shared[1]

    @pytest.fixture
    def table(self, dovecot: Dovecot, shared: tuple[str, Kept], tmp_path: Path) -> Mapping[str, object]:
        return Mailbox(dovecot, shared[0], tmp_path).table

    @pytest.fixture
    def other_table(self, table: Mapping[str, object]) -> Mapping[str, object]:
        return {**table, "user": LOGINS[1]}

    @pytest.fixture
    def same_tables(self, table: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
        return [{**table, "folders": ["INBOX"], "timeout": 5}]

    @pytest.fixture
    def broken_table(self, table: Mapping[str, object]) -> Mapping[str, object]:
        return {**table, "password": "not this one"}

    @pytest.fixture
    def mistakes(self) -> Sequence[Mapping[str, object]]:
        return [{"user": "a\r\nb"}, {"host": "a b"}]

    @pytest.fixture
    def snapshot(self, dovecot: Dovecot, shared: tuple[str, Kept]) -> Callable[[], object]:
        return lambda: dovecot.snapshot(shared[0])

    @pytest.fixture
    def deliver(self, dovecot: Dovecot, shared: tuple[str, Kept]) -> Callable[[str, bytes], None]:
        def deliver(folder: str, raw: bytes) -> None:
            user, kept = shared
            dovecot.fill(folder, [raw], user=user)
            kept[folder].append(raw)

        return deliver
