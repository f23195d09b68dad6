"""What `prune` says of messages that stay: the true reason, once."""

from __future__ import annotations

from pathlib import Path

from testbed.command import Archipec, Result
from testbed.scripted_imap import Box, ScriptedImap, a_message


def prune(server: ScriptedImap, tmp_path: Path, expect: int) -> Result:
    command = Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"})
    ends = ("--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}")
    command("archive", *ends)
    return command("prune", *ends, "--older-than", "30d", "--yes", "--allow-large", expect=expect)


def test_messages_that_share_their_number(tmp_path: Path) -> None:
    messages = [a_message(number) for number in range(1, 4)]
    server = ScriptedImap(
        {b"INBOX": Box(dict(zip((7, 8, 9), messages, strict=True)), uidnext=10)}, tmp_path / "t"
    )

    def command(tag: bytes, said: bytes) -> bytes | None:
        """Give the third message the number of the first."""
        if not said.startswith((b"UID FETCH", b"FETCH")):
            return None
        answer = b""
        for number, (uid, raw) in enumerate(zip((7, 8, 7), messages, strict=True), start=1):
            if b":*" not in said and str(uid).encode() not in said.split(b" ")[2].replace(b":", b",").split(
                b","
            ):
                continue
            body = b"HEADER" in said or b"[]" in said
            part = raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if b"HEADER" in said else raw
            name = b"BODY[HEADER]" if b"HEADER" in said else b"BODY[]"
            what = (
                b"%b {%d}\r\n%b" % (name, len(part), part) if body else b"RFC822.SIZE %d FLAGS ()" % len(raw)
            )
            answer += b'* %d FETCH (UID %d INTERNALDATE "03-Mar-2025 10:00:00 +0100" %b)\r\n' % (
                number,
                uid,
                what,
            )
        return answer + tag + b" OK done\r\n"

    server.command = command
    with server:
        said = prune(server, tmp_path, 8)
    assert "kept: INBOX 1/7: deletion refused: the server gives its number to another message" in said.err


def test_a_mailbox_that_is_numbered_anew_in_every_session(tmp_path: Path) -> None:
    box = Box.of([a_message(number) for number in range(1, 4)])

    def greeting(number: int) -> bytes:
        box.validity = 1000 + number
        return b"* OK ready\r\n"

    with ScriptedImap({b"INBOX": box}, tmp_path / "tls", greeting=greeting) as server:
        said = prune(server, tmp_path, 0)
    assert "3  kept: not in every required archive, or new or numbered anew since" in said.out + said.err


def test_one_message_is_one(tmp_path: Path) -> None:
    with ScriptedImap({b"INBOX": Box.of([a_message(1)])}, tmp_path / "tls") as server:
        said = prune(server, tmp_path, 0)
    assert "1 message (" in said.out + said.err
