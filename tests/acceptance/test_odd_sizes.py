"""A message of another size than its server lists: asked for again by itself, taken when the answers are equal, and said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.command import Archipec
from testbed.scripted_imap import Box, ScriptedImap, ScriptedServer, a_message
from testbed.scripted_pop3 import ScriptedPop3

WHOLE = a_message(1, b"riga di prova\r\n" * 24)
GIVEN = WHOLE[:-15]
"""As whole to look at as the message: nothing but its listed size tells."""


def serve(scheme: str, tmp_path: Path, given: Callable[[], bytes]) -> ScriptedServer:
    """Return a server with one message, for which it answers what ``given`` returns."""
    if scheme == "pop3":

        def answer(said: bytes) -> bytes | None:
            return b"+OK\r\n" + given() + b".\r\n" if said == b"RETR 1" else None

        return ScriptedPop3([WHOLE], tmp_path / "tls", command=answer)

    def fetch(_tag: bytes, _name: bytes, uid: int, wanted: bytes) -> bytes | None:
        if b"BODY" not in wanted:
            return None
        raw = given()
        return b"* 1 FETCH (UID %d BODY[] {%d}\r\n%b)\r\n" % (uid, len(raw), raw)

    return ScriptedImap({b"INBOX": Box.of([WHOLE])}, tmp_path / "tls", fetch=fetch)


def asked(server: ScriptedServer) -> int:
    return sum(said in (b"RETR 1", b"UID FETCH 1 (UID BODY.PEEK[])") for said in server.commands)


@pytest.mark.parametrize("scheme", ["imap", "pop3"])
def test_the_only_message_of_another_size_is_asked_for_twice_and_said(tmp_path: Path, scheme: str) -> None:
    command = Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"})
    with serve(scheme, tmp_path, lambda: GIVEN) as server:
        arguments = ("archive", "--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}")
        result = command(*arguments)
        assert asked(server) == 2
        assert "1 listed by the server with another size" in result.out
        assert command(*arguments, "--json").object["listed"] == 0
        assert asked(server) == 2, "what was accepted is on record"


@pytest.mark.parametrize("scheme", ["imap", "pop3"])
def test_unequal_answers_of_another_size_are_not_taken(tmp_path: Path, scheme: str) -> None:
    command = Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"})
    ends = iter(range(15, 15 * 20, 15))
    with serve(scheme, tmp_path, lambda: WHOLE[: -next(ends)]) as server:
        report = command(
            "archive", "--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}", "--json", expect=3
        ).object
    assert (report["stored"], report["failed"]) == (0, 1)
    assert not list((tmp_path / "A").rglob("cur/*"))
