"""Mail servers that write, name and refuse in their own way, as a person meets them on the command line."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from testbed.command import Archipec, Result
from testbed.scripted_imap import DROP, Box, ScriptedImap, ScriptedServer, a_message
from testbed.scripted_pop3 import ScriptedPop3

PASSWORD = "segreto+di prova"


@pytest.fixture
def command(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state", {"PEC_PASSWORD": PASSWORD})


@pytest.fixture
def archive(command: Archipec, tmp_path: Path) -> Callable[..., Result]:
    def run(server: ScriptedServer, *more: object, expect: int = 0, **options: Any) -> Result:
        to = f"maildir:{tmp_path / 'A'}"
        return command("archive", "--from", server.url(**options), "--to", to, *more, expect=expect)

    return run


def held(root: Path) -> list[bytes]:
    return sorted(
        path.read_bytes() for path in root.rglob("*") if path.is_file() and path.parent.name in ("cur", "new")
    )


def imap(boxes: dict[bytes, Box], folder: Path, **hooks: object) -> ScriptedImap:
    return ScriptedImap(boxes, folder / "tls", password=PASSWORD, **hooks)  # type: ignore[arg-type]


MESSAGES = [a_message(number) for number in range(1, 31)]


# -- how answers are written -----------------------------------------------------------------------


def _literal(raw: bytes) -> bytes:
    return b"{%d}\r\n%b" % (len(raw), raw)


@pytest.mark.parametrize(
    "written",
    [
        lambda uid, raw: (
            b"UID %d BODY[] %b)\r\n FLAGS (\\Seen) RFC822.SIZE %d)\r\n" % (uid, _literal(raw), len(raw))
        ),
        lambda uid, raw: b"BODY[] %b)\r\n UID %d FLAGS (\\Seen))\r\n" % (_literal(raw), uid),
        lambda uid, raw: b"BODY[] %b UID %d)\r\n" % (_literal(raw), uid),
        lambda uid, raw: b"uid %d  body[] %b)\r\n" % (uid, _literal(raw)),
        lambda uid, raw: b"UID %d BODY[] ~%b)\r\n" % (uid, _literal(raw)),
        lambda uid, raw: b"UID %d BODY.PEEK[] %b)\r\n" % (uid, _literal(raw)),
        lambda uid, raw: b"UID %d BODY[]<0> %b))\r\n" % (uid, _literal(raw)),
        lambda uid, raw: b"UID %d BODY[] %b FLAGS ()\r\n" % (uid, _literal(raw)),
    ],
    ids=[
        "closed early",
        "UID behind",
        "UID last",
        "lower case",
        "literal8",
        "PEEK",
        "one ) too many",
        "no )",
    ],
)
def test_a_body_in_whatever_form(
    archive: Callable[..., Result], tmp_path: Path, written: Callable[[int, bytes], bytes]
) -> None:
    def fetch(_tag: bytes, _name: bytes, uid: int, wanted: bytes) -> bytes | None:
        return b"* %d FETCH (" % uid + written(uid, MESSAGES[uid - 1]) if b"BODY" in wanted else None

    with imap({b"INBOX": Box.of(MESSAGES)}, tmp_path, fetch=fetch) as server:
        archive(server, connections=1)
        assert server.connections == 1
    assert held(tmp_path / "A") == sorted(MESSAGES)


def test_two_messages_with_one_uid_are_both_archived_and_never_deleted(
    archive: Callable[..., Result], command: Archipec, tmp_path: Path
) -> None:
    first, second, third = MESSAGES[:3]

    def fetch(_tag: bytes, _name: bytes, uid: int, wanted: bytes) -> bytes | None:
        if uid != 7:
            return None
        if b"BODY" in wanted:
            return b"".join(
                b"* %d FETCH (UID 7 BODY[] %b)\r\n" % (n, _literal(raw))
                for n, raw in enumerate((first, second), 1)
            )
        date = b'INTERNALDATE "03-Mar-2025 10:00:00 +0100" FLAGS ()'
        return b"".join(
            b"* %d FETCH (UID 7 RFC822.SIZE %d %b)\r\n" % (n, len(raw), date)
            for n, raw in enumerate((first, second), 1)
        )

    def counts(tag: bytes, _name: bytes) -> bytes:
        return b"* STATUS INBOX (MESSAGES 3 UIDNEXT 9 UIDVALIDITY 1)\r\n" + tag + b" OK done\r\n"

    box = Box.of([first, third], first=7)
    with imap({b"INBOX": box}, tmp_path, fetch=fetch, status=counts) as server:
        archive(server)
        assert held(tmp_path / "A") == sorted([first, second, third])
        arguments = ("--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}", "--older-than", "30d")
        told = command("prune", *arguments, "--allow-large", "--yes", expect=None)
        assert 7 not in box.expunged
    assert "another message" in told.err + told.out


def test_a_listing_that_repeats_itself_lists_once(archive: Callable[..., Result], tmp_path: Path) -> None:
    line = b'* 1 FETCH (UID 1 RFC822.SIZE %d INTERNALDATE "03-Mar-2025 10:00:00 +0100" FLAGS ())\r\n'

    def fetch(_tag: bytes, _name: bytes, uid: int, wanted: bytes) -> bytes | None:
        return line % len(MESSAGES[0]) * 2 if uid == 1 and b"BODY" not in wanted else None

    with imap({b"INBOX": Box.of(MESSAGES[:2])}, tmp_path, fetch=fetch) as server:
        assert '"listed": 2, "stored": 2' in archive(server, "--json").out
    assert held(tmp_path / "A") == sorted(MESSAGES[:2])


@pytest.mark.parametrize("bare", [b"UID %d FLAGS ()", b"UID %d", b"UID %d RFC822.SIZE NIL FLAGS ()"])
def test_a_listing_without_sizes_and_dates(
    archive: Callable[..., Result], tmp_path: Path, bare: bytes
) -> None:
    def fetch(_tag: bytes, _name: bytes, uid: int, wanted: bytes) -> bytes | None:
        return b"* %d FETCH (" % uid + bare % uid + b")\r\n" if b"BODY" not in wanted else None

    with imap({b"INBOX": Box.of(MESSAGES[:3])}, tmp_path, fetch=fetch) as server:
        archive(server)
    assert held(tmp_path / "A") == sorted(MESSAGES[:3])


# -- logging in and out ----------------------------------------------------------------------------

CROWDED = [
    b"[UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=1)",
    b"[ALERT] Too many simultaneous connections. (Failure)",
    b"[LIMIT] no",
    b"[INUSE] no",
    b"Too many connections",
    b"User is already logged in, connection limit reached",
]


@pytest.mark.parametrize("words", CROWDED)
def test_too_many_connections_is_try_later(
    archive: Callable[..., Result], tmp_path: Path, words: bytes
) -> None:
    logins: list[bytes] = []
    allowed = 1

    def answer(tag: bytes, told: bytes) -> bytes | None:
        if not told.startswith(b"LOGIN"):
            return None
        logins.append(told)
        return None if len(logins) <= allowed else tag + b" NO " + words + b"\r\n"

    with imap({b"INBOX": Box.of(MESSAGES)}, tmp_path, command=answer) as server:
        archive(server)
        assert held(tmp_path / "A") == sorted(MESSAGES)
        logins.clear()
        allowed = 0
        told = archive(server, expect=5)
        assert "password" not in told.err


@pytest.mark.parametrize(
    "words",
    [
        b"Invalid credentials",
        b"[AUTHENTICATIONFAILED] too many failed logins",
        b"Too many login attempts: wrong password",
    ],
)
def test_a_refused_login_is_no_crowd(archive: Callable[..., Result], tmp_path: Path, words: bytes) -> None:
    def answer(tag: bytes, told: bytes) -> bytes | None:
        return tag + b" NO " + words + b"\r\n" if told.startswith(b"LOGIN") else None

    with imap({b"INBOX": Box.of(MESSAGES)}, tmp_path, command=answer) as server:
        archive(server, expect=6)
        assert sum(told.startswith(b"LOGIN") for told in server.commands) == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [(b"too many connections", 5), (b"wrong password", 6)],
)
def test_a_pop3_login_that_is_refused(
    archive: Callable[..., Result], tmp_path: Path, words: bytes, code: int
) -> None:
    def answer(told: bytes) -> bytes | None:
        return b"-ERR " + words + b"\r\n" if told.startswith(b"PASS") else None

    with ScriptedPop3(MESSAGES, tmp_path / "tls", password=PASSWORD, command=answer) as server:
        archive(server, expect=code)


@pytest.mark.parametrize("offered", [True, False])
def test_a_server_that_wants_to_know_who_is_there(
    archive: Callable[..., Result], tmp_path: Path, offered: bool
) -> None:
    def select(tag: bytes, _name: bytes) -> bytes | None:
        if any(told.startswith(b"ID ") for told in server.commands):
            return None
        return tag + b" NO EXAMINE Unsafe Login. Please contact kefu@188.com for help\r\n"

    capabilities = b"IMAP4rev1 ID" if offered else b"IMAP4rev1"
    boxes = {b"INBOX": Box.of(MESSAGES)}
    with imap(boxes, tmp_path, select=select, capabilities=capabilities) as server:
        archive(server)
        # Where it is offered, it costs nothing but its bytes.
        assert sum(told.startswith(b"EXAMINE") for told in server.commands) == (1 if offered else 2)
    assert held(tmp_path / "A") == sorted(MESSAGES)


def test_a_session_that_dies_when_it_is_left(archive: Callable[..., Result], tmp_path: Path) -> None:
    def answer(_tag: bytes, told: bytes) -> bytes | None:
        return b"* BYE" + DROP if told == b"LOGOUT" else None

    with imap({b"INBOX": Box.of(MESSAGES)}, tmp_path, command=answer) as server:
        assert archive(server).err.count("BYE") == 0


# -- names -----------------------------------------------------------------------------------------


def test_folders_whose_names_decode_alike_are_all_archived(
    archive: Callable[..., Result], tmp_path: Path
) -> None:
    names = [
        b"INBOX",
        b"Citt&AOA-",  # as it should be
        b"Citt\xc3\xa0",
        b"Citt\xe0",
        b"Citta&AwA-",  # decomposed
        b"Citt&AOA- ",
        b"&AGE-",
        b"&-AGE-",
        b"tab\there",
        b"tab\x01here",
        b"NIL",
    ]
    boxes = {name: Box.of([MESSAGES[n]], validity=n + 1) for n, name in enumerate(names)}
    with imap(boxes, tmp_path) as server:
        for _ in range(2):
            archive(server)
            assert held(tmp_path / "A") == sorted(MESSAGES[: len(names)])


def test_a_folder_that_can_not_be_named_is_told_and_costs_itself_alone(
    archive: Callable[..., Result], tmp_path: Path
) -> None:
    def answer(tag: bytes, told: bytes) -> bytes | None:
        if not told.startswith(b"LIST"):
            return None
        odd = b'* LIST () "/" {4}\r\na\r\nb\r\n* LIST () "\\" Two words\r\n* LIST () "/" INBOX\r\n'
        return odd + tag + b" OK done\r\n"

    boxes = {b"INBOX": Box.of(MESSAGES[:1]), b"Two words": Box.of(MESSAGES[1:2])}
    with imap(boxes, tmp_path, command=answer) as server:
        told = archive(server, expect=None)
        assert told.code not in (0, 1)
        assert "a\\r\\nb" in told.err
        assert held(tmp_path / "A") == sorted(MESSAGES[:2])


# -- no end, and no beginning ----------------------------------------------------------------------


@pytest.mark.parametrize("at", [b"LOGIN", b"LIST", b"EXAMINE", b"BODY", b"LOGIN+"])
def test_a_server_that_chatters_without_end(
    archive: Callable[..., Result], tmp_path: Path, at: bytes
) -> None:
    line = b"+ go on\r\n" if at.endswith(b"+") else b"* OK still here\r\n"

    def answer(_tag: bytes, told: bytes) -> bytes | None:
        return line * 500_000 + DROP if at.rstrip(b"+") in told else None

    with imap({b"INBOX": Box.of(MESSAGES)}, tmp_path, command=answer) as server:
        archive(server, expect=5, connections=1)


@pytest.mark.parametrize("scheme", ["imaps", "pop3s"])
def test_a_server_that_trickles(archive: Callable[..., Result], tmp_path: Path, scheme: str) -> None:
    """Twenty bytes a second, for as long as anybody listens."""
    over = threading.Event()

    class Trickling(ScriptedImap if scheme == "imaps" else ScriptedPop3):  # type: ignore[misc]
        def converse(self, connection: socket.socket, lines: object, number: int) -> None:
            del lines, number
            connection.sendall(b"* OK [" if scheme == "imaps" else b"+OK ")
            while not over.wait(0.05):
                connection.sendall(b"x")

    boxes: Any = {} if scheme == "imaps" else []
    with Trickling(boxes, tmp_path / "tls", password=PASSWORD) as server:
        told = archive(server, expect=5, timeout=1)
        over.set()
    assert "almost nothing" in told.err


@pytest.mark.parametrize("scheme", ["imap", "pop3"])
def test_a_port_for_tls_without_tls(archive: Callable[..., Result], tmp_path: Path, scheme: str) -> None:
    kind = ScriptedImap({}, tmp_path / "tls") if scheme == "imap" else ScriptedPop3([], tmp_path / "tls")
    with kind as server:
        server.scheme = scheme
        told = archive(server, expect=4)
    assert f"use {scheme}s:// in place of {scheme}://" in told.err
    assert "trying again" not in told.err


@contextmanager
def in_the_clear(greeting: bytes) -> Iterator[int]:
    def take() -> None:
        with listener:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(greeting)
                connection.recv(4096)

    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    thread = threading.Thread(target=take)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(20)


@pytest.mark.parametrize(("scheme", "greeting"), [("imaps", b"* OK hello\r\n"), ("pop3s", b"+OK hello\r\n")])
def test_a_port_in_the_clear_with_tls(
    command: Archipec, tmp_path: Path, scheme: str, greeting: bytes
) -> None:
    with in_the_clear(greeting) as port:
        url = f"{scheme}://u@127.0.0.1:{port}?password=env:PEC_PASSWORD"
        told = command("archive", "--from", url, "--to", f"maildir:{tmp_path / 'A'}", expect=4)
    assert f"use {scheme[:-1]}:// in place of {scheme}://" in told.err


# -- secrets ---------------------------------------------------------------------------------------


def forms() -> list[bytes]:
    raw = PASSWORD.encode()
    return [
        raw,
        raw.upper(),
        base64.b64encode(raw),
        base64.b64encode(b"\0u\0" + raw),
        quote(PASSWORD, safe="").encode(),
        PASSWORD.replace(" ", "+").replace("+di", "%2Bdi").encode(),
        raw.hex().encode(),
    ]


@pytest.mark.parametrize("at", ["greeting", "LOGIN", "LIST", "EXAMINE", "UID FETCH"])
def test_a_password_that_the_server_repeats_is_masked(
    archive: Callable[..., Result], command: Archipec, tmp_path: Path, at: str
) -> None:
    said = b" ".join(forms())

    def answer(tag: bytes, told: bytes) -> bytes | None:
        if at == "EXAMINE" and told.startswith(b"UID FETCH"):
            return tag + b" BAD no folder is open\r\n"
        return tag + b" NO you said " + said + b"\r\n" if told.startswith(at.encode()) else None

    def greeting(_number: int) -> bytes:
        return (
            b"* BYE too many connections: " + said + b"\r\n" + DROP if at == "greeting" else b"* OK ready\r\n"
        )

    with imap({b"INBOX": Box.of(MESSAGES)}, tmp_path, command=answer, greeting=greeting) as server:
        told = archive(server, "--json", expect=None, connections=1)
        status = command("status", "ad-hoc", expect=None)
    assert told.code != 0
    shown = (told.out + told.err + status.out + status.err).encode()
    kept = b"".join(path.read_bytes() for path in command.state.rglob("*") if path.is_file())
    for form in forms():
        assert form.lower() not in shown.lower()
        assert form.lower() not in kept.lower()
    assert b"***" in shown


def test_a_password_that_a_pop3_server_repeats_is_masked(
    archive: Callable[..., Result], command: Archipec, tmp_path: Path
) -> None:
    said = b" ".join(forms())

    def answer(told: bytes) -> bytes | None:
        return b"-ERR you said " + said + b"\r\n" if told.startswith((b"RETR", b"TOP")) else None

    with ScriptedPop3(MESSAGES, tmp_path / "tls", password=PASSWORD, command=answer) as server:
        told = archive(server, "--json", expect=None)
    assert told.code != 0
    kept = b"".join(path.read_bytes() for path in command.state.rglob("*") if path.is_file())
    for form in forms():
        assert form.lower() not in ((told.out + told.err).encode() + kept).lower()


# -- POP3 ------------------------------------------------------------------------------------------


def test_a_pop3_message_without_unique_id(archive: Callable[..., Result], tmp_path: Path) -> None:
    def answer(told: bytes) -> bytes | None:
        return b"+OK\r\n1 a\r\n3 c\r\n.\r\n" if told == b"UIDL" else None

    with ScriptedPop3(MESSAGES[:3], tmp_path / "tls", password=PASSWORD, command=answer) as server:
        archive(server)
        archive(server)
    assert held(tmp_path / "A") == sorted(MESSAGES[:3])


def test_pop3_unique_ids_given_to_other_messages(archive: Callable[..., Result], tmp_path: Path) -> None:
    first, then = MESSAGES[:3], [a_message(number, b"another body\r\n") for number in range(10, 13)]
    for messages in (first, then):
        with ScriptedPop3(messages, tmp_path / "tls", password=PASSWORD) as server:
            listed = archive(server, "--json", expect=None).out
        assert '"listed": 0' not in listed
