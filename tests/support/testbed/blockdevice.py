"""A disk of a test's own, on a loop device: its blocks can be damaged, it can be full, and it can go away in the middle.

What is damaged is damaged on the medium, beneath the page cache of the file system that is mounted on it: programs read
the old bytes until the kernel forgets them, as on a real disk.
"""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from testbed.requirements import find

__all__ = ["Disk", "disk"]

_SHUT_DOWN: Final = 0x8004587D
"""EXT4_IOC_SHUTDOWN (fs/ext4/ext4.h), an ioctl of a number; 2 drops all that is not on the medium yet."""
_BLOCK: Final = 4096


class Disk:
    """A mounted disk.

    Attributes:
        root: where it is mounted.
    """

    def __init__(self, image: Path, root: Path) -> None:
        self.root = root
        self._image = image
        self._device = ""

    # -- life ------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect the disk and mount it."""
        self._device = _run("losetup", "--find", "--show", self._image)
        try:
            _run("mount", self._device, self.root)
        except OSError:
            self._detach()
            raise

    def disconnect(self) -> None:
        """Unmount the disk and take it away, as a person does; an empty folder is left."""
        if self._device:
            _run("umount", self.root)
            self._detach()

    def _detach(self) -> None:
        _run("losetup", "--detach", self._device)
        self._device = ""

    # -- what can happen to a disk ---------------------------------------------------------------

    def damage(self, raw: bytes) -> None:
        """Change the block on the medium that ``raw`` lies in. Nobody who has read it lately sees that."""
        with self._image.open("r+b") as medium:
            _run("sync", "--file-system", self.root)
            at = medium.read().find(raw)
            assert at >= 0, "not on the medium, or not in one piece"
            medium.seek(at + len(raw) // 2)
            byte = medium.read(1)
            medium.seek(at + len(raw) // 2)
            medium.write(bytes((byte[0] ^ 1,)))

    def fail(self) -> None:
        """Let every further read and write end in an input or output error, until it is connected again."""
        import fcntl

        folder = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUT_DOWN, struct.pack("I", 2))
        finally:
            os.close(folder)

    def write_protect(self) -> None:
        """Let nobody write until it is connected again."""
        _run("mount", "-o", "remount,ro", self.root)

    def fill(self, free: int) -> Path:
        """Fill it up to so many free bytes; removing the file that is returned makes room again."""
        ballast = self.root / "ballast"
        there = os.statvfs(self.root)
        size = there.f_bavail * there.f_frsize - free
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size // _BLOCK, 1) * _BLOCK)
        return ballast


@contextmanager
def disk(folder: Path, megabytes: int = 16) -> Iterator[Disk]:
    """Make a disk, mounted at ``folder / "disk"``; skip the calling test, saying why, where nobody may.

    Args:
        folder: keeps its medium.
    """
    import pytest  # here, as in `requirements`

    image, root = folder / "medium", folder / "disk"
    root.mkdir(parents=True)
    with image.open("wb") as medium:
        medium.truncate(megabytes << 20)
    made = Disk(image, root)
    try:
        # No blocks kept for root, so that full is full; in the journal would be a second copy of small files.
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal,^inline_data", image)
        made.connect()
    except OSError as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    try:
        yield made
    finally:
        made.disconnect()


def _run(program: str, *arguments: object) -> str:
    """Run a system's program; return what it says.

    Raises:
        OSError: it is not there, or failed.
    """
    found = find(program)
    if found is None:
        raise OSError(f"{program} is not installed")
    done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{program}: {done.stderr.strip()}")
    return done.stdout.strip()
