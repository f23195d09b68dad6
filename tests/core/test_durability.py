"""What is called durable was flushed, in this order; what is opened as a file is one."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from archipec.durability import open_regular, sync_files, write_file

POSIX = pytest.mark.skipif(os.name != "posix", reason="of POSIX file systems")


@pytest.mark.skipif(sys.platform != "linux", reason="macOS and Windows flush by other calls")
def test_a_file_put_in_place_is_flushed_before_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    replace = Path.replace

    def fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def replacing(self: Path, target: Path) -> Path:
        steps.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replacing)
    write_file(tmp_path / "marker", b"new")
    assert steps == ["file", "replace", "folder"]
    assert (tmp_path / "marker").read_bytes() == b"new"
    assert (tmp_path / "marker").stat().st_mode & 0o077 == 0


@POSIX
def test_who_may_read_a_file_may_read_what_takes_its_place_where_that_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    for there, keep, mode in ((None, True, 0o600), (0o640, True, 0o640), (0o640, False, 0o600)):
        if there is not None:
            path.chmod(there)
        write_file(path, b"x", keep_mode=keep)
        assert path.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(sys.platform != "linux", reason="syncfs is Linux's")
def test_a_flush_of_the_file_system_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def syncfs(_descriptor: int) -> int:
        ctypes.set_errno(errno.EIO)
        return -1

    monkeypatch.setattr("archipec.durability._syncfs_call", lambda: syncfs)
    paths = [tmp_path / str(number) for number in range(20)]
    for path in paths:
        path.touch()
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        sync_files(tmp_path, paths)


@POSIX
def test_a_link_put_there_at_the_last_moment_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("secret")
    monkeypatch.setattr(os.path, "islink", lambda _: False)  # it was none a moment ago
    with pytest.raises(OSError, match="symbolic link") as raised:
        open_regular(tmp_path / "link", os.O_RDONLY)
    assert raised.value.errno == errno.EINVAL


KINDS: dict[str, Callable[[Path], object]] = (
    {"pipe": os.mkfifo, "folder": Path.mkdir} if hasattr(os, "mkfifo") else {}
)


@POSIX
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    KINDS[kind](tmp_path / "thing")
    with pytest.raises(OSError, match=kind):
        open_regular(tmp_path / "thing", os.O_RDONLY)


@pytest.mark.parametrize("error", [OSError("the disk is full"), KeyboardInterrupt()])
def test_a_file_that_is_not_written_to_its_end_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fsync(_descriptor: int) -> None:
        raise error

    (tmp_path / "report.pdf").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(type(error)):
        write_file(tmp_path / "report.pdf", b"new")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("report.pdf", b"old")]
