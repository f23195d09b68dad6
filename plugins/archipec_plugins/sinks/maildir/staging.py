"""Where messages wait for their commit: one hidden directory for the whole archive, away from what mail programs show."""

# Paths are strings here: there are many of them, and Path objects would cost more than what is done with them.
# ruff: noqa: PTH102, PTH106, PTH108, PTH208

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256

from archipec.message import Item
from archipec_plugins.sinks.copies import CREATE, item_chunks, unix_time, write_all
from archipec_plugins.sinks.maildir import names

__all__ = ["Staging"]

_DIRECTORY = ".archipec.tmp"
# FAT can't tell an earlier time of change.
_FIRST_SECOND_OF_FAT = 315_532_800 + 86_400


class Staging:
    """The staging directory of an archive.

    Only one process at a time may have one, which the host's lock sees to: what is found there at the start was
    left by a run that was killed, and is removed.

    Attributes:
        separator: what this file system allows before the flags in a name: ``:``, else ``;``.

    Raises:
        OSError: it can't be made or emptied.
    """

    def __init__(self, root: str) -> None:
        self._path = f"{root}/{_DIRECTORY}"
        try:
            os.mkdir(self._path, 0o700)
        except FileExistsError:
            self.discard(name for name in os.listdir(self._path) if names.parse(name))
        self.separator = self._probe()

    def _probe(self) -> str:
        # On Windows a colon would make a stream within a file of a shorter name; elsewhere it may be refused (FAT)
        # or replaced by another character (network shares), so what counts is what the directory shows afterwards.
        if sys.platform == "win32":
            return ";"
        name = str(names.Name(0, sha256().hexdigest(), 1, 0, ":2,"))
        try:
            os.close(os.open(f"{self._path}/{name}", CREATE, 0o600))
        except OSError:
            return ";"
        allowed = name in os.listdir(self._path)
        self.discard([name])
        return ":" if allowed else ";"

    def path(self, name: str) -> str:
        """Return where a staged message lies."""
        return f"{self._path}/{name}"

    def write(self, item: Item, name: str) -> None:
        """Stage an item under a name; its time of change is when it was received, as mail programs read it.

        Raises:
            IntegrityError: its reader gave other bytes than those of its key.
            OSError: the disk did not take it. Nothing is left of it in either case.
        """
        path = f"{self._path}/{name}"
        descriptor = os.open(path, CREATE, 0o600)
        try:
            try:
                for chunk in item_chunks(item):
                    write_all(descriptor, chunk)
            finally:
                os.close(descriptor)
            received = max(unix_time(item.received or item.date), _FIRST_SECOND_OF_FAT)
            os.utime(path, (received, received))
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
