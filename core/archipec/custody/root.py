"""An archive's root directory: its marker tells "this archive" from "an empty mount point"."""

from __future__ import annotations

import json
import math
import uuid
from datetime import datetime
from pathlib import Path

from archipec import __version__
from archipec.durability import sync_directory, write_file
from archipec.errors import PermanentError, TransientError, from_os_error

__all__ = ["LOCK", "MARKER", "open_root", "read_marker"]

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
        write_file(root / MARKER, json.dumps(marker, indent=2).encode() + b"\n")
        sync_directory(root.parent)
    except OSError as error:
        raise from_os_error(error, root) from error
    return identity


def read_marker(root: Path) -> str:
    """Return the identity in an archive's marker, empty when there is no marker.

    Raises:
        PermanentError: there is a file of that name that is no marker.
        OSError: it can't be read.
    """
    path = root / MARKER
    try:
        marker = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except ValueError:
        marker = None
    if not isinstance(marker, dict) or not isinstance(marker.get("archive"), str) or not marker["archive"]:
        raise PermanentError(
            f"{path} is not an archive's marker", hint="choose another directory for the archive"
        )
    return str(marker["archive"])
