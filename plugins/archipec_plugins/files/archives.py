"""Archives of archipec's own as sources: whether one that is read is as whole as its record says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from archipec.errors import ArchipecError, UnfitRecord, from_os_error
from archipec.inventory import MARKER, last_summary, read_marker_file
from archipec.language import _


class Checked(Protocol):
    """A sink that knows its record."""

    def check_record(self) -> Iterator[ArchipecError]:
        """Yield what doesn't fit it."""
        ...


def archive_type(root: Path) -> str:
    """Return the name of the sink that keeps an archive here, as its marker says; empty when none does."""
    try:
        marker = read_marker_file(root) or {}
    except (OSError, ValueError):
        return ""
    name = marker.get("sink")
    return name if isinstance(name, str) and isinstance(marker.get("archive"), str) else ""


def is_archive(root: Path) -> bool:
    """Return whether an archive of archipec is, or was, here."""
    try:
        return bool(archive_type(root)) or last_summary(root)[0]
    except OSError:
        return False


def archive_problems(root: Path, sink: str, make: Callable[[], Checked]) -> Iterator[ArchipecError]:
    """Yield what an archive of ours lacks by its own record; nothing of any other folder.

    Args:
        sink: name of the sink that keeps such archives.
        make: makes it, for reading alone.
    """
    try:
        try:
            marker = read_marker_file(root)
        except ValueError as error:
            yield UnfitRecord(f"{root / MARKER}: {error}")
            marker = {}
        if marker is None:
            if not last_summary(root)[0]:
                return
            yield UnfitRecord(_("{root} is gone: an archive is known by it").format(root=root / MARKER))
        elif marker.get("sink", sink) != sink:
            return
    except OSError as error:
        yield UnfitRecord(from_os_error(error, error.filename or root).message)
        return
    yield from make().check_record()
