"""Typesets a document as PDF/A-3 by typst.

What is shown reaches typst as JSON, never as source, and the only files that it can read are those that are embedded, in
a folder of their own. It uses the fonts that it brings along, so that a document looks the same, and has the same
bytes, on every machine.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from datetime import UTC
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from archipec import __version__
from archipec.errors import PermanentError, counted, from_os_error
from archipec.language import _, speaking, written
from archipec.report.pdf.document import Embedded, PdfDocument

__all__ = ["MAX_EMBEDDED", "is_available", "typeset"]

MAX_EMBEDDED: Final = 200 << 20
"""Bytes of all files inside one PDF: typst holds them in memory three times."""

_STANDARD: Final = "a-3a"
_TEMPLATE: Final = Path(__file__).with_name("template.typ")


def is_available() -> bool:
    """Tell whether typst is installed."""
    return find_spec("typst") is not None


def typeset(document: PdfDocument) -> bytes:
    """Return a document as PDF/A-3a: the same bytes for the same document. Errors are in the language that is spoken, which
    need not be the document's.

    Raises:
        PermanentError: typst is not installed, or there is too much to embed.
        ArchipecError: what is to be embedded can't be read, or there is no room for it on the disk.
    """
    typst = _typst()
    _check_size(document.embedded)
    with _folder() as folder:
        files = [_lay_down(one, Path(folder) / f"{number}") for number, one in enumerate(document.embedded)]
        given = {
            "title": document.title,
            "subtitle": document.subtitle,
            "lang": document.language,
            "date": list(document.date.astimezone(UTC).timetuple()[:6]),
            **_words(document.language),
            "blocks": document.blocks_as_json(),
            "embedded": files,
        }
        try:
            pdf = typst.compile(
                _TEMPLATE.read_bytes(),
                root=folder,
                ignore_system_fonts=True,
                pdf_standards=[_STANDARD],
                sys_inputs={"document": json.dumps(given)},
            )
        except typst.TypstError as error:
            raise PermanentError(
                _("the PDF can't be made: {reason}").format(reason=error.message),
                hint=_("this is a bug in archipec: report it with this line"),
            ) from error
    assert isinstance(pdf, bytes)
    return pdf


def _words(language: str) -> dict[str, str]:
    """Return what stands at the foot of each page."""
    with speaking(language):
        return {
            "made": _("made by archipec {version}").format(version=__version__),
            "page": _("page {page} of {pages}"),
        }


def _folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder, 0700, for the files that typst reads."""
    try:
        return tempfile.TemporaryDirectory(prefix="archipec-pdf-")
    except OSError as error:
        raise from_os_error(error, error.filename or tempfile.gettempdir()) from error


def _typst() -> Any:
    if not is_available():
        raise PermanentError(
            _("no PDF can be made: the package typst is not installed"),
            hint=_("install it with the extra: pip install 'archipec[report]'"),
        )
    return import_module("typst")


def _check_size(files: Sequence[Embedded]) -> None:
    size = sum(one.size for one in files)
    if size > MAX_EMBEDDED:
        raise PermanentError(
            _("{messages} are too large for one PDF: {size} MB together, and it holds {most} MB").format(
                messages=counted(len(files), "message"),
                size=written(size / (1 << 20), 1),
                most=MAX_EMBEDDED >> 20,
            ),
            hint=_("choose fewer, by a shorter period for example, and make several PDFs"),
        )


def _lay_down(one: Embedded, path: Path) -> dict[str, str]:
    try:
        path.write_bytes(one.read())
    except OSError as error:
        raise from_os_error(error, error.filename or path) from error
    return {
        "name": one.name,
        "file": path.name,
        "relationship": one.relationship,
        "type": one.media_type,
        "description": one.description,
    }
