"""Every error of this tool, with the exit code each one means (the same as archipec's).

::

    ToolError(message, hint)
    ├─ ConfigError          exit 4   an argument or a setting is wrong
    ├─ AuthError            exit 6   the primary password is wrong or was not given
    ├─ TransientError       exit 5   try later: Thunderbird is running, no room on the disk
    ├─ PermanentError       exit 4   only a change removes it: not a profile, path not writable
    └─ IntegrityError       exit 7   what was written does not read back, or was changed meanwhile

A message is one line for a person: lower case first, no final stop, naming the thing and the value, never a secret.
``hint`` is the way out.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import ClassVar

__all__ = [
    "AuthError",
    "ConfigError",
    "IntegrityError",
    "PermanentError",
    "ToolError",
    "TransientError",
    "from_os_error",
]


class ToolError(Exception):
    """Base of every expected error.

    Args:
        message: one line for a person.
        hint: what the person can do about it; may be empty.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class ConfigError(ToolError):
    """An argument or a setting is wrong."""


class AuthError(ToolError):
    """The primary password is wrong, or is needed and was not given."""

    exit_code = 6


class TransientError(ToolError):
    """It may work later: Thunderbird is running, the disk is full."""

    exit_code = 5


class PermanentError(ToolError):
    """It fails until something is changed."""


class IntegrityError(ToolError):
    """What was written does not read back, or is no longer what it was."""

    exit_code = 7


_FULL = {errno.ENOSPC, errno.EDQUOT}


def from_os_error(error: OSError, what: str | Path) -> ToolError:
    """Translate a failed file operation on ``what`` into the error a person can act on."""
    reason = (error.strerror or str(error)).lower()
    if error.errno in _FULL:
        return TransientError(f"no room left on the disk of {what}", hint="free some space and run it again")
    return PermanentError(f"{what}: {reason}", hint="check that the path exists and that you may write there")
