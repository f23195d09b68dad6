"""A file system of a given size, that becomes full or read-only when a test wants it to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["remount", "small_disk"]


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory at a folder, which is made; skip the calling test where nobody may.

    Args:
        options: of mount: `size=1m`, `size=100m,ro`.
    """
    import pytest  # here, as in `requirements`

    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"{options},mode=700", "none", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        reason = mounted.stderr.strip() if mounted.returncode else ""
    except FileNotFoundError as error:
        reason = str(error)
    if reason:
        pytest.skip(f"no file system can be mounted here: {reason}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def remount(folder: Path, options: str) -> None:
    """Give a mounted file system other options."""
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)
