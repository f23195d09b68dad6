"""Every error archipec and its plugins raise, by kind and by scope, with the exit code each one means.

::

    ArchipecError(message, hint, scope)
    ├─ ConfigError(problems)        exit 4   the configuration is wrong: all problems at once
    ├─ AuthError                    exit 6   login refused; never tried again by itself
    ├─ TransientError(retry_after)  exit 5   try later: network, disk full or disconnected, already running
    │  └─ NoRoom                    exit 5   no room left on a disk
    ├─ Incomplete                   exit 3   done, but for what it names: something needs the user
    ├─ PermanentError               exit 4   only a change removes it: certificate, path not writable
    │  └─ Unsupported               exit 4   this endpoint can't do that
    ├─ IntegrityError               exit 7   bytes are not those that were kept
    │  ├─ MissingCopy               exit 7   a copy that was promised is not there
    │  └─ UnfitRecord               exit 7   an archive doesn't fit its own record
    ├─ Refused                      exit 8   a deletion that is not proven safe
    ├─ AlreadyGone                  exit 3   a message was no longer there when it was to be deleted

A message is one line for the user: lower case first, no final stop, naming the thing and the value,
never a secret (one that the host knows is masked). ``hint`` is the way out. Whatever a plugin raises outside this tree the host turns into a PluginBug.
"""

from __future__ import annotations

import enum
import errno
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from archipec.message import ContentKey

from archipec.language import _, ngettext, written
from archipec.masking import mask

__all__ = [
    "ATTENTION",
    "AlreadyGone",
    "ArchipecError",
    "AuthError",
    "ConfigError",
    "Incomplete",
    "IntegrityError",
    "Interrupted",
    "MissingCopy",
    "NoRoom",
    "PermanentError",
    "PluginBug",
    "Refused",
    "Scope",
    "TransientError",
    "UnfitRecord",
    "Unsupported",
    "counted",
    "exit_code",
    "from_os_error",
    "is_full",
]

DONE, BUG, USAGE, ATTENTION = 0, 1, 2, 3
# Several outcomes: the first of these is the one a script must see.
_BY_WEIGHT = (BUG, 7, 130, 6, 8, 4, USAGE, 5, ATTENTION, DONE)


class Scope(enum.IntEnum):
    """How far an error reaches: what is still worth trying after it."""

    MESSAGE = 1
    FOLDER = 2
    ENDPOINT = 3
    RUN = 4


class ArchipecError(Exception):
    """Base of every expected error.

    Args:
        message: one line for the user.
        hint: what the person can do about it; may be empty.
        scope: how far it reaches; each class has its usual one.
    """

    exit_code: ClassVar[int] = 4
    usual_scope: ClassVar[Scope] = Scope.ENDPOINT

    def __init__(self, message: str, *, hint: str = "", scope: Scope | None = None) -> None:
        self.message = mask(message)
        super().__init__(self.message)
        self.hint = mask(hint)
        self.scope = self.usual_scope if scope is None else scope

    def __str__(self) -> str:
        return self.message


class ConfigError(ArchipecError):
    """The configuration is wrong.

    Args:
        problems: every problem found, one line each.
    """

    usual_scope = Scope.RUN

    def __init__(self, problems: str | Sequence[str], *, hint: str = "") -> None:
        self.problems = tuple(map(mask, (problems,) if isinstance(problems, str) else problems))
        super().__init__("; ".join(self.problems), hint=hint)


class AuthError(ArchipecError):
    """The login was refused. It is never tried again without being asked: providers lock accounts."""

    exit_code = 6


class TransientError(ArchipecError):
    """It may work later.

    Args:
        retry_after: seconds to wait before the host tries again; None leaves it to the host,
            ``math.inf`` says not in this run.
    """

    exit_code = 5

    def __init__(
        self, message: str, *, hint: str = "", scope: Scope | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, scope=scope)
        self.retry_after = retry_after


class NoRoom(TransientError):
    """No room left on a disk: what is smaller may still fit."""


class Incomplete(ArchipecError):
    """Everything else is done, this isn't: a folder left out, messages that the source counts and doesn't list."""

    exit_code = ATTENTION


class PermanentError(ArchipecError):
    """It fails until something is changed."""


class Unsupported(PermanentError):
    """This endpoint can't do that."""


class IntegrityError(ArchipecError):
    """Bytes are not those that were kept or announced."""

    exit_code = 7
    usual_scope = Scope.MESSAGE


class MissingCopy(IntegrityError):
    """An archive no longer has a copy it gave a receipt for.

    Args:
        key: of the message, where it is known which.
        copies: how many are missing, where only their number is known.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        scope: Scope | None = None,
        key: ContentKey | None = None,
        copies: int = 1,
    ) -> None:
        super().__init__(message, hint=hint, scope=scope)
        self.key = key
        self.copies = copies


class UnfitRecord(IntegrityError):
    """What an archive holds does not fit its own record: files were added, renamed, or the record was changed.

    Args:
        sums_up: the message of each `MissingCopy` that this one stands for, with their number; empty for none.
    """

    def __init__(
        self, message: str, *, hint: str = "", scope: Scope | None = None, sums_up: str = ""
    ) -> None:
        super().__init__(message, hint=hint, scope=scope)
        self.sums_up = mask(sums_up)


class Refused(ArchipecError):
    """A deletion that is not proven safe."""

    exit_code = 8


class AlreadyGone(ArchipecError):
    """A message that was to be deleted was no longer there: another program deleted or moved it."""

    exit_code = ATTENTION
    usual_scope = Scope.MESSAGE


class Interrupted(ArchipecError):
    """Asked to stop: by Ctrl-C, SIGTERM, SIGHUP or a closed terminal."""

    exit_code = 130
    usual_scope = Scope.RUN


class PluginBug(ArchipecError):
    """A plugin raised something of its own, or broke the contract in another way."""

    exit_code = BUG


_FULL = {errno.ENOSPC, errno.EDQUOT}
_GONE = {errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN}


def counted(number: int, thing: str) -> str:
    """Return a number of things as a message says it: "1 message", "2,500 messages".

    Args:
        thing: one of them, in English.
    """
    one, many = numbered(thing)
    return ngettext(one, many, number).format(number=written(number))


def numbered(thing: str) -> tuple[str, str]:
    """Return the sentences for one and for several of a thing, with a place for the number."""
    plural = f"{thing[:-1]}ies" if thing.endswith("y") and thing[-2] not in "aeiou" else f"{thing}s"
    return f"{{number}} {thing}", f"{{number}} {plural}"


def is_full(error: OSError) -> bool:
    """Tell whether a file operation failed because its disk is full, or the user's share of it."""
    return error.errno in _FULL


def from_os_error(error: OSError, what: str | Path) -> ArchipecError:
    """Translate a failed file operation on ``what`` into the error that the user can act on."""
    reason = _((error.strerror or str(error)).lower())
    if is_full(error):
        return NoRoom(
            _("no room left on the disk of {what}").format(what=what),
            hint=_("free some space and run the same command again: it goes on where it stopped"),
            retry_after=math.inf,
        )
    if error.errno in _GONE:
        return TransientError(
            f"{what}: {reason}",
            hint=_("is the disk connected? run the same command again when it is"),
            retry_after=math.inf,
        )
    return PermanentError(
        f"{what}: {reason}", hint=_("check that the path exists and that you may write there")
    )


def exit_code(codes: Iterable[int]) -> int:
    """Return the one exit code for several outcomes: the first of 1, 7, 130, 6, 8, 4, 2, 5, 3, 0."""
    seen = set(codes)
    return next((code for code in _BY_WEIGHT if code in seen), DONE)
