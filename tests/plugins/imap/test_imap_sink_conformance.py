"""The IMAP sink keeps the contract, on a real server."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import ContentKey, Receipt, Sink, SinkType, State
from archipec.testing import SinkConformance, UnderTest, make_item, nasty_messages
from archipec.testing.messages import small_messages
from archipec_plugins.imap import IMAP_SINK
from testbed.dovecot import PASSWORD, Dovecot
from testbed.requirements import require

pytestmark = pytest.mark.real

LOGINS = [f"archivio/{number}@pec.example.it" for number in range(150)]
_numbers = itertools.count()

# Dovecot makes something else of a CR at the very end, and the rest no mail server takes as it is.
REJECTED = [
    name
    for name, raw in nasty_messages().items()
    if not raw or b"\0" in raw or b"\n" in raw.replace(b"\r\n", b"") or raw.endswith(b"\r")
]


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    require("dovecot")
    # Maildir, so that a test can damage a message behind the server's back.
    with Dovecot(storage="maildir", users=dict.fromkeys(LOGINS, PASSWORD)) as server:
        yield server


@pytest.fixture
def login() -> str:
    return LOGINS[next(_numbers)]


class TestImap(SinkConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_a_copy_behind_a_link_is_none": "its files are the server's",
        "test_settling_is_idempotent": "a message that the server took needs no confirmation",
        "test_iterate_yields_everything_held": "a mailbox records no content keys",
        "test_neighbours_leave_each_other_alone": "most of these messages are rejected",
        "test_reads_back_in_pieces": "IMAP carries no NUL",
        "test_twice_in_two_batches_is_one_copy": "IMAP carries no NUL",
    } | {f"test_reads_back_byte_for_byte[{name}]": "no mail server keeps such bytes" for name in REJECTED}
    many = 250

    @pytest.fixture
    def sink_type(self) -> SinkType[Any]:
        return IMAP_SINK

    @pytest.fixture
    def table(self, dovecot: Dovecot, login: str) -> Mapping[str, object]:
        return {
            "user": login,
            "password": PASSWORD,
            "host": dovecot.host,
            "port": dovecot.port,
            "ca_file": str(dovecot.ca_file),
            "folder": "Archivio",
        }

    @pytest.fixture
    def mistakes(self) -> Sequence[Mapping[str, object]]:
        return ({"host": "a b"}, {"user": "a\tb"}, {"folder": "a\nb"})

    @pytest.fixture
    def other_table(self, table: Mapping[str, object]) -> Mapping[str, object]:
        return {**table, "user": "altro@pec.example.it"}

    @pytest.fixture
    def same_tables(self, table: Mapping[str, object]) -> Sequence[Mapping[str, object]]:
        return ({**table, "folder": "Elsewhere"}, {**table, "timeout": 5})

    @pytest.fixture
    def broken_table(self, table: Mapping[str, object]) -> Mapping[str, object]:
        return {**table, "password": "sbagliata"}

    @pytest.fixture
    def damage(self, dovecot: Dovecot, login: str) -> Callable[[Receipt], None]:
        def change(receipt: Receipt) -> None:
            path = _file_of(dovecot, login, receipt)
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)

        return change

    @pytest.fixture
    def remove(self, dovecot: Dovecot, login: str) -> Callable[[Receipt], None]:
        def expunge(receipt: Receipt) -> None:
            token = receipt.token
            assert isinstance(token, Mapping)
            dovecot.expunge(str(token["folder"]), [int(str(token["uid"]))], login)

        return expunge

    def test_neighbours(self, under_test: UnderTest[Sink]) -> None:
        """What stands in for the kit's case: all that a server keeps, in one batch, rejected ones among it."""
        messages = nasty_messages()
        with under_test.open() as sink:
            for raw in messages.values():
                sink.put(make_item(raw))
            receipts = {receipt.key: receipt for receipt in sink.commit()}
        assert len(receipts) == len(messages)
        with under_test.open() as sink:
            for name, raw in messages.items():
                receipt = receipts[ContentKey.of(raw)]
                if name in REJECTED:
                    assert (receipt.state, receipt.token) == (State.REJECTED, None)
                    assert receipt.reason
                    assert sink.find(receipt.key) is None
                else:
                    self.assert_kept(sink, receipt, raw, name)

    def test_twice_is_one_copy(self, under_test: UnderTest[Sink], dovecot: Dovecot, login: str) -> None:
        """What stands in for the kit's case: the server itself tells how many there are."""
        raws = small_messages(5)
        for _ in range(2):
            with under_test.open() as sink:
                for _ in range(2):
                    self.keep(sink, [make_item(raw) for raw in raws])
        assert sorted(dovecot.raw_fetch("Archivio/INBOX", login).values()) == sorted(raws)

    def test_read_in_pieces(self, under_test: UnderTest[Sink]) -> None:
        """What stands in for the kit's case."""
        first, second = (raw for raw in small_messages(2))
        with under_test.open() as sink:
            receipts = self.keep(sink, [make_item(first), make_item(second)])
            with sink.read(receipts[ContentKey.of(first)]) as stream:
                assert stream.read(10) == first[:10]
            with sink.read(receipts[ContentKey.of(second)]) as stream:
                assert b"".join(iter(lambda: stream.read(7), b"")) == second
                assert stream.read() == b""


def _file_of(server: Dovecot, login: str, receipt: Receipt) -> Path:
    """The file in which Dovecot keeps a message, with line ends of its own."""
    home = server.root / "homes" / str(list(server.passwords).index(login))
    for path in home.rglob("*"):
        if path.is_file() and path.parent.name in ("cur", "new"):
            raw = path.read_bytes().replace(b"\n", b"\r\n")
            if hashlib.sha256(raw).hexdigest() == receipt.key.sha256:
                return path
    raise AssertionError(f"no file holds {receipt.key}")
