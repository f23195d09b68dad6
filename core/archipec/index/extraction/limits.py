"""What one message may cost whoever reads its attachments: bytes, files, depth, pages, time.

The process that reads them is ended when it overruns its own limits; these here are met first, and cost a message no
more than the text that is left out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final, NamedTuple

__all__ = [
    "MAX_DEPTH",
    "MAX_ENCODED",
    "MAX_FILE",
    "MAX_FILE_TEXT",
    "MAX_SCANS",
    "OCR_SECONDS",
    "TOO_LONG",
    "TOO_MUCH_TEXT",
    "TOO_MUCH_UNPACKED",
    "Extracted",
    "ReadingBudget",
    "too_large",
]

MAX_FILE: Final = 32 << 20
"""Bytes of a file that is read for its text, its transfer encoding and compression undone."""

MAX_ENCODED: Final = 2 * MAX_FILE
"""Bytes that such a file may have as it stands in a message."""

MAX_FILE_TEXT: Final = 512 * 1024
"""Characters of text that are taken from one file."""

TOO_MUCH_TEXT: Final = f"only its first {MAX_FILE_TEXT:,} characters are indexed"
TOO_MUCH_UNPACKED: Final = "not read: what the files of this message hold is more than is unpacked"
TOO_LONG: Final = "not read to its end: it takes too long"

MAX_DEPTH: Final = 8
"""Files in files that are entered."""

MAX_SCANS: Final = 2
"""Files of one message that are read by OCR."""

OCR_SECONDS: Final = 240
"""For one of them; a page takes some seconds."""

_UNPACKED: Final = 128 << 20
_FILES: Final = 500
_SECONDS: Final = 20.0


class Extracted(NamedTuple):
    """The text of a file, and why there is none or not all of it; empty when it is whole."""

    text: str
    problem: str = ""


@dataclass(slots=True)
class ReadingBudget:
    """What is left for one message.

    Attributes:
        unpacked: bytes that may still come out of archives and encodings.
        files: files in files that may still be looked at.
        scans: files that may still be read by OCR.
        ends: processor seconds of this process at which reading stops.
    """

    unpacked: int = _UNPACKED
    files: int = _FILES
    scans: int = MAX_SCANS
    ends: float = field(default_factory=lambda: time.process_time() + _SECONDS)

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.process_time() > self.ends


def too_large(size: int, most: int = MAX_FILE) -> str:
    """Why a file of so many bytes is not read; empty when it is."""
    return f"not read: {size >> 20} MiB, more than the {most >> 20} MiB that are read" if size > most else ""
