"""Whatever a server answers to FETCH: it never hangs, raises nothing of its own, and loses no message it was sent."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.errors import ArchipecError
from archipec_plugins.imap.commands import CommandChannel
from archipec_plugins.imap.fetch import ImapFetchPipeline
from archipec_plugins.imap.listing import Cursor, FolderListing
from archipec_plugins.net import account
from archipec_plugins.net.connection import Connection

UIDS = range(1, 6)
BODY = st.binary(max_size=60)


def written(uid: int, raw: bytes, form: int) -> bytes:
    """A body in one of the forms that servers write."""
    literal = b"{%d}\r\n%b" % (len(raw), raw)
    forms = (
        b"UID %d BODY[] %b)" % (uid, literal),
        b"BODY[] %b UID %d)" % (literal, uid),
        b"FLAGS (\\Seen) UID %d BODY[] ~%b MODSEQ (3))" % (uid, literal),
        b"UID %d BODY[] %b)\r\n FLAGS (\\Seen) RFC822.SIZE 3)" % (uid, literal),
        b"BODY[] %b)\r\n UID %d FLAGS ())" % (literal, uid),
        b"uid %d  body[]<0>  %b ) )" % (uid, literal),
    )
    return b"* %d FETCH (" % uid + forms[form] + b"\r\n"


CHATTER = st.sampled_from(
    [
        b"* OK still here\r\n",
        b"* NO [ALERT] disk full {3}\r\n",
        b"* 7 EXISTS\r\n",
        b"* 2 EXPUNGE\r\n",
        b"* VANISHED 9\r\n",
        b"* 3 FETCH (FLAGS (\\Seen))\r\n",
        b"* 3 FETCH (UID 3 FLAGS (\\Seen) X {2}\r\n))\r\n)\r\n",
        b"* 99 FETCH (UID 99 BODY[] {3}\r\nabc)\r\n",
        b"* LIST () NIL x\r\n",
    ]
)


def answers(stream: bytes) -> tuple[dict[str, bytes], ArchipecError | None]:
    """What a pipeline makes of a server that says this and hangs up."""
    near, far = socket.socketpair()
    found: dict[str, bytes] = {}
    with near, far:
        near.settimeout(20)
        far.sendall(stream)
        far.shutdown(socket.SHUT_WR)
        connection = Connection(near, "host", 1, account.IMAP)
        pipeline = ImapFetchPipeline(
            CommandChannel(connection).begin(),
            iter([f"7/{uid}" for uid in UIDS]),
            "",
            Path(tempfile.gettempdir()),
        )
        pipeline.uidnext = 100
        try:
            pipeline.send()
            for ref, chunks in pipeline.answers():
                assert ref not in found
                try:
                    found[ref] = b"".join(chunks)
                except ArchipecError as error:
                    if error.scope.name != "MESSAGE":
                        raise
        except ArchipecError as error:
            return found, error
        return found, None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_message_is_lost_among_what_was_not_asked_for(data: st.DataObject) -> None:
    bodies = {uid: data.draw(BODY) for uid in data.draw(st.permutations(UIDS))}
    stream = b""
    for uid, raw in bodies.items():
        stream += b"".join(data.draw(st.lists(CHATTER, max_size=3)))
        stream += written(uid, raw, data.draw(st.integers(0, 5)))
    # Usually one message is asked for first, then the rest: each command is answered in its turn.
    stream += b"".join(b"A%d OK done\r\n" % number for number in range(1, 9))
    found, _ = answers(stream)
    assert found == {f"7/{uid}": raw for uid, raw in bodies.items()}


PIECES = st.one_of(
    st.binary(max_size=30),
    CHATTER,
    st.sampled_from(
        [b"* 1 FETCH (", b"UID 1 ", b"BODY[] ", b"{5}\r\n", b"NIL", b'"', b")", b"\r\n", b"A1 OK\r\n"]
    ),
    st.builds(written, st.sampled_from(UIDS), BODY, st.integers(0, 5)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12))
def test_any_stream_ends_in_answers_or_in_an_error_of_ours(pieces: list[bytes]) -> None:
    found, error = answers(b"".join(pieces))
    assert error is not None or set(found) <= {f"7/{uid}" for uid in UIDS}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=30),
    st.integers(0, 6),
)
def test_a_listing_names_each_message_once(lines: list[tuple[int, int]], last: int) -> None:
    """Told apart by UID and message number; what stands before the cursor is left out."""
    listing = FolderListing(Cursor(7, last), None)
    found = []
    for uid, message in lines:
        taken = listing.take(b"* %d FETCH (UID %d RFC822.SIZE 9)\r\n" % (message, uid))
        if taken is not None:
            found.append((taken[0].uid, taken[1]))
    assert len(set(found)) == len(found)
    assert len(found) == len({pair for pair in lines if pair[0] > last})


@pytest.mark.parametrize(("size", "renumbered"), [(9, False), (8, True)])
def test_a_listing_notices_that_its_cursor_stands_behind_another_message(size: int, renumbered: bool) -> None:
    listing = FolderListing(Cursor(7, 5, 9), 6)
    assert listing.take(b"* 5 FETCH (UID 5 RFC822.SIZE %d)\r\n" % size) is None
    assert listing.renumbered is renumbered


def test_a_listing_without_end_is_noticed() -> None:
    listing = FolderListing(Cursor(), 3)
    for uid in range(1, 100_004):
        listing.take(b"* 1 FETCH (UID %d RFC822.SIZE 9)\r\n" % uid)
    assert not listing.endless
    listing.take(b"* 1 FETCH (UID 200000 RFC822.SIZE 9)\r\n")
    assert listing.endless
