"""Writes what a certified message holds into files: the original, its attachments, the certification data.

Names come from whoever sent the message. None of them is ever a path, and nothing that exists is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from archipec.errors import ArchipecError, IntegrityError, from_os_error
from archipec.new_files import make_folder, write_new_file
from archipec.paths import safe_name
from archipec.pec.mime import Part, children, entity
from archipec.pec.structure import Structure

_DEPTH = 20
_SIGNATURES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
_MAX_FILES = 1000
_SAME_NAME = 10_000


def extract(structure: Structure, directory: Path) -> Iterator[Path | ArchipecError]:
    """Write `daticert.xml`, `postacert.eml` and, in `attachments`, what is attached to the original.

    The folder is made if it is not there (0700; files 0600). Where a name is taken, a number is added.

    Yields:
        each file written; an error where a part can't be decoded, after which the next one follows.

    Raises:
        ArchipecError: a file can't be written.
    """
    make_folder(directory)
    if structure.daticert is not None:
        yield _written(structure.daticert, directory, "daticert.xml")
    if structure.postacert is None:
        return
    written = _written(structure.postacert, directory, "postacert.eml")
    yield written
    if isinstance(written, ArchipecError):
        return
    parts = attached_parts(entity(structure.postacert.content()))
    first = next(parts, None)
    if first is not None:
        yield from _write_attachments(chain((first,), parts), _own_folder(directory, "attachments"))


def extract_attachments(message: Part, directory: Path) -> Iterator[Path | ArchipecError]:
    """Write what is attached to a message into a folder, which is made if it is needed, as `extract` does.

    What is there and equal stays as it is.

    Args:
        message: as `archipec.pec.mime.entity` gives it.
    """
    parts = attached_parts(message)
    first = next(parts, None)
    if first is None:
        return iter(())
    make_folder(directory)
    return _write_attachments(chain((first,), parts), directory, keep_equal=True)


def _write_attachments(
    parts: Iterator[Part], folder: Path, *, keep_equal: bool = False
) -> Iterator[Path | ArchipecError]:
    for number, part in enumerate(parts):
        if number == _MAX_FILES:
            yield IntegrityError(
                f"the original has more than {_MAX_FILES} attachments: the others are left out"
            )
            return
        yield _written(part, folder, safe_name(part.name or _unnamed(part)), keep_equal=keep_equal)


def attached_parts(part: Part, depth: int = 0) -> Iterator[Part]:
    """Yield the parts of a message that a mail program would offer to save, without the signature over them; an attached message is one of them, and not entered."""
    inside = children(part) if depth < _DEPTH else []
    if inside:
        for child in inside:
            yield from attached_parts(child, depth + 1)
        return
    if part.media_type in _SIGNATURES:
        return
    attached = part.disposition.lower().startswith(b"attachment") or part.media_type == "message/rfc822"
    if depth and (attached or part.name):
        yield part


def _unnamed(part: Part) -> str:
    return "message.eml" if part.media_type == "message/rfc822" else "attachment.bin"


def _written(part: Part, directory: Path, name: str, *, keep_equal: bool = False) -> Path | ArchipecError:
    try:
        content = part.content()
    except IntegrityError as error:
        return IntegrityError(f"{name}: {error.message}")
    return write_new_file(directory, name, content, keep_equal=keep_equal)


def _own_folder(directory: Path, name: str) -> Path:
    """A new folder: one that is there could lead elsewhere."""
    path = directory / name
    for number in range(2, _SAME_NAME):
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            path = directory / f"{name}-{number}"
            continue
        except OSError as error:
            raise from_os_error(error, path) from error
        return path
    raise from_os_error(FileExistsError(17, "too many folders of that name"), path)
