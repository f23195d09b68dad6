"""Where messages wait for their commit: one hidden directory for the whole archive, away from what mail programs show."""

# Paths are strings here: there are many of them, and Path objects would cost more than what is done with them.
# ruff: noqa: PTH106, PTH108, PTH110, PTH208

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

from archipec.durability import make_directory
from archipec.message import Item
from archipec_plugins.files.streams import CREATE, item_chunks, write_all

_DIRECTORY = ".archipec.tmp"
# FAT can't tell an earlier time of change.
_FIRST_SECOND_OF_FAT = 315_532_800 + 86_400
# Not on Windows. Elsewhere a path need not be looked up once more.
_BY_DESCRIPTOR = os.utime in os.supports_fd


def is_interrupted(root: str) -> bool:
    """Return whether a run in this archive was killed, and none has mended since what it left."""
    return os.path.exists(f"{root}/{_DIRECTORY}")


class Staging:
    """The staging directory of an archive.

    Only one process at a time may have one, which the host's lock sees to: what is found there at the start was
    left by a run that was killed, and is removed.

    Args:
        is_own: tells the names that the archive's files have.

    Raises:
        OSError: it can't be made or emptied.
    """

    def __init__(self, root: str, is_own: Callable[[str], bool]) -> None:
        self._path = f"{root}/{_DIRECTORY}"
        is_left = os.path.lexists(self._path)
        make_directory(self._path)
        if is_left:
            self.discard(name for name in os.listdir(self._path) if is_own(name))

    def allows(self, name: str) -> bool:
        """Return whether this file system takes a name, and shows a file by it afterwards."""
        try:
            os.close(os.open(f"{self._path}/{name}", CREATE, 0o600))
        except OSError:
            return False
        allowed = name in os.listdir(self._path)
        self.discard([name])
        return allowed

    def path(self, name: str) -> str:
        """Return where a staged message lies."""
        return f"{self._path}/{name}"

    def write(self, item: Item, name: str, changed: int) -> None:
        """Stage an item under a name, with this time of change in Unix seconds.

        Raises:
            IntegrityError: its reader gave other bytes than those of its key.
            OSError: the disk did not take it. Nothing is left of it in either case.
        """
        path = f"{self._path}/{name}"
        times = (max(changed, _FIRST_SECOND_OF_FAT),) * 2
        descriptor = os.open(path, CREATE, 0o600)
        try:
            try:
                for chunk in item_chunks(item):
                    write_all(descriptor, chunk)
                if _BY_DESCRIPTOR:
                    os.utime(descriptor, times)
            finally:
                os.close(descriptor)
            if not _BY_DESCRIPTOR:
                os.utime(path, times)
        except BaseException:
            self.discard([name])
            raise

    def discard(self, staged: Iterable[str]) -> None:
        """Remove staged messages; what can't be removed now goes at the next start."""
        for name in staged:
            with suppress(OSError):
                os.unlink(f"{self._path}/{name}")

    def close(self) -> None:
        """Leave no trace of an empty staging directory."""
        with suppress(OSError):
            os.rmdir(self._path)
