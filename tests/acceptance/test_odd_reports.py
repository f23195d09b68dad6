"""What stands where a conservator's report should be and is none: named, never opened, and nothing to the others."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.acceptance.test_conservation import Studio, write_mailbox

from archipec.simulator import mailbox
from testbed.command import Archipec

pytestmark = pytest.mark.skipif(os.name != "posix", reason="these kinds of files are POSIX")


def _socket(path: Path) -> None:
    # A socket's path may have 107 bytes, a test's folder has more.
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def _unreadable(path: Path) -> None:
    # Root may read anything but what is in no way there: a link that leads to itself.
    path.symlink_to(path)


ODD: dict[str, Callable[[Path], object]] = {
    "pipe": lambda path: os.mkfifo(path),
    "socket": _socket,
    "link": lambda path: path.symlink_to("/etc/hostname"),
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "unreadable": _unreadable,
}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_report_is_named_and_the_others_go_on(tmp_path: Path, kind: str) -> None:
    write_mailbox(tmp_path / "mail", 6)
    studio = Studio(tmp_path, f"eml:{tmp_path / 'mail'}", options="&wait=0")
    studio.archive()
    (first,) = studio.drop.glob("PdV_*.ready")
    studio.provider()
    (tmp_path / "mail" / "more.eml").write_bytes(next(iter(mailbox(1, seed=77, size=900))).raw)
    odd = studio.drop / "esiti" / f"{first.stem}.xml"
    (true,) = (studio.drop / "esiti").iterdir()
    true.rename(tmp_path / "true.xml")
    ODD[kind](odd)
    studio.archive(expect=3, timeout=60)
    studio.provider()
    said = studio.settle(expect=3, timeout=60)
    assert said["stored"] == 1, "the second package is proven"
    ((reason, number),) = said["reasons"].items()
    assert number == said["pending"] == 6 and odd.name in reason and "can't be read" in reason
    if kind == "folder":
        odd.rmdir()
    else:
        odd.unlink()
    (tmp_path / "true.xml").rename(true)
    assert studio.settle()["stored"] == 6


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_file_that_the_user_names_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    odd = tmp_path / "odd"
    ODD[kind](odd)
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "1.eml").write_bytes(next(iter(mailbox(1, seed=7, size=900))).raw)
    command = Archipec(tmp_path / "state")
    source = "imaps://a@127.0.0.1:1/"
    to = ("--to", f"maildir:{tmp_path}/A")
    for arguments in (
        ("archive", "--from", f"{source}?password=file:{odd}", *to),
        ("archive", "--from", f"{source}?password=env:PATH&ca_file={odd}", *to),
        ("archive", "--from", f"eml:{tmp_path}/mail", *to, "--trust", odd),
        ("--config", odd, "archive"),
        ("inspect", "--trust", odd, tmp_path / "mail" / "1.eml"),
    ):
        result = command(*arguments, expect=4, timeout=60)
        assert str(odd) in result.err
        assert any(words in result.err for words in ("not a file", "no file", "is a directory"))
