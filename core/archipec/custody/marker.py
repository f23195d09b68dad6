"""An archive's root directory: its marker tells "this archive" from "an empty mount point".

The marker also tells people what lies there, since when, from where, and how much when it last grew, and repeats what
the archive's inventory (`archipec.inventory`) says of itself.
"""

from __future__ import annotations

import json
import math
import os
import re
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from archipec import __version__
from archipec.custody.locks import hold
from archipec.durability import open_regular, sync_directory, sync_file, write_file
from archipec.errors import IntegrityError, PermanentError, TransientError, from_os_error
from archipec.inventory import (
    MARKER,
    InventoryReader,
    Summary,
    claim_of,
    extends,
    last_summary,
    read_marker_file,
)
from archipec.language import _

__all__ = [
    "LOCK",
    "MARKER",
    "LedgerHoldings",
    "claim_marker",
    "marker_is_gone",
    "read_marker",
    "remove_unused_root",
    "update_marker",
]

LOCK = ".archipec.lock"

_IDENTITY = re.compile(rb'"archive": ?"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"')
_LOOKED_AT = 64 << 10


class LedgerHoldings(NamedTuple):
    """What an archive holds by the ledger: messages, their bytes, and how many of them this run added."""

    messages: int
    size: int
    added: int


def claim_marker(root: Path, sink: str, known: str, now: datetime, held: ExitStack) -> str:
    """Make sure the archive's directory is there, lock it, and return the identity in its marker.

    The marker of a new archive is made under the lock: of two first runs one makes it, and the other finds it.

    Args:
        sink: the name of the sink's type, kept in a new marker.
        known: the identity the ledger has for this archive, empty when it has none yet.
        held: keeps the lock.

    Raises:
        TransientError: a known archive is not there, and nothing is made in its place; or another run has the lock.
        PermanentError: the directory can't be made or its marker is not one.
    """
    try:
        if known:
            _check_place(root, known)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        held.enter_context(hold(root / LOCK, str(root)))
        if known:
            _check_place(root, known)
        found = read_marker(root)
        if found:
            return found
        # A marker that was lost is made anew with the name that the inventory has.
        identity = known or _identity_in_inventory(root) or _new_identity()
        marker = {
            "archive": identity,
            "sink": sink,
            "created": now.isoformat(),
            "by": f"archipec {__version__}",
        }
        _create_marker(root, marker)
        sync_directory(root.parent)
        return read_marker(root)
    except OSError as error:
        raise from_os_error(error, error.filename or root) from error


def _new_identity() -> str:
    import uuid

    return str(uuid.uuid4())


def remove_unused_root(root: Path, after: ExitStack) -> None:
    """Take away the directory of a new archive that was given nothing. Its lock is held.

    Args:
        after: ends when the lock was let go.

    Raises:
        PermanentError: it can't be taken away.
    """

    def remove() -> None:
        # A run that has come meanwhile keeps it.
        with suppress(OSError):
            if os.name == "nt":
                (root / LOCK).unlink(missing_ok=True)  # refused while a process has it open
            root.rmdir()

    try:
        if not {entry.name for entry in root.iterdir()} <= {MARKER, LOCK}:
            return
        (root / MARKER).unlink(missing_ok=True)
        if os.name != "nt":
            # While it is held: once let go it may be another's.
            (root / LOCK).unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, root) from error
    after.callback(remove)


def marker_is_gone(root: Path) -> IntegrityError:
    """Return the error for an archive that has an inventory and no marker."""
    return IntegrityError(
        _("{root} is gone: an archive is known by it").format(root=root / MARKER),
        hint=_("the next `archipec archive` into this archive makes it anew"),
    )


def _check_place(root: Path, known: str) -> None:
    found = read_marker(root) or _identity_in_inventory(root)
    if found != known:
        state = (
            _("another archive stands there")
            if found
            else _("{marker} is missing there").format(marker=MARKER)
        )
        raise TransientError(
            _("the archive {root} is not in its place: {state}").format(root=root, state=state),
            hint=_("is the disk connected? if the archive was moved, give its new path"),
            retry_after=math.inf,
        )


def _identity_in_inventory(root: Path) -> str:
    reader = InventoryReader(root)
    with suppress(NotADirectoryError):
        next(iter(reader), None)
    return reader.identity


def update_marker(root: Path, source: str, held: LedgerHoldings, now: datetime, *, unfit: bool) -> None:
    """Bring an archive's marker up to date after a run.

    Args:
        source: where new messages came from.
        held: with none added, only what the marker says of the inventory is compared.
        unfit: the archive doesn't fit what it says of itself.

    Raises:
        ArchipecError: it can't be read or written.
    """
    messages, size, added = held
    try:
        marker = _marker(root)
        if marker is None:
            return  # the archive was carried away while it was written to; the next run finds that out
        exists, summary = last_summary(root)
        recorded = _recorded_summary(marker)
        # One that doesn't go on where the marker saw it last is another's, or was cut: that stays to be found.
        is_news = summary is not None and (
            recorded is None or (recorded.length < summary.length and extends(root, recorded))
        )
        if not added and not is_news:
            return
        if added:
            known = marker.get("sources")
            sources = known if isinstance(known, list) else []
            before = marker.get("messages")
            if unfit and not exists and isinstance(before, int):
                # The count is all that tells of the loss, and what was added must not make up for it.
                messages = max(messages, before + added)
            marker |= {
                "by": f"archipec {__version__}",
                "sources": sources if source in sources else [*sources, source],
                "messages": messages,
                "bytes": size,
                "updated": now.isoformat(),
            }
        if summary is not None and is_news:
            marker["record"] = summary.as_json()
        write_file(root / MARKER, _text_of(marker))
    except OSError as error:
        raise from_os_error(error, error.filename or root) from error


def _recorded_summary(marker: dict[str, Any]) -> Summary | None:
    try:
        return claim_of(marker)
    except ValueError:
        return None


def _text_of(marker: dict[str, Any]) -> bytes:
    return (json.dumps(marker, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _create_marker(root: Path, marker: dict[str, Any]) -> None:
    """Put a marker in place, whole, unless there is one: where a file system knows no locks, the first one counts."""
    path, temporary = root / MARKER, root / f".{MARKER}.{os.getpid()}.new"
    temporary.unlink(missing_ok=True)
    with open(open_regular(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(_text_of(marker))
        file.flush()
        sync_file(file.fileno())
    try:
        if _is_torn(path):
            temporary.replace(path)
            return
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        except OSError:  # FAT has no hard links
            if not os.path.lexists(path):
                temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(root)


def read_marker(root: Path) -> str:
    """Return the identity in an archive's marker, empty when there is no marker.

    Raises:
        PermanentError: there is a file of that name that is no marker.
        OSError: it can't be read.
    """
    marker = _marker(root)
    return "" if marker is None else str(marker["archive"])


def _marker(root: Path) -> dict[str, Any] | None:
    path = root / MARKER
    try:
        marker = read_marker_file(root)
    except ValueError:
        return _rescued(path)
    if marker is None:
        return None
    if not isinstance(marker.get("archive"), str) or not marker["archive"]:
        raise _no_marker(path)
    return marker


def _rescued(path: Path) -> dict[str, Any]:
    """Return what can be saved of a marker that was damaged."""
    match = _IDENTITY.search(_beginning(path))
    if match is None:
        raise _no_marker(path)
    return {"archive": match[1].decode()}


def _is_torn(path: Path) -> bool:
    """Return whether a file has nothing in it, or only the zeros that a power cut leaves."""
    try:
        return not _beginning(path).strip(b"\0 \n")
    except FileNotFoundError:
        return False


def _beginning(path: Path) -> bytes:
    with open(open_regular(path, os.O_RDONLY), "rb") as file:
        return file.read(_LOOKED_AT)


def _no_marker(path: Path) -> PermanentError:
    return PermanentError(
        _("{path} is not an archive's marker").format(path=path),
        hint=_("choose another directory for the archive"),
    )
