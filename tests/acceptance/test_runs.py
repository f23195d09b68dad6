"""``archipec runs``: what was run when, for how long, and with what outcome."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.boxes import Boxes, block, set_back
from testbed.command import Archipec
from testbed.scripted_imap import a_message


@pytest.fixture
def boxes(tmp_path: Path) -> Boxes:
    mail = tmp_path / "mail"
    mail.mkdir()
    for number in range(3):
        (mail / f"{number}.eml").write_bytes(a_message(number))
    made = Boxes(Archipec(tmp_path / "state"), tmp_path / "archipec.toml")
    made.write(
        block("studio", f'type = "eml"\npath = "{mail}"', tmp_path / "A"),
        block("bad", f'type = "eml"\npath = "{tmp_path / "nope"}"', tmp_path / "B"),
    )
    return made


def test_every_run_is_there_with_its_outcome(boxes: Boxes) -> None:
    assert boxes("runs").err == "nothing was run\n"
    boxes("archive", expect=4)
    boxes("verify", "studio")
    verified, bad, studio = boxes("runs", "--json").objects
    assert [(one["pipeline"], one["command"]) for one in (verified, bad, studio)] == [
        ("studio", "verify"),
        ("bad", "archive"),
        ("studio", "archive"),
    ]
    assert (studio["counts"]["stored"], studio["exit_code"], studio["error"]) == (3, 0, [])
    assert studio["seconds"] is not None and studio["seconds"] >= 0
    assert (bad["exit_code"], bad["counts"]) == (4, {"stored": 0, "failed": 0, "left": 0, "bytes": 0})
    assert "nope" in bad["error"][0]
    assert verified["counts"]["checked"] == 3
    lines = boxes("runs").out.splitlines()
    assert len(lines) == 3
    assert "3 stored" in lines[2] and "failed (exit code 4)" in lines[1] and "nope" in lines[1]


def test_some_of_them(boxes: Boxes) -> None:
    boxes("archive", expect=4)
    set_back(boxes.archipec.state, 10)
    boxes("archive", "studio")

    def found(*options: object) -> list[str]:
        return [one["pipeline"] for one in boxes("runs", "--json", *options).objects]

    assert found() == ["studio", "bad", "studio"]
    assert found("--since", "2d") == ["studio"]
    assert found("bad") == ["bad"]
    assert found("--failed") == ["bad"]
    assert found("--limit", "1") == ["studio"]
    assert found("--failed", "--limit", "0") == ["bad"]
    assert 'unknown pipeline "studoi", did you mean "studio"' in boxes("runs", "studoi", expect=4).err
