"""What else happens in a mailbox while it is pruned, and what its server says wrongly of that, by the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from testbed.command import Archipec, Result
from testbed.scripted_imap import Box, ScriptedImap, a_message

NEW = datetime.now(UTC).strftime("%d-%b-%Y %H:%M:%S +0000").encode()
OLD_UIDS, NEW_UID = range(1, 6), 6


class Server(ScriptedImap):
    """Five old messages and a new one; `after_order` is called with how many orders were carried out.

    What is deleted by order number `lies_at` is there again later.
    """

    def __init__(self, folder: Path) -> None:
        box = Box.of([a_message(uid) for uid in (*OLD_UIDS, NEW_UID)])
        box.dates[NEW_UID] = NEW
        super().__init__({b"INBOX": box}, folder, command=self._before)
        self.box = box
        self.orders = 0
        self.after_order: Callable[[int], None] = lambda _: None
        self.lies_at = 0
        self.lied_of: dict[int, bytes] = {}

    def _before(self, _tag: bytes, command: bytes) -> None:
        # As where another machine answers the next connection, which the order never came to.
        if command.upper() == b"LOGOUT":
            self.box.messages.update(self.lied_of)
            self.lied_of.clear()

    def _expunge(self, tag: bytes, command: bytes, box: Box) -> Iterator[bytes]:
        self.orders += 1
        before = dict(box.messages)
        yield from super()._expunge(tag, command, box)
        if self.orders == self.lies_at:
            self.lied_of = {uid: raw for uid, raw in before.items() if uid not in box.messages}
        self.after_order(self.orders)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "tls") as running:
        yield running


@pytest.fixture
def prune(server: Server, tmp_path: Path) -> Callable[..., Result]:
    """Archive the mailbox; return what prunes it."""
    command = Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"})
    pair = ("--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}")
    command("archive", *pair, "--no-seals")

    def run(*options: str, expect: int) -> Result:
        return command("prune", *pair, "--older-than", "30d", "--allow-large", *options, expect=expect)

    return run


@pytest.mark.parametrize("form", [("--json",), ()])
def test_messages_that_go_without_an_order_are_said(
    server: Server, prune: Callable[..., Result], form: tuple[str, ...]
) -> None:
    """Another client deletes a message that is too new to be pruned, while the last orders are carried out."""

    def another_client(order: int) -> None:
        if order == 2:
            del server.box.messages[NEW_UID]

    server.after_order = another_client
    result = prune("--yes", *form, expect=3)
    if form:
        report = result.object
        assert (report["deleted"], report["vanished"]) == (len(OLD_UIDS), {"INBOX": 1})
    else:
        assert "INBOX during this run: archipec did not delete" in result.err
    assert not server.box.messages
    assert prune("--yes", "--json", expect=0).object["deleted"] == 0


def test_one_that_goes_with_the_first_deletion_ends_it(server: Server, prune: Callable[..., Result]) -> None:
    def deletes_more(order: int) -> None:
        if order == 1:
            del server.box.messages[NEW_UID]

    server.after_order = deletes_more
    report = prune("--yes", "--json", expect=8).object
    assert (report["deleted"], report["vanished"]) == (1, {"INBOX": 1})
    assert "deletes more than it is asked to" in report["refused"]
    assert len(server.box.messages) == len(OLD_UIDS) - 1


@pytest.mark.parametrize("lies_at", [1, 2])
def test_what_is_listed_still_is_not_called_deleted(
    server: Server, prune: Callable[..., Result], lies_at: int
) -> None:
    """The server carries an order out, says so, and has the messages again when the folder is listed afterwards."""
    server.lies_at = lies_at
    result = prune("--yes", "--json", expect=8)
    report = result.object
    left = len(server.box.messages) - 1
    assert left == (1 if lies_at == 1 else len(OLD_UIDS) - 1)
    assert (report["deleted"], report["kept"]["refused"]) == (len(OLD_UIDS) - left, left)
    reasons = [
        row["reason"]
        for row in report["plan"]
        if row["action"] == "keep" and "lists it still" in row["reason"]
    ]
    assert len(reasons) == left
    server.lies_at = 0
    assert prune("--yes", "--json", expect=0).object["deleted"] == left
    assert list(server.box.messages) == [NEW_UID]
