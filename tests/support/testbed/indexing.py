"""What is searched of a message, as the process that reads messages finds it."""

from __future__ import annotations

from collections.abc import Sequence

from archipec.index.attachments import ReadingOptions
from archipec.index.document import index_message
from archipec.index.record import AttachedFile, IndexedMessage, Place
from archipec.pec.anchors import Anchors
from archipec.pec.inspection import judge_dissected
from archipec.pec.structure import parse_structure
from archipec.simulator import Attachment, compose, shared_authority

TRUSTED = Anchors((shared_authority().root,))


def indexed(raw: bytes, options: ReadingOptions = ReadingOptions()) -> IndexedMessage:  # noqa: B008
    """Return what is searched of a message, whose seal may be one of the simulator's."""
    structure = parse_structure(raw)
    return index_message(raw, structure, judge_dissected(raw, structure, TRUSTED), options)


def with_files(*files: tuple[str, bytes], media_type: str = "application/octet-stream") -> bytes:
    """Return a message with files of these names."""
    return compose(attachments=[Attachment(name, content, media_type) for name, content in files])


def text_of(message: IndexedMessage, place: Place) -> str:
    """Return the texts of a place."""
    return "\n".join(one.text for one in message.texts if one.place is place)


def text_in(message: IndexedMessage, path: str) -> str:
    """Return the text of a file."""
    numbers = [number for number, one in enumerate(message.attachments) if one.path == path]
    return "\n".join(one.text for one in message.texts if one.attachment in numbers)


def file_at(message: IndexedMessage, path: str) -> AttachedFile:
    """Return the only file of a path."""
    (found,) = [one for one in message.attachments if one.path == path]
    return found


def paths(message: IndexedMessage) -> Sequence[str]:
    """Return the paths of all files, in their order."""
    return [one.path for one in message.attachments]
