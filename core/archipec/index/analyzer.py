"""What a worker process runs to find the words of a message; see `archipec.custody.analysis`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from archipec.index.extraction.limits import MAX_SCANS, OCR_SECONDS
from archipec.message import Json
from archipec.pec.anchors import Anchors
from archipec.pec.buffer import Octets

__all__ = ["FACTORY", "LARGEST_ANSWER", "MEMORY", "ReadingSettings", "make_analyzer"]

FACTORY: Final = "archipec.index.analyzer:make_analyzer"
SECONDS: Final = 60
"""For one message without OCR: reading stops by itself after 20 seconds of processor time, between pages or files."""
MEMORY: Final = 768 << 20
"""Bytes of address space: a file of 32 MiB, decoded and unpacked, and what pdfium makes of it."""
LARGEST_ANSWER: Final = 8 << 20
"""Bytes of an answer: each character of text may take six in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingSettings:
    """How messages are read; picklable.

    Attributes:
        anchors: whom to trust beyond the roots of PEC.
        names_only: of attachments take the names alone: reading them did harm.
        ocr: read scanned PDF files too, by ocrmypdf.
    """

    anchors: Anchors
    names_only: bool = False
    ocr: bool = False

    @property
    def seconds(self) -> int:
        """For one message."""
        return SECONDS + MAX_SCANS * OCR_SECONDS if self.ocr else SECONDS


def make_analyzer(settings: ReadingSettings) -> Callable[[Octets], Json]:
    """Return a function that answers, to a message, what `IndexedMessage.from_json` reads.

    All that it takes is imported here, so that no message is blamed for what is missing.
    """
    from lxml import etree  # type: ignore[import-untyped]  # noqa: F401

    from archipec.custody.analysis.inspections import Inspector
    from archipec.index.attachments import HARMFUL, ReadingOptions
    from archipec.index.document import index_message
    from archipec.index.extraction.pdf import is_available

    is_available()
    inspector = Inspector(settings.anchors)

    def analyze(raw: Octets) -> Json:
        structure, inspection = inspector.inspect(raw)
        options = ReadingOptions(HARMFUL if settings.names_only else "", settings.ocr)
        return index_message(raw, structure, inspection, options).as_json()

    return analyze
