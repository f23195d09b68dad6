"""What the user may not read is said, and costs nothing else: folders, files, archives, the state itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from testbed.command import Archipec, Result

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")

WITHOUT = "-dac_override,-dac_read_search"
"""Of root: what lets it read everything."""


class Unprivileged(Archipec):
    """The command as somebody who may read what its permissions allow, and no more: root by itself may read all."""

    def argv(self, *arguments: object) -> list[str]:
        """Return the command line."""
        plain = super().argv(*arguments)
        if os.geteuid() != 0:
            return plain
        return ["setpriv", f"--bounding-set={WITHOUT}", f"--inh-caps={WITHOUT}", *plain]

    def _run(self, arguments: tuple[object, ...], timeout: float) -> Result:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=timeout)
        return Result(process.returncode, out, err)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def command(home: Path) -> Unprivileged:
    made = Unprivileged(home / "state")
    try:
        made("--version")
    except (AssertionError, OSError) as error:
        pytest.skip(f"root can't do without its privileges here: {error}")
    return made


def mail(number: int) -> bytes:
    return b"From: a@pec.example.it\r\nTo: b@pec.example.it\r\nSubject: %d\r\n\r\ntext\r\n" % number


def put(scheme: str, root: Path, name: str, number: int) -> Path:
    """Put a message into a folder of mail; return the file that holds it."""
    if scheme == "mbox":
        path, raw = root / name, b"From a@b.it Sat Nov 21 20:00:00 2026\n" + mail(number) + b"\n"
    elif scheme == "maildir":
        path, raw = root / name / "cur" / f"170000000{number}.M1.host:2,S", mail(number)
    else:
        path, raw = root / name / f"{number}.eml", mail(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("scheme", ["eml", "maildir", "mbox"])
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_read_is_said_and_the_rest_is_archived(
    command: Unprivileged, home: Path, scheme: str, what: str
) -> None:
    root = home / "mail"
    put(scheme, root, "good", 1)
    file = put(scheme, root, "closed/inside" if scheme == "mbox" else "closed", 2)
    closed = file if what == "file" else root / "closed"
    mode = closed.stat().st_mode
    closed.chmod(0)
    arguments = (
        "archive",
        "--from",
        f"{scheme}:{root}",
        "--to",
        f"maildir:{home / 'A'}",
        "--no-seals",
        "--json",
    )
    try:
        for stored in (1, 0):
            result = command(*arguments, expect=None)
            report = result.object
            assert (result.code, report["stored"]) in {(3, stored), (4, stored)}, result
            assert "bug" not in result.err
            assert closed.name in result.out + result.err, "what may not be read is named"
    finally:
        closed.chmod(mode)
    assert command(*arguments).object["stored"] == 1, "it is archived once it may be read"


@pytest.mark.parametrize("what", ["state", "archive", "marker"])
def test_a_place_of_its_own_that_may_not_be_opened_is_named(
    command: Unprivileged, home: Path, what: str
) -> None:
    put("eml", home / "mail", "good", 1)
    arguments = ("archive", "--from", f"eml:{home / 'mail'}", "--to", f"maildir:{home / 'A'}", "--no-seals")
    command(*arguments)
    closed = {
        "state": home / "state/ledger.sqlite3",
        "archive": home / "A",
        "marker": home / "A/archipec.json",
    }[what]
    mode = closed.stat().st_mode
    closed.chmod(0)
    try:
        result = command(*arguments, expect=None)
    finally:
        closed.chmod(mode)
    assert result.code in {3, 4, 5}, result
    assert closed.name in result.err and "bug" not in result.err
    command(*arguments)
