"""An archive's root directory: its marker tells "this archive" from "an empty mount point".

The marker also tells people what lies there, since when, from where, and how much when it last grew.
"""

from __future__ import annotations

import json
import math
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from archipec import __version__
from archipec.durability import sync_directory, write_file
from archipec.errors import PermanentError, TransientError, from_os_error

__all__ = ["LOCK", "MARKER", "describe_root", "open_root", "read_marker"]

MARKER = "archipec.json"
LOCK = ".archipec.lock"


def open_root(root: Path, sink: str, known: str, now: datetime) -> str:
    """Make sure the archive's directory is there, and return the identity in its marker.

    Args:
        sink: the name of the sink's type, kept in a new marker.
        known: the identity the ledger has for this archive, empty when it has none yet.

    Raises:
        TransientError: a known archive is not there; nothing is made in its place.
        PermanentError: the directory can't be made or its marker is not one.
    """
    try:
        found = read_marker(root)
        if known:
            if found == known:
                return found
            state = "another archive stands there" if found else f"{MARKER} is missing there"
            raise TransientError(
                f"the archive {root} is not in its place: {state}",
                hint="is the disk connected? if the archive was moved, give its new path",
                retry_after=math.inf,
            )
        if found:
            return found
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        identity = str(uuid.uuid4())
        marker = {
            "archive": identity,
            "sink": sink,
            "created": now.isoformat(),
            "by": f"archipec {__version__}",
        }
        _write_marker(root, marker)
        sync_directory(root.parent)
    except OSError as error:
        raise from_os_error(error, root) from error
    return identity


def describe_root(root: Path, source: str, messages: int, size: int, now: datetime) -> None:
    """Bring an archive's marker up to date after it grew.

    Args:
        source: where the new messages came from.
        messages, size: how many the archive holds now, and their bytes.

    Raises:
        ArchipecError: it can't be read or written.
    """
    try:
        marker = _marker(root)
        if marker is None:
            return  # the archive was carried away while it was written to; the next run finds that out
        known = marker.get("sources")
        sources = known if isinstance(known, list) else []
        marker |= {
            "by": f"archipec {__version__}",
            "sources": sources if source in sources else [*sources, source],
            "messages": messages,
            "bytes": size,
            "updated": now.isoformat(),
        }
        _write_marker(root, marker)
    except OSError as error:
        raise from_os_error(error, root) from error


def _write_marker(root: Path, marker: dict[str, Any]) -> None:
    text = json.dumps(marker, indent=2, ensure_ascii=False) + "\n"
    write_file(root / MARKER, text.encode("utf-8", "backslashreplace"))


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
        marker = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        marker = None
    if not isinstance(marker, dict) or not isinstance(marker.get("archive"), str) or not marker["archive"]:
        raise PermanentError(
            f"{path} is not an archive's marker", hint="choose another directory for the archive"
        )
    return marker
