"""What servers leave out, cut short, count wrongly or name twice: nothing is lost, nothing is passed over in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.command import Archipec
from testbed.scripted_imap import Box, ScriptedImap, ScriptedServer, a_message
from testbed.scripted_pop3 import ScriptedPop3


@pytest.fixture
def command(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state", {"PEC_PASSWORD": "x"})


def held(root: Path) -> list[bytes]:
    """Return what a Maildir holds, sorted."""
    return sorted(
        path.read_bytes() for path in root.rglob("*") if path.is_file() and path.parent.name in ("cur", "new")
    )


@pytest.fixture
def archive(command: Archipec, tmp_path: Path) -> Callable[..., dict[str, object]]:
    def run(server: ScriptedServer, *more: object, expect: int = 0, **options: str) -> dict[str, object]:
        to = f"maildir:{tmp_path / 'A'}"
        result = command(
            "archive", "--from", server.url("", **options), "--to", to, "--json", *more, expect=expect
        )
        return {**result.object, "said": result.err}

    return run


def test_a_healthy_server(archive: Callable[..., dict[str, object]], tmp_path: Path) -> None:
    messages = [a_message(number) for number in range(1, 4)]
    with ScriptedImap({b"INBOX": Box.of(messages)}, tmp_path / "tls") as server:
        assert archive(server)["stored"] == 3
        assert archive(server)["listed"] == 0
    assert held(tmp_path / "A") == sorted(messages)


def test_a_healthy_pop3_server(archive: Callable[..., dict[str, object]], tmp_path: Path) -> None:
    messages = [a_message(number) for number in range(1, 4)]
    with ScriptedPop3(messages, tmp_path / "tls") as server:
        assert archive(server)["stored"] == 3
        assert archive(server)["listed"] == 0
    assert held(tmp_path / "A") == sorted(messages)
