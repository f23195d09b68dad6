"""Folders that can't be read, that vanish, or whose numbers are given anew: they cost themselves and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.command import Archipec
from testbed.scripted_imap import DROP, Box, ScriptedImap, a_message


@pytest.fixture
def command(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"})


def boxes() -> dict[bytes, Box]:
    return {name: Box.of([a_message(n)]) for n, name in enumerate((b"INBOX", b"Bad", b"Zeta"), start=1)}


def held(root: Path) -> int:
    return len(list(root.rglob("cur/*")))


@pytest.mark.parametrize("where", ["select", "listing", "header"])
def test_a_dry_run_goes_on_behind_a_folder_that_breaks_the_connection(
    command: Archipec, tmp_path: Path, where: str
) -> None:
    with ScriptedImap(boxes(), tmp_path / "tls") as server:
        if where == "select":
            server.select = lambda _tag, name: DROP if name == b"Bad" else None
        else:
            part = b"SIZE" if where == "listing" else b"HEADER"
            server.fetch = lambda _tag, name, _uid, wanted: (
                DROP if name == b"Bad" and part in wanted else None
            )
        result = command(
            "archive", "--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}", "--dry-run", "--json",
            expect=3,
        )  # fmt: skip
    assert sum(line["count"] for line in result.object["preview"]) == 2
    said = result.err.replace('\\"', '"')
    assert 'folder "Bad" is left out' in said
    assert 'exclude = ["Bad"]' in said


def test_a_dry_run_over_a_connection_that_breaks_once(command: Archipec, tmp_path: Path) -> None:
    broken: list[int] = []

    def fetch(_tag: bytes, name: bytes, uid: int, wanted: bytes) -> bytes | None:
        if name == b"Zeta" and b"HEADER" in wanted and not broken:
            broken.append(uid)
            return DROP
        return None

    with ScriptedImap(boxes(), tmp_path / "tls", fetch=fetch) as server:
        report = command(
            "archive", "--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}", "--dry-run", "--json"
        ).object
    assert (report["listed"], sum(line["count"] for line in report["preview"])) == (3, 3)


def test_a_folder_that_is_numbered_anew_is_listed_once(command: Archipec, tmp_path: Path) -> None:
    box = Box.of([a_message(number) for number in range(1, 6)])
    box.add(a_message(6))
    del box.messages[6]
    with ScriptedImap({b"INBOX": box}, tmp_path / "tls") as server:
        arguments = ("archive", "--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}", "--json")
        command(*arguments)
        box.validity = 77
        asked = len(server.commands)
        assert command(*arguments).object["already"] == 5
        said = server.commands[asked:]
        assert sum(one.startswith(b"UID FETCH 1:* (UID RFC822.SIZE") for one in said) == 1
        assert command("status", "--json").object["messages"] == 5


@pytest.mark.parametrize("bad", [b"Bad", b"INBOX", b"Zeta"])
@pytest.mark.parametrize("more", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_a_folder_that_is_refused_needs_a_person(
    command: Archipec, tmp_path: Path, bad: bytes, more: tuple[str, ...]
) -> None:
    def select(tag: bytes, name: bytes) -> bytes | None:
        return tag + b" NO [NOPERM] access denied\r\n" if name == bad else None

    with ScriptedImap(boxes(), tmp_path / "tls", select=select) as server:
        arguments = ("archive", "--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}", *more)
        result = command(*arguments, expect=3)
        assert f'exclude = ["{bad.decode()}"]' in result.err
        assert result.err.count("access denied") == 1
        if not more:
            assert held(tmp_path / "A") == 2
            assert command("status", "--json", expect=3).object["exit_code"] == 3


def test_only_folders_that_are_refused_are_an_obstacle(command: Archipec, tmp_path: Path) -> None:
    def select(tag: bytes, _name: bytes) -> bytes | None:
        return tag + b" NO [NOPERM] access denied\r\n"

    with ScriptedImap(boxes(), tmp_path / "tls", select=select) as server:
        command("archive", "--from", server.url(), "--to", f"maildir:{tmp_path / 'A'}", expect=4)


def test_a_folder_that_vanished_counts_no_more(command: Archipec, tmp_path: Path) -> None:
    with ScriptedImap(boxes(), tmp_path / "tls") as server:

        def run(expect: int = 0, **options: str) -> dict[str, object]:
            to = f"maildir:{tmp_path / 'A'}"
            return command(
                "archive", "--from", server.url(**options), "--to", to, "--json", expect=expect
            ).object

        def counted() -> object:
            return command("status", "--json", expect=None).object["messages"]

        server.fetch = lambda _tag, name, _uid, wanted: b"" if name == b"Bad" and b"[]" in wanted else None
        assert (run(3)["failed"], counted()) == (1, 3)
        server.fetch = None
        gone = server.boxes.pop(b"Bad")
        report = run()
        assert (report["listed"], report["failed"], report["left"]) == (0, 0, 0)
        assert counted() == 2
        server.boxes[b"Renamed"] = server.boxes.pop(b"Zeta")
        assert run()["already"] == 1
        assert counted() == 2
        server.boxes[b"Bad"] = gone
        assert run()["stored"] == 1
        assert counted() == 3
        run(exclude="Bad")
        assert counted() == 3, "what is only not read is still there"
    assert held(tmp_path / "A") == 3
