"""What servers do that they shouldn't, and what they may do but seldom do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import pytest

from archipec.contract import Fetched, Json, Quota, SupportsCount
from archipec.errors import ArchipecError, PermanentError, Scope, TransientError
from archipec.message import Folder
from archipec.testing import configure, make_context
from archipec_plugins.imap import IMAP_SOURCE
from archipec_plugins.imap.commands import CommandChannel
from archipec_plugins.imap.session import ImapSession
from archipec_plugins.imap.source import ImapSource
from archipec_plugins.net import account
from archipec_plugins.net.connection import MAX_LINE, Connection

from .scripted import CLOSE, Reply, ScriptedServer, connected

Open: TypeAlias = Callable[..., AbstractContextManager[tuple[ImapSource, ScriptedServer]]]

EXAMINED = (
    b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n* OK [UIDNEXT 10] next\r\n<tag> OK [READ-ONLY] done\r\n"
)
DONE = b"<tag> OK done\r\n"


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens a source on a scripted server, past its login."""

    @contextmanager
    def opened(
        replies: Mapping[bytes, Reply],
        capabilities: str = "",
        timeout: float = 20,
        **table: object,
    ) -> Iterator[tuple[ImapSource, ScriptedServer]]:
        server = ScriptedServer({**replies, **({} if b"EXAMINE" in replies else {b"EXAMINE ": EXAMINED})})
        config = configure(IMAP_SOURCE, {"user": "u", "host": "imap.example.it", **table})
        with connected(server) as sock:
            sock.settimeout(timeout)
            connection = Connection(sock, "imap.example.it", 993, account.IMAP)
            session = ImapSession(connection, CommandChannel(connection), frozenset(capabilities.split()))
            try:
                yield ImapSource(session, config, make_context(tmp_path)), server
            finally:
                session.close()

    return opened


def whole(answers: Iterator[Fetched]) -> dict[str, bytes]:
    return {answer.ref: b"".join(answer.chunks) for answer in answers}


def outcome(answers: Iterator[Fetched]) -> dict[str, bytes | ArchipecError]:
    """What became of each message that was answered, errors of a message included."""
    found: dict[str, bytes | ArchipecError] = {}
    for answer in answers:
        try:
            found[answer.ref] = b"".join(answer.chunks)
        except ArchipecError as error:
            assert error.scope is Scope.MESSAGE
            found[answer.ref] = error
    return found


def body(uid: int, raw: bytes) -> bytes:
    return b"* %d FETCH (UID %d BODY[] {%d}\r\n%b)\r\n" % (uid, uid, len(raw), raw)


def uids_of(command: bytes) -> list[int]:
    """The UIDs that a UID FETCH names."""
    uids: list[int] = []
    for part in command.split(b" ")[2].split(b","):
        first, _, last = part.partition(b":")
        uids += range(int(first), int(last or first) + 1)
    return uids


def refs(*uids: int, uidvalidity: int = 7) -> list[str]:
    return [f"{uidvalidity}/{uid}" for uid in uids]


# -- forms of answers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "raw"),
    [
        (b"* 1 FETCH (UID 5 BODY[] {5}\r\nhello)\r\n", b"hello"),
        (b"* 1 FETCH (BODY[] {5}\r\nhello UID 5)\r\n", b"hello"),
        (b"* 1 FETCH (FLAGS (\\Seen) UID 5 BODY[] {5}\r\nhello)\r\n", b"hello"),
        (b"* 1 FETCH (UID 5 BODY[] {5}\r\nhello FLAGS (\\Seen))\r\n", b"hello"),
        (b'* 1 FETCH (X {3}\r\n("{ BODY[] {5}\r\nhello Y {2}\r\n)) UID 5)\r\n', b"hello"),
        (b"* 1 fetch (uid 5 body[] {5}\r\nhello)\r\n", b"hello"),
        (b'* 1 FETCH (UID 5 BODY[] "hel\\"lo")\r\n', b'hel"lo'),
        (b'* 1 FETCH (BODY[] "" UID 5)\r\n', b""),
        (b"* 1 FETCH (UID 5 BODY[] {0}\r\n)\r\n", b""),
        (b"* 1 FETCH (BODY[] {0}\r\n UID 5)\r\n", b""),
        (b"* 1 FETCH (UID 5 BODY[] {9}\r\nA1 OK\r\n) )\r\n", b"A1 OK\r\n) "),
    ],
)
def test_a_body_is_read_in_whatever_form_it_comes(opened: Open, answer: bytes, raw: bytes) -> None:
    # The message after it shows that no byte too many or too few was read.
    with opened({b"UID FETCH": answer + body(6, b"next") + DONE}) as (source, _):
        assert whole(source.fetch("INBOX", refs(5, 6))) == {"7/5": raw, "7/6": b"next"}


def test_a_large_body_whose_uid_comes_last_waits_in_a_file(opened: Open, tmp_path: Path) -> None:
    raw = bytes(range(256)) * 8192
    answer = b"* 1 FETCH (BODY[] {%d}\r\n%b UID 5)\r\n" % (len(raw), raw)
    with opened({b"UID FETCH": answer + body(6, b"next") + DONE}) as (source, _):
        answers = source.fetch("INBOX", refs(5, 6))
        first = next(answers)
        chunks = list(first.chunks)
        assert b"".join(chunks) == raw
        assert max(map(len, chunks)) <= 128 * 1024
        assert whole(answers) == {"7/6": b"next"}
    assert not list((tmp_path / "archipec-temp").iterdir())


def test_no_room_for_a_body_that_must_wait(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.write", full)
    with opened({b"UID FETCH": b"* 1 FETCH (BODY[] {2}\r\nab UID 5)\r\n" + DONE}) as (source, _):
        with pytest.raises(TransientError, match="no room left") as caught:
            whole(source.fetch("INBOX", refs(5)))
        assert caught.value.scope is Scope.ENDPOINT


def test_answers_in_another_order_and_unsolicited_ones(opened: Open) -> None:
    answer = (
        b"* 4 EXISTS\r\n* OK still here\r\n"
        + body(6, b"six")
        + b"* 1 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (UID 5 FLAGS (\\Seen) MODSEQ (3))\r\n* NO hm {5}\r\n"
        + body(99, b"nobody asked for this")
        + body(5, b"five")
        + body(5, b"five again")
        + b"* 9 EXPUNGE\r\n* VANISHED 9\r\n"
        + DONE
    )
    with opened({b"UID FETCH": answer}) as (source, _):
        assert whole(source.fetch("INBOX", refs(5, 6))) == {"7/6": b"six", "7/5": b"five"}


def test_what_is_not_answered_is_gone(opened: Open) -> None:
    with opened({b"UID FETCH": body(6, b"six") + DONE}) as (source, _):
        assert whole(source.fetch("INBOX", refs(5, 6, 7))) == {"7/6": b"six"}


@pytest.mark.parametrize("still_there", [True, False])
def test_no_bytes_are_not_a_message_of_no_bytes(opened: Open, still_there: bool) -> None:
    """Dovecot answers NIL for what was expunged, until it has said so."""
    nil = b"* 1 FETCH (UID 5 BODY[] NIL)\r\n"

    def fetch(command: bytes) -> bytes:
        first = uids_of(command) == [5, 6]
        return (nil + body(6, b"six") if first else nil if still_there else b"") + DONE

    with opened({b"UID FETCH": fetch}) as (source, server):
        found = outcome(source.fetch("INBOX", refs(5, 6)))
    assert found.pop("7/6") == b"six"
    assert [type(error) for error in found.values()] == ([PermanentError] if still_there else [])
    assert [command.split(b" ")[0] for command in server.commands] == [
        b"EXAMINE",
        b"UID",
        b"NOOP",
        b"UID",
        b"LOGOUT",
    ]


# -- refusals --------------------------------------------------------------------------------------


def test_one_message_that_the_server_chokes_on_takes_no_other_with_it(opened: Open) -> None:
    def fetch(command: bytes) -> bytes:
        uids = uids_of(command)
        if uids == [8]:
            return b"<tag> NO [SERVERBUG] internal error {3}\r\n"
        if 8 in uids:
            # Some were answered before it gave up.
            return body(uids[0], b"%d" % uids[0]) + b"<tag> NO [SERVERBUG] internal error\r\n"
        return b"".join(body(uid, b"%d" % uid) for uid in uids) + DONE

    with opened({b"UID FETCH": fetch}) as (source, server):
        found = outcome(source.fetch("INBOX", refs(*range(1, 41))))
        assert source.scan("INBOX", None) is not None
    error = found.pop("7/8")
    assert isinstance(error, TransientError)
    assert "internal error" in error.message
    assert found == {f"7/{uid}": b"%d" % uid for uid in range(1, 41) if uid != 8}
    assert sum(uids_of(command) == [8] for command in server.commands if b"FETCH" in command) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(b"<tag> BAD what\r\n", PermanentError), (b"<tag> NO [UNAVAILABLE] later\r\n", TransientError)],
)
def test_a_message_that_is_refused(opened: Open, answer: bytes, kind: type[ArchipecError]) -> None:
    with opened({b"UID FETCH": answer}) as (source, _):
        found = outcome(source.fetch("INBOX", refs(5)))
    assert type(found["7/5"]) is kind
    assert "7/5" in str(found["7/5"])


def test_a_refusal_because_it_was_expunged_means_gone(opened: Open) -> None:
    with opened({b"UID FETCH": b"<tag> NO [EXPUNGEISSUED] gone\r\n"}) as (source, _):
        assert outcome(source.fetch("INBOX", refs(5, 6))) == {}


def test_a_folder_that_can_not_be_opened(opened: Open) -> None:
    replies = {b'EXAMINE "gone"': b"<tag> NO [NONEXISTENT] no such mailbox\r\n", b"UID FETCH": DONE}
    with opened(replies) as (source, _):
        for ask in (source.scan("gone", None), source.fetch("gone", refs(1))):
            with pytest.raises(PermanentError, match=r"gone.*no such mailbox") as caught:
                list(ask)
            assert caught.value.scope is Scope.FOLDER
        # The connection is as good as before.
        assert list(source.scan("INBOX", None)) == []


def test_a_folder_in_use(opened: Open) -> None:
    with opened({b"EXAMINE": b"<tag> NO [INUSE] locked\r\n"}) as (source, _):
        with pytest.raises(TransientError) as caught:
            list(source.scan("INBOX", None))
        assert caught.value.scope is Scope.FOLDER


def test_a_server_without_message_numbers(opened: Open) -> None:
    with opened({b"EXAMINE": b"* 3 EXISTS\r\n" + DONE}) as (source, _):
        with pytest.raises(PermanentError, match="has no UIDVALIDITY") as caught:
            list(source.scan("INBOX", None))
        assert caught.value.scope is Scope.FOLDER


# -- broken connections ----------------------------------------------------------------------------


def test_a_connection_cut_inside_a_body(opened: Open) -> None:
    cut = body(5, b"five") + b"* 6 FETCH (UID 6 BODY[] {1000000}\r\n" + b"x" * 1000 + CLOSE
    with opened({b"UID FETCH": cut}) as (source, _):
        answers = source.fetch("INBOX", refs(5, 6, 7))
        assert b"".join(next(answers).chunks) == b"five"
        second = next(answers)
        with pytest.raises(TransientError, match="closed the connection") as caught:
            list(second.chunks)
        assert caught.value.scope is Scope.ENDPOINT
        for ask in (answers, source.scan("INBOX", None), source.fetch("INBOX", refs(1))):
            with pytest.raises(TransientError, match="closed the connection"):
                next(ask)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (CLOSE, "closed the connection"),
        (b"* 1 FETCH (UID 5 BO" + CLOSE, "closed the connection"),
        (b"* 1 FETCH (UID 5 BODY[] {3}\r\nabc" + CLOSE, "closed the connection"),
        (b"* BYE [UNAVAILABLE] down for repair" + b"\r\n" + CLOSE, "UNAVAILABLE.*down for repair"),
        (b"x" * (MAX_LINE + 1), "not IMAP"),
        (b"* 1 FETCH (FLAGS (" + b"a " * MAX_LINE, "not IMAP"),
        (b"hello\r\n", 'not IMAP: "hello"'),
        (b"\r\n", "not IMAP"),
        (b"+ go on\r\n", "not IMAP"),
        (b"A999 OK nobody asked\r\n", "not IMAP"),
        (b"* 1 EXISTS\n", "not IMAP"),
        (b"\x1b[31m\x00\xff\r\n", 'not IMAP: "�\\[31m��"'),
        (b"* 1 FETCH (X {99999999}\r\n", "more than 262144 bytes"),
        (b"* 1 FETCH (X {0}\r\n" + b"Y {0}\r\n" * 200_000, "more than 262144 bytes"),
    ],
)
def test_what_ends_a_connection(opened: Open, answer: bytes, words: str) -> None:
    with opened({b"UID FETCH": answer}) as (source, _):
        with pytest.raises(TransientError, match=words) as caught:
            whole(source.fetch("INBOX", refs(5)))
        assert caught.value.scope is Scope.ENDPOINT
        assert len(caught.value.message) < 300
        assert caught.value.message.isprintable()


def test_a_silent_server(opened: Open) -> None:
    with opened({b"UID FETCH": b""}, timeout=0.05) as (source, _):
        with pytest.raises(TransientError, match=r"has not answered for 0\.05 seconds"):
            whole(source.fetch("INBOX", refs(5)))
        with pytest.raises(TransientError, match="has not answered"):
            list(source.scan("INBOX", None))


# -- one iterator after another --------------------------------------------------------------------


def test_an_iterator_that_is_left_is_cleared_away(opened: Open) -> None:
    def fetch(command: bytes) -> bytes:
        if b"INTERNALDATE" in command:
            return b"* 1 FETCH (UID 5 RFC822.SIZE 3)\r\n* 2 FETCH (UID 6 RFC822.SIZE 3)\r\n" + DONE
        return b"".join(body(uid, b"%d" % uid * 100_000) for uid in uids_of(command)) + DONE

    with opened({b"UID FETCH": fetch}) as (source, _):
        for taken in range(4):
            answers = source.fetch("INBOX", refs(*range(1, 60)))
            for answer in islice(answers, taken):
                next(answer.chunks)
            del answers
            assert [listed.ref for listed in islice(source.scan("INBOX", None), taken % 2 + 1)] == refs(
                *range(5, 6 + taken % 2)
            )


def test_an_iterator_is_over_once_another_call_was_made(opened: Open) -> None:
    listing = b"".join(b"* %d FETCH (UID %d RFC822.SIZE 3)\r\n" % (uid, uid) for uid in range(1, 5)) + DONE
    with opened({b"INTERNALDATE": listing, b"BODY": body(1, b"one") + DONE}) as (source, _):
        listed = source.scan("INBOX", None)
        next(listed)
        assert whole(source.fetch("INBOX", refs(1))) == {"7/1": b"one"}
        with pytest.raises(RuntimeError, match="after a later call"):
            next(listed)


def test_refs_are_pulled_for_commands_under_way_and_no_more(opened: Open) -> None:
    pulled: list[int] = []

    def asked() -> Iterator[str]:
        for uid in range(1, 20_001):
            pulled.append(uid)
            yield f"7/{uid}"

    def fetch(command: bytes) -> bytes:
        return b"".join(body(uid, b"%d" % uid * 300) for uid in uids_of(command)) + DONE

    with opened({b"UID FETCH": fetch}) as (source, server):
        furthest = 0
        for number, answer in enumerate(source.fetch("INBOX", asked()), start=1):
            assert b"".join(answer.chunks) == b"%d" % number * 300
            furthest = max(furthest, len(pulled) - number)
            assert server.count(b"FETCH") <= 8 + number
    assert number == 20_000
    assert 250 < furthest <= 8 * 250


def test_large_messages_are_asked_for_a_few_at_a_time(opened: Open) -> None:
    asked: list[int] = []

    def fetch(command: bytes) -> bytes:
        asked.append(len(uids_of(command)))
        return b"".join(body(uid, bytes(1_000_000)) for uid in uids_of(command)) + DONE

    with opened({b"UID FETCH": fetch}) as (source, _):
        for answer in source.fetch("INBOX", refs(*range(1, 121))):
            assert sum(map(len, answer.chunks)) == 1_000_000
    assert sum(asked) == 120
    assert sum(asked[:8]) <= 80
    assert max(asked[16:]) <= 3


# -- numbers of another life -----------------------------------------------------------------------


def test_refs_of_another_uidvalidity_are_gone(opened: Open) -> None:
    def fetch(command: bytes) -> bytes:
        return b"".join(body(uid, b"%d" % uid) for uid in uids_of(command)) + DONE

    mixed = [
        *refs(1, 2, uidvalidity=6),
        *refs(1, 3),
        "nonsense",
        "7/",
        "7/x",
        "/5",
        *refs(4, uidvalidity=8),
        "7/5",
    ]
    with opened({b"UID FETCH": fetch}) as (source, _):
        assert whole(source.fetch("INBOX", mixed)) == {"7/1": b"1", "7/3": b"3", "7/5": b"5"}
        assert whole(source.fetch("INBOX", mixed)) == {"7/1": b"1", "7/3": b"3", "7/5": b"5"}


def test_a_listing_starts_again_when_uidvalidity_has_changed(opened: Open) -> None:
    def fetch(command: bytes) -> bytes:
        return (
            b"".join(
                b"* %d FETCH (UID %d RFC822.SIZE 9)\r\n" % (uid, uid)
                for uid in (1, 5, 9)
                if uid >= int(command.split(b" ")[2].partition(b":")[0])
            )
            + DONE
        )

    with opened({b"UID FETCH": fetch}) as (source, server):
        listed = list(source.scan("INBOX", {"uidvalidity": 6, "uid": 4}))
        assert [one.ref for one in listed] == refs(1, 5, 9)
        assert listed[-1].cursor == {"uidvalidity": 7, "uid": 9, "size": 9}
        assert [one.ref for one in source.scan("INBOX", {"uidvalidity": 7, "uid": 4})] == refs(5, 9)
        assert server.count(b"EXAMINE") == 2


@pytest.mark.parametrize(
    ("opening", "between", "count"),
    [
        (b"* 3 EXISTS\r\n", b"", 3),
        (b"* 3 exists\r\n", b"", 3),
        (b"", b"", None),
        (b"* 9 EXISTS\r\n* 3 EXISTS\r\n", b"", 3),
        # What is expunged meanwhile isn't missing, and what arrives need not be listed.
        (b"* 4 EXISTS\r\n", b"* 2 EXPUNGE\r\n", 3),
        (b"* 3 EXISTS\r\n", b"* 5 EXISTS\r\n", 3),
    ],
)
def test_the_count_is_what_the_folder_held_when_it_was_listed(
    opened: Open, opening: bytes, between: bytes, count: int | None
) -> None:
    listing = b"* 1 FETCH (UID 5 RFC822.SIZE 1)\r\n" + between + b"* 2 FETCH (UID 6 RFC822.SIZE 1)\r\n" + DONE
    replies = {
        b"EXAMINE": opening + b"* OK [UIDVALIDITY 7] valid\r\n* OK [UIDNEXT 10] next\r\n" + DONE,
        b"UID FETCH": listing,
    }
    with opened(replies) as (source, server):
        assert isinstance(source, SupportsCount)
        assert source.count("INBOX") is None
        for cursor in (None, {"uidvalidity": 7, "uid": 5}):
            listed = source.scan("INBOX", cursor)
            next(listed)
            assert source.count("INBOX") is None
            list(listed)
            assert source.count("INBOX") == count
        assert len(server.commands) == 4


def test_the_count_of_a_folder_without_news_is_what_status_told(opened: Open) -> None:
    replies = {b"LIST": LISTING + status(INBOX=(3, 10)) + DONE}
    with opened(replies, "LIST-STATUS") as (source, server):
        source.folders()
        assert list(source.scan("INBOX", {"uidvalidity": 7, "uid": 9})) == []
        assert isinstance(source, SupportsCount)
        assert source.count("INBOX") == 3
        assert len(server.commands) == 1


def test_the_last_message_is_not_new_although_the_server_answers_with_it(opened: Open) -> None:
    # RFC 9051 §9: in "10:*" the star is the largest number in use, and the order of the two doesn't matter.
    with opened({b"UID FETCH 9:*": b"* 3 FETCH (UID 9 RFC822.SIZE 1)\r\n" + DONE}) as (source, _):
        assert list(source.scan("INBOX", {"uidvalidity": 7, "uid": 9})) == []


def test_a_listing_out_of_order_has_cursors_that_never_go_back(opened: Open) -> None:
    listing = b"".join(b"* 1 FETCH (UID %d RFC822.SIZE 1)\r\n" % uid for uid in (3, 1, 2, 9)) + DONE
    with opened({b"UID FETCH": listing}) as (source, _):
        found = [(one.ref, one.cursor) for one in source.scan("INBOX", None)]
    assert found == [
        (f"7/{uid}", {"uidvalidity": 7, "uid": seen, "size": 1})
        for uid, seen in ((3, 3), (1, 3), (2, 3), (9, 9))
    ]


def test_a_message_newer_than_what_the_connection_was_shown(opened: Open) -> None:
    """Another connection has listed it: to this one it must not look gone."""
    shown = [9]

    def noop(_: bytes) -> bytes:
        shown.append(10)
        return b"* 4 EXISTS\r\n" + DONE

    def fetch(command: bytes) -> bytes:
        return b"".join(body(uid, b"x") for uid in uids_of(command) if uid in shown) + DONE

    with opened({b"UID FETCH": fetch, b"NOOP": noop}) as (source, server):
        assert whole(source.fetch("INBOX", refs(9))) == {"7/9": b"x"}
        assert server.count(b"NOOP") == 0
        assert whole(source.fetch("INBOX", refs(9, 10, 11))) == {"7/9": b"x", "7/10": b"x"}
        assert (server.count(b"NOOP"), server.count(b"EXAMINE")) == (1, 1)


# -- folders ---------------------------------------------------------------------------------------

LISTING = (
    b'* LIST (\\HasNoChildren) "/" INBOX\r\n'
    b'* LIST () "/" "Citt&AOA- &- \\"Co\\""\r\n'
    b'* LIST () "/" {4}\r\nA\\"B\r\n'
    b'* LIST (\\Trash) "/" Rifiuti\r\n'
)


def status(**names: tuple[int, int]) -> bytes:
    return b"".join(
        b'* STATUS "%b" (MESSAGES %d UIDNEXT %d UIDVALIDITY 7)\r\n' % (name.encode(), *counts)
        for name, counts in names.items()
    )


def test_one_question_tells_folders_and_what_is_new_in_them(opened: Open) -> None:
    told = (
        LISTING
        + status(INBOX=(3, 10), Rifiuti=(1, 2))
        + b'* STATUS {4}\r\nA\\"B (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 7)\r\n'
    )
    listing = b"* 3 FETCH (UID 9 RFC822.SIZE 1)\r\n"
    with opened({b"LIST": told + DONE, b"UID FETCH": listing + DONE}, "LIST-STATUS SPECIAL-USE") as (
        source,
        server,
    ):
        assert source.folders() == [
            Folder("INBOX", None, 3),
            Folder('A\\"B', None, 0),
            Folder('Città & "Co"'),
        ]
        assert server.commands == [b'LIST "" "*" RETURN (SPECIAL-USE STATUS (MESSAGES UIDNEXT UIDVALIDITY))']
        assert list(source.scan('A\\"B', None)) == []
        assert list(source.scan("INBOX", {"uidvalidity": 7, "uid": 9})) == []
        assert len(server.commands) == 1
        # What was told serves once: after that the server is asked.
        assert list(source.scan("INBOX", {"uidvalidity": 7, "uid": 9})) == []
        assert server.count(b"EXAMINE") == 1


@pytest.mark.parametrize(
    "cursor", [None, {"uidvalidity": 6, "uid": 9}, {"uidvalidity": 7, "uid": 8}, "nonsense"]
)
def test_what_was_told_saves_nothing_when_something_is_new(opened: Open, cursor: Json) -> None:
    replies = {
        b"LIST": LISTING + status(INBOX=(1, 10)) + DONE,
        b"UID FETCH": b"* 1 FETCH (UID 9 RFC822.SIZE 1)\r\n" + DONE,
    }
    with opened(replies, "LIST-STATUS") as (source, _):
        source.folders()
        assert [one.ref for one in source.scan("INBOX", cursor)] == ["7/9"]


def test_without_list_status_the_counts_are_asked_for_together(opened: Open) -> None:
    names = [b"folder %d" % number for number in range(250)]
    listing = b"".join(b'* LIST () "/" "%b"\r\n' % name for name in (*names, b"Cestino")) + DONE

    def counts(command: bytes) -> bytes:
        name = command.split(b'"')[1]
        if name == b"folder 7":
            return b"<tag> NO [NOPERM] not yours\r\n"
        return b'* STATUS "%b" (MESSAGES 4 UIDVALIDITY 7 UIDNEXT 5)\r\n' % name + DONE

    with opened({b"LIST": listing, b"STATUS": counts}) as (source, server):
        folders = {folder.name: folder.messages for folder in source.folders()}
        assert folders == {name.decode(): None if name == b"folder 7" else 4 for name in names}
        assert server.commands[0] == b'LIST "" "*"'
        assert server.count(b"STATUS") == 250
        assert list(source.scan("folder 8", {"uidvalidity": 7, "uid": 4})) == []
        assert server.count(b"EXAMINE") == 0


def test_special_use_is_asked_for_where_it_can_be(opened: Open) -> None:
    with opened({b"LIST": LISTING + DONE}, "SPECIAL-USE LIST-EXTENDED") as (source, server):
        assert "Rifiuti" not in [folder.name for folder in source.folders()]
        assert server.commands[0] == b'LIST "" "*" RETURN (SPECIAL-USE)'


def test_a_name_is_spelt_as_the_server_spells_it(opened: Open) -> None:
    listing = b'* LIST () "/" "Citt\xc3\xa0"\r\n* LIST () "/" "R&D"\r\n* LIST () "/" plain\r\n' + DONE
    with opened({b"LIST": listing}) as (source, server):
        for name, spelt in (
            ("Città", b"Citt\xc3\xa0"),
            ("R&D", b"R&D"),
            ("plain", b"plain"),
            ("Più", b"Pi&APk-"),
        ):
            assert list(source.scan(name, None)) == []
            assert [command for command in server.commands if b"EXAMINE" in command][
                -1
            ] == b'EXAMINE "%b"' % spelt


def test_a_folder_that_is_not_there_is_told_with_the_nearest_that_is(opened: Open) -> None:
    listing = b'* LIST () "/" INBOX\r\n* LIST () "/" Archivio\r\n' + DONE
    with opened({b"LIST": listing}, folders=["INBOX", "Archvio"]) as (source, _):
        with pytest.raises(PermanentError, match='no folder "Archvio"') as caught:
            source.folders()
        assert caught.value.hint == 'did you mean "Archivio"?'


def test_a_glob_that_covers_nothing_is_only_a_warning(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    with opened({b"LIST": LISTING + DONE}, "LIST-STATUS", folders=["INBOX", "2026*"]) as (source, _):
        assert [folder.name for folder in source.folders()] == ["INBOX"]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        'no folder is called like "2026*"'
    ]


def test_more_folders_than_any_mailbox_has(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archipec_plugins.imap.source._MAX_FOLDERS", 3)
    with (
        opened({b"LIST": LISTING + DONE}) as (source, _),
        pytest.raises(PermanentError, match="more than 3 folders"),
    ):
        source.folders()


# -- headers and quota -----------------------------------------------------------------------------


def test_headers(opened: Open) -> None:
    def head(uid: int, raw: bytes) -> bytes:
        return body(uid, raw).replace(b"BODY[]", b"BODY[HEADER]")

    def fetch(command: bytes) -> bytes:
        uids = uids_of(command)
        assert b"(UID BODY.PEEK[HEADER])" in command
        if uids == [3]:
            return b"<tag> NO no\r\n"
        if 3 in uids:
            return b"<tag> NO no\r\n"
        known = {1: b"A: b\r\n\r\n", 2: b"x" * 1_000_000, 4: b"C: d\r\n\r\n"}
        return b"".join(head(uid, known[uid]) for uid in uids if uid in known) + DONE

    with opened({b"UID FETCH": fetch}) as (source, _):
        found = dict(source.headers("INBOX", refs(1, 2, 3, 4, 5)))
    assert found == {"7/1": b"A: b\r\n\r\n", "7/2": b"x" * 262_144, "7/3": b"", "7/4": b"C: d\r\n\r\n"}


def test_headers_of_a_broken_connection(opened: Open) -> None:
    cut = b"* 1 FETCH (UID 1 BODY[HEADER] {9}\r\nabc" + CLOSE
    with opened({b"UID FETCH": cut}) as (source, _), pytest.raises(TransientError):
        list(source.headers("INBOX", refs(1)))


@pytest.mark.parametrize(
    ("told", "quota"),
    [
        (
            b'* QUOTAROOT INBOX "a" "b"\r\n* QUOTA "a" (STORAGE 10 512)\r\n* QUOTA "b" (STORAGE 500 600 MESSAGE 1 2)\r\n',
            (500, 600),
        ),
        (b'* QUOTAROOT INBOX ""\r\n* QUOTA "" (MESSAGE 1 2)\r\n', None),
        (b"* QUOTAROOT INBOX\r\n", None),
    ],
)
def test_quota(opened: Open, told: bytes, quota: tuple[int, int] | None) -> None:
    with opened({b"GETQUOTAROOT": told + DONE}, "QUOTA") as (source, _):
        expected = None if quota is None else Quota(quota[0] * 1024, quota[1] * 1024)
        assert source.quota() == expected


def test_no_quota_is_asked_for_where_there_is_none(opened: Open) -> None:
    with opened({}) as (source, server):
        assert source.quota() is None
        assert server.commands == []
