"""The Thunderbird sink: where it writes, what it never does again, and what it leaves after a crash."""

from __future__ import annotations

import mailbox
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from archipec.contract import ContentKey, Receipt
from archipec.crc_lines import checked_line
from archipec.errors import ConfigError, PermanentError, TransientError, Unsupported
from archipec.testing import configure, make_context, make_item
from archipec.testing.messages import small_messages
from archipec_plugins.thunderbird import THUNDERBIRD_SINK, folder_file
from archipec_plugins.thunderbird.names import folder_path
from archipec_plugins.thunderbird.view import ThunderbirdSink
from testbed.thunderbird import new_profile

RAWS = small_messages(6)
Open: TypeAlias = Callable[..., AbstractContextManager[ThunderbirdSink]]

_HOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return new_profile(tmp_path / "profile")


@pytest.fixture
def opened(profile: Path, tmp_path: Path) -> Open:
    @contextmanager
    def opened(**table: object) -> Iterator[ThunderbirdSink]:
        config = configure(THUNDERBIRD_SINK, {"path": str(profile), **table})
        with THUNDERBIRD_SINK.open(config, make_context(tmp_path)) as sink:
            assert isinstance(sink, ThunderbirdSink)
            yield sink

    return opened


@contextmanager
def locked(profile: Path) -> Iterator[None]:
    """Have another process hold the profile as Thunderbird does."""
    argv = [sys.executable, "-c", _HOLDER, str(profile / ".parentlock")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.communicate()


def keep(sink: ThunderbirdSink, *raws: bytes, folder: str = "INBOX") -> list[Receipt]:
    for raw in raws:
        sink.put(make_item(raw, folder=folder))
    return list(sink.commit())


def local(profile: Path, name: str = "archipec.sbd/INBOX") -> Path:
    return profile / "Mail" / "Local Folders" / name


def shown(path: Path) -> list[bytes]:
    """Messages as Python's mailbox sees them, without Thunderbird's lines."""
    box = mailbox.mbox(path, create=False)
    try:
        return [box.get_bytes(key).split(b"X-Mozilla-Status2: 00000000\r\n", 1)[-1] for key in box.iterkeys()]
    finally:
        box.close()


def test_the_tree_is_what_thunderbird_shows(profile: Path, opened: Open) -> None:
    with opened() as sink:
        keep(sink, RAWS[0], folder="2026/11")
    with opened(folder="PEC di prova") as sink:
        keep(sink, RAWS[0], folder="INBOX")
    found = {path.relative_to(local(profile, "")).as_posix() for path in local(profile, "").rglob("*")}
    assert found == {
        "archipec",
        "archipec.sbd",
        "archipec.sbd/2026",
        "archipec.sbd/2026.sbd",
        "archipec.sbd/2026.sbd/11",
        "PEC di prova",
        "PEC di prova.sbd",
        "PEC di prova.sbd/INBOX",
    }
    assert sorted(path.name for path in (profile / "archipec").iterdir()) == [
        "PEC di prova.view",
        "archipec.view",
    ]
    for path in (profile / "archipec", *local(profile, "").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0


def test_flags_become_thunderbirds(profile: Path, opened: Open) -> None:
    with opened() as sink:
        for raw, flags in zip(
            RAWS, [(), ("\\Seen",), ("\\seen", "\\FLAGGED", "$Forwarded", "x")], strict=False
        ):
            sink.put(make_item(raw, flags=flags))
        sink.commit()
    lines = [
        line for line in local(profile).read_bytes().splitlines() if line.startswith(b"X-Mozilla-Status:")
    ]
    assert [line.split()[1] for line in lines] == [b"0000", b"0001", b"1005"]


def test_what_was_deleted_there_is_not_put_there_again(profile: Path, opened: Open) -> None:
    with opened() as sink:
        keep(sink, *RAWS[:3])
    local(profile).write_bytes(b"")
    with opened() as sink:
        assert sink.find(ContentKey.of(RAWS[0])) is not None
        assert len(keep(sink, *RAWS[:4])) == 4
        assert [receipt.key for receipt in sink.iterate()] == [ContentKey.of(raw) for raw in RAWS[:4]]
    assert shown(local(profile)) == [RAWS[3]]


@pytest.mark.parametrize(
    "tail", [b"", b"From - Sat Nov 21 18:48:43 2026\r\nSubject: x\r\n\r\nno line end", b"\r\n", b"x\r\n\r\n"]
)
def test_behind_what_thunderbird_left(profile: Path, opened: Open, tail: bytes) -> None:
    with opened() as sink:
        keep(sink, RAWS[0])
    before = local(profile).read_bytes() + tail
    local(profile).write_bytes(before)
    with opened() as sink:
        keep(sink, RAWS[1])
    assert local(profile).read_bytes().startswith(before)
    assert shown(local(profile))[-1] == RAWS[1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has another lock")
def test_not_while_thunderbird_runs(profile: Path, opened: Open) -> None:
    (profile / "lock").symlink_to("127.0.0.1:+1")  # left behind by a Thunderbird that ended
    with locked(profile), pytest.raises(TransientError, match="Thunderbird is running"), opened():
        pass
    with opened() as sink:
        keep(sink, RAWS[0])
        sink.put(make_item(RAWS[1]))
        with locked(profile), pytest.raises(TransientError) as caught:
            sink.commit()
        assert "close Thunderbird" in caught.value.hint
        assert sink.find(ContentKey.of(RAWS[1])) is None
        keep(sink, RAWS[1])
    assert shown(local(profile)) == RAWS[:2]


@pytest.mark.parametrize("cut", [0, 1, 30, 100, -1])
def test_what_a_killed_run_left_is_taken_back(
    profile: Path, opened: Open, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """Killed with the messages in the folder, whole or torn, and the record not saying so yet."""
    with opened() as sink:
        keep(sink, *RAWS[:2])
        before = local(profile).read_bytes()
        for raw in RAWS[2:4]:
            sink.put(make_item(raw))
        with monkeypatch.context() as patch:
            patch.setattr(sink._record, "finish", _killed)
            patch.setattr(sink, "_take_back", lambda: None)
            with pytest.raises(KeyboardInterrupt):
                sink.commit()
    torn = local(profile).read_bytes()
    assert len(torn) > len(before) + 100
    local(profile).write_bytes(before + torn[len(before) :][: cut if cut >= 0 else None])
    with opened() as sink:
        assert sink.find(ContentKey.of(RAWS[2])) is None
        keep(sink, *RAWS[1:5])
    assert shown(local(profile)) == RAWS[:5]


def test_what_somebody_added_behind_a_torn_message_stays(
    profile: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened() as sink:
        keep(sink, RAWS[0])
        sink.put(make_item(RAWS[1]))
        with monkeypatch.context() as patch:
            patch.setattr(sink._record, "finish", _killed)
            patch.setattr(sink, "_take_back", lambda: None)
            with pytest.raises(KeyboardInterrupt):
                sink.commit()
    with local(profile).open("ab") as file:
        file.write(b"From - Sat Nov 21 18:48:43 2026\r\nSubject: moved here\r\n\r\nx\r\n\r\n")
    there = local(profile).read_bytes()
    with opened() as sink:
        keep(sink, RAWS[2])
    assert local(profile).read_bytes().startswith(there)


def test_a_disk_that_is_full_leaves_nothing_torn(
    profile: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened() as sink:
        keep(sink, RAWS[0])
        before = local(profile).read_bytes()
        sink.put(make_item(RAWS[1]))
        with monkeypatch.context() as patch:
            patch.setattr(folder_file, "sync_file", _full)
            with pytest.raises(TransientError, match="no room"):
                sink.commit()
        assert local(profile).read_bytes() == before
        keep(sink, RAWS[1])
    assert shown(local(profile)) == RAWS[:2]


def test_a_torn_record_loses_one_line_at_most(profile: Path, opened: Open) -> None:
    with opened() as sink:
        keep(sink, *RAWS[:2])
    record = profile / "archipec" / "archipec.view"
    whole = record.read_bytes()
    record.write_bytes(whole + b"M 123")
    with opened() as sink:
        keep(sink, *RAWS[:3])
    with opened() as sink:
        assert len(list(sink.iterate())) == 3
    assert shown(local(profile)) == RAWS[:3]
    record.write_bytes(checked_line("V 2"))
    with pytest.raises(PermanentError, match="later version"), opened():
        pass


def test_places_that_are_none(tmp_path: Path, profile: Path, opened: Open) -> None:
    with pytest.raises(PermanentError, match="no profile"), opened(path=str(tmp_path)):
        pass
    prefs = (profile / "prefs.js").read_text()
    (profile / "prefs.js").write_text(prefs.replace("berkeleystore", "maildirstore"))
    with pytest.raises(Unsupported, match="a file for each message"), opened():
        pass
    (profile / "prefs.js").write_text(prefs)
    local(profile, "").rename(profile / "elsewhere")
    with pytest.raises(PermanentError, match="no local folders yet"), opened():
        pass
    (profile / "prefs.js").write_text(prefs.replace("[ProfD]Mail/Local Folders", "[ProfD]elsewhere"))
    with opened() as sink:
        keep(sink, RAWS[0])
    assert shown(profile / "elsewhere" / "archipec.sbd" / "INBOX") == RAWS[:1]


@pytest.mark.parametrize("folder", ["a/b", "a\nb", " ", "\x1b[31m"])
def test_one_top_folder(profile: Path, folder: str) -> None:
    with pytest.raises(ConfigError, match="one folder"):
        configure(THUNDERBIRD_SINK, {"path": str(profile), "folder": folder})


@pytest.mark.parametrize(
    ("folder", "path"),
    [
        ("INBOX", "archipec.sbd/INBOX"),
        ("Posta inviata", "archipec.sbd/Posta inviata"),
        ("2026/11", "archipec.sbd/2026.sbd/11"),
        ("a//b/", "archipec.sbd/a.sbd/b"),
        ("", "archipec.sbd/_"),
        ("..", "archipec.sbd/_~"),
        ("Archivio.msf", "archipec.sbd/Archivio.msf~"),
        ("bozze~", "archipec.sbd/bozze~~"),
    ],
)
def test_names(folder: str, path: str) -> None:
    assert re.sub("~[0-9a-f]{8}$", "~", folder_path("archipec", folder)) == path


@pytest.mark.parametrize("folder", ["x" * 300, "è" * 200, "/".join("d" * 60), "/".join(["Città " * 8] * 9)])
def test_long_names_stay_short(folder: str) -> None:
    path = folder_path("archipec", folder)
    assert len(path.encode()) <= 250
    assert all(len(part.removesuffix(".sbd")) <= 50 for part in path.split("/"))
    assert path != folder_path("archipec", f"{folder}x")


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")
