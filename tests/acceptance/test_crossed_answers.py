"""A server that gives a message under the number of another one: neither is taken for the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.command import Archipec
from testbed.scripted_imap import Box, ScriptedImap, a_message

MESSAGES = [a_message(number) for number in range(1, 5)]
Hook = Callable[[bytes, bytes, int, bytes], bytes | None]


def held(root: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in root.rglob("cur/*"))


def under(uid: int, number: int) -> bytes:
    """Return an answer that gives one message under a UID."""
    raw = MESSAGES[number - 1]
    return b"* %d FETCH (UID %d BODY[] {%d}\r\n%b)\r\n" % (number, uid, len(raw), raw)


@pytest.mark.parametrize(
    "crossed",
    [
        pytest.param({1: under(2, 1)}, id="that of another, which comes twice"),
        pytest.param({1: under(3, 1), 3: b""}, id="that of another, which does not come itself"),
        pytest.param({1: under(2, 1), 2: under(1, 2)}, id="each that of the other"),
        pytest.param({1: under(2, 1), 2: under(3, 2), 3: under(4, 3), 4: under(1, 4)}, id="all by one"),
        pytest.param({1: under(99, 1)}, id="one that nobody asked for"),
        pytest.param({2: under(1, 2)}, id="one that has come"),
        pytest.param({1: under(1, 1) + under(3, 2), 2: b""}, id="one that comes later"),
    ],
)
@pytest.mark.parametrize("form", ["as usual", "in another order"])
def test_an_answer_under_the_number_of_another_message(
    tmp_path: Path, crossed: dict[int, bytes], form: str
) -> None:
    command = Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"})
    server = ScriptedImap({b"INBOX": Box.of(MESSAGES)}, tmp_path / "tls")

    def fetch(_tag: bytes, _name: bytes, uid: int, wanted: bytes) -> bytes | None:
        # Asked for by itself, each message comes as it should.
        if b"BODY" not in wanted or server.commands[-1] == b"UID FETCH %d (UID BODY.PEEK[])" % uid:
            return None
        answer = crossed.get(uid)
        if answer is not None and form == "in another order":
            answer = answer.replace(b"BODY[]", b"FLAGS () BODY[]")
        return answer

    server.fetch = fetch
    with server:
        report = command(
            "archive", "--from", server.url(connections=1), "--to", f"maildir:{tmp_path / 'A'}", "--json"
        ).object
    assert (report["listed"], report["stored"], report["failed"]) == (4, 4, 0)
    assert held(tmp_path / "A") == sorted(MESSAGES)


def test_a_message_that_always_comes_under_the_number_of_another_has_failed(tmp_path: Path) -> None:
    command = Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"})

    def fetch(_tag: bytes, _name: bytes, uid: int, wanted: bytes) -> bytes | None:
        return under(2, 1) if b"BODY" in wanted and uid == 1 else None

    with ScriptedImap({b"INBOX": Box.of(MESSAGES)}, tmp_path / "tls", fetch=fetch) as server:
        report = command(
            "archive", "--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}", "--json", expect=3
        ).object
    assert [failure["ref"] for failure in report["failures"]] == ["1/1"]
    assert held(tmp_path / "A") == sorted(MESSAGES[1:])


def test_answers_in_any_order_are_read_once(tmp_path: Path) -> None:
    command = Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"})

    def fetch(_tag: bytes, _name: bytes, uid: int, wanted: bytes) -> bytes | None:
        return under(5 - uid, 5 - uid) if b"BODY" in wanted else None

    with ScriptedImap({b"INBOX": Box.of(MESSAGES)}, tmp_path / "tls", fetch=fetch) as server:
        command("archive", "--from", server.url(connections=1), "--to", f"maildir:{tmp_path / 'A'}")
        assert sum(b"BODY.PEEK[]" in said for said in server.commands) == 1
    assert held(tmp_path / "A") == sorted(MESSAGES)
