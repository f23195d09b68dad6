"""Which names Windows keeps to itself, as Python knows it."""

from __future__ import annotations

import ntpath
import sys
from pathlib import PureWindowsPath

__all__ = ["is_windows_device"]


def is_windows_device(name: str) -> bool:
    """Tell whether Windows takes a file's name for a device; `PurePath.is_reserved` goes with Python 3.15."""
    if sys.version_info >= (3, 13):
        return ntpath.isreserved(name)
    return PureWindowsPath(name).is_reserved()
