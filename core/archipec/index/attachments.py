"""The files of a message, and the files in them: what each is called, says, and is.

What can't be read is said of the file, and costs nothing else its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from archipec.errors import IntegrityError
from archipec.index.extraction import archive, cms, office
from archipec.index.extraction.charset import decode_text
from archipec.index.extraction.format import FileFormat, detect_format, media_type_of
from archipec.index.extraction.limits import (
    MAX_DEPTH,
    MAX_ENCODED,
    MAX_FILE,
    MAX_FILE_TEXT,
    TOO_LONG,
    TOO_MUCH_TEXT,
    TOO_MUCH_UNPACKED,
    Extracted,
    ReadingBudget,
    too_large,
)
from archipec.index.extraction.mail import leaves, part_text
from archipec.index.extraction.markup import ELEMENTS, html_text, xml_text
from archipec.index.extraction.ocr import ocr_text
from archipec.index.extraction.pdf import NO_TEXT, pdf_text
from archipec.index.extraction.rtf import rtf_text
from archipec.index.extraction.tree import parse_tree, root_name
from archipec.index.filings import FILING_ROOTS, filing_in
from archipec.index.header import clean_text, read_fields
from archipec.index.invoices import INVOICE_ROOTS, SDI_CODES, embedded_files, invoices_in, sdi_message
from archipec.index.record import AttachedFile, Filing, Invoice, SdiMessage
from archipec.pec.headers import header_block
from archipec.pec.mime import Part, entity

__all__ = ["HARMFUL", "AttachmentReader", "ReadingOptions"]

HARMFUL: Final = "not read: a file of this message ends the program that reads it, or takes it too long"
"""Why files are not opened again."""

_MAX_NAME: Final = 255  # characters
_LAYERS: Final = (".p7m", ".tsd", ".p7s", ".b64", ".pem")
_FOLDERS: Final = re.compile(r"[\\/]+")
_XML_BLOCK: Final = 256 * 1024
_MAX_BODY: Final = 4 << 20  # bytes of a text that is no file, as they stand in the message
_CUT: Final = f"only the first {_MAX_BODY >> 20} MiB of its text are read"


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How files are read.

    Attributes:
        refusal: why they are not even opened, to be said of each; empty when they are.
        ocr: those with images of text by ocrmypdf.
    """

    refusal: str = ""
    ocr: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    """A file to be read.

    Attributes:
        path, media_type: as of `AttachedFile`.
        name: its own name.
        depth: how many files it is in.
        signed_name: the name with which it was signed; empty where it was not.
    """

    path: str
    name: str
    media_type: str
    content: bytes
    depth: int = 0
    signed_name: str = ""


@dataclass(slots=True)
class AttachmentReader:
    """Reads files one after the other, at the cost of one budget; what it found is in its attributes.

    Attributes:
        subject: of the message.
        texts: (position of the file, text) of those that have some.
    """

    subject: str
    options: ReadingOptions = ReadingOptions()
    budget: ReadingBudget = field(default_factory=ReadingBudget)
    files: list[AttachedFile] = field(default_factory=list)
    texts: list[tuple[int, str]] = field(default_factory=list)
    invoices: list[Invoice] = field(default_factory=list)
    sdi_messages: list[SdiMessage] = field(default_factory=list)
    filings: list[Filing] = field(default_factory=list)

    def read_part(self, part: Part, parent: _File | None = None) -> None:
        """Read a file that stands in a message, or in a message in a file."""
        name = _own_name(part.name) or _unnamed(part)
        encoded = part.end - part.body
        path, depth = (f"{parent.path}/{name}", parent.depth + 1) if parent else (name, 0)
        refusal = self.options.refusal or too_large(encoded, MAX_ENCODED)
        if refusal:
            self._say_refused(path, part, refusal, depth)
            return
        try:
            content = part.content()
        except IntegrityError as error:
            self._say_refused(path, part, f"not read: {error.message}", depth)
            return
        self._read(_File(path, name, part.media_type, content, depth))

    def read_bodies(
        self, message: Part, parent: _File | None = None, *, repeats: bool = True
    ) -> Iterator[Extracted]:
        """Yield the texts of a message that are no files, and read its files.

        Args:
            parent: the file that the message is.
            repeats: give another form of a text too, where it says more: HTML beside plain text.
        """
        plain = ""
        for leaf in leaves(message):
            if leaf.is_file:
                self.read_part(leaf.part, parent)
            elif not leaf.is_repeat:
                yield (body := _body(leaf.part, self.budget))
                plain = body.text
            elif repeats:
                body = _body(leaf.part, self.budget)
                if not set(body.text.split()) <= set(plain.split()):
                    yield body

    def _read(self, file: _File) -> None:
        if file.depth:
            self.budget.files -= 1
        number = self._say(
            AttachedFile(path=file.path, media_type=file.media_type, size=len(file.content), depth=file.depth)
        )
        problem = self._refusal(file)
        if problem:
            self.files[number] = replace(self.files[number], problem=problem)
            return
        structure = cms.as_cms(file.content)
        if structure is not None:
            unwrapped = cms.unwrap(structure)
            self.files[number] = replace(
                self.files[number],
                problem=unwrapped.problem,
                signers=tuple(map(clean_text, unwrapped.signers)),
            )
            if unwrapped.content is not None:
                self.budget.unpacked -= len(unwrapped.content)
                self._read(
                    _inside(
                        file,
                        _without_layer(file.name),
                        unwrapped.content,
                        signed_name=file.signed_name or file.name,
                    )
                )
            return
        try:
            text, problem = self._text(file, number)
        except MemoryError:
            text, problem = "", "not read: it takes too much memory"
        # What reads files was written for honest ones: a hostile one may make it raise almost anything.
        except Exception as error:  # noqa: BLE001
            text, problem = "", f"not read: {type(error).__name__} while reading it"
        text = text.strip()
        if len(text) > MAX_FILE_TEXT:
            text, problem = text[:MAX_FILE_TEXT], problem or TOO_MUCH_TEXT
        if text:
            self.texts.append((number, text))
        if problem:
            self.files[number] = replace(self.files[number], problem=problem)

    def _say_refused(self, path: str, part: Part, problem: str, depth: int) -> None:
        self._say(
            AttachedFile(
                path=path,
                media_type=part.media_type,
                size=part.end - part.body,
                problem=problem,
                depth=depth,
            )
        )

    def _say(self, file: AttachedFile) -> int:
        self.files.append(file)
        return len(self.files) - 1

    def _refusal(self, file: _File) -> str:
        """Why a file is not even opened; empty when it is."""
        if refusal := too_large(len(file.content), MAX_FILE):
            return refusal
        if file.depth > MAX_DEPTH:
            return f"not read: more than {MAX_DEPTH} files in one another"
        if file.depth and self.budget.files < 0:
            return "not read: there are more files in files than are read"
        if file.depth and self.budget.unpacked < 0:
            return TOO_MUCH_UNPACKED
        if self.budget.is_over:
            return TOO_LONG
        return ""

    def _text(self, file: _File, number: int) -> Extracted:
        """The text of a file that is not signed; what is in it is read too."""
        match detect_format(file.content, file.name, file.media_type):
            case FileFormat.PDF:
                return self._pdf(file)
            case FileFormat.ZIP:
                return self._zip(file)
            case FileFormat.MAIL:
                return self._mail(file)
            case FileFormat.XML:
                return self._xml(file, number)
            case FileFormat.HTML:
                return html_text(file.content, "", self.budget)
            case FileFormat.TEXT:
                text, oddity = decode_text(file.content[: 4 * MAX_FILE_TEXT], "")
                return Extracted(text, oddity)
            case FileFormat.RTF:
                return rtf_text(file.content, self.budget)
            case FileFormat.LEGACY_OFFICE:
                return Extracted("", _legacy(file.content))
            case FileFormat.ARCHIVE:
                return Extracted("", "not read: compressed, but not a zip file")
            case _:
                return Extracted("")

    def _pdf(self, file: _File) -> Extracted:
        found = pdf_text(file.content, self.budget)
        if found.problem != NO_TEXT or not self.options.ocr or self.budget.scans <= 0:
            return found
        self.budget.scans -= 1
        return ocr_text(file.content)

    def _zip(self, file: _File) -> Extracted:
        try:
            opened = archive.open_zip(file.content)
        except IntegrityError as error:
            return Extracted("", error.message)
        with opened:
            if office.is_office(opened):
                return office.office_text(opened, self.budget)
            left_out = 0
            for member in archive.members(opened, self.budget):
                if self.budget.files <= 0 or self.budget.is_over:
                    left_out += 1
                    continue
                name = _own_name(member.name)
                if member.content is None:
                    self.budget.files -= 1
                    self._say(
                        AttachedFile(
                            path=f"{file.path}/{name}",
                            media_type=media_type_of(name),
                            size=member.size,
                            problem=member.problem,
                            depth=file.depth + 1,
                        )
                    )
                else:
                    self._read(_inside(file, name, member.content))
        return Extracted(
            "", f"{left_out} of the files in it are not read: there are too many" if left_out else ""
        )

    def _mail(self, file: _File) -> Extracted:
        fields = read_fields(header_block(file.content))
        heading = [fields.subject, *(f"{one.name} {one.address}" for one in fields.parties)]
        bodies = list(self.read_bodies(entity(file.content), file))
        problems = [one.problem for one in bodies if one.problem]
        return Extracted(
            "\n".join([*heading, *(one.text for one in bodies)]), problems[0] if problems else ""
        )

    def _xml(self, file: _File, number: int) -> Extracted:
        name = root_name(file.content)
        if name in INVOICE_ROOTS or name in SDI_CODES or name in FILING_ROOTS:
            self._recognise(file, name, number)
        return xml_text(_blocks(file.content), ELEMENTS, self.budget)

    def _recognise(self, file: _File, name: str, number: int) -> None:
        root = parse_tree(file.content)
        if root is None:
            return
        if name in INVOICE_ROOTS:
            self.invoices += invoices_in(root, number, file.signed_name or file.name)
            for inner_name, content in embedded_files(root):
                self._read(_inside(file, _own_name(inner_name) or "attachment", content))
        elif name in SDI_CODES:
            self.sdi_messages.append(sdi_message(root, SDI_CODES[name], number, file.name))
        else:
            self.filings.append(filing_in(root, name, number, self.subject))


def _body(part: Part, budget: ReadingBudget) -> Extracted:
    """The text of a part that is no file."""
    cut = part._replace(end=min(part.end, part.body + _MAX_BODY))
    try:
        if part.media_type == "text/html":
            text, problem = html_text(cut.content(), part.parameter("charset"), budget)
        else:
            text, problem = part_text(cut)
    except IntegrityError as error:
        return Extracted("", f"part of its text: {error.message}")
    return Extracted(text, problem if cut.end == part.end else _CUT)


def _inside(outer: _File, name: str, content: bytes, signed_name: str = "") -> _File:
    return _File(
        f"{outer.path}/{name}",
        name.rpartition("/")[2],
        media_type_of(name),
        content,
        outer.depth + 1,
        signed_name,
    )


def _own_name(name: str) -> str:
    """A name that others gave, on one line, with `/` after folders alone."""
    return "/".join(one for one in _FOLDERS.split(clean_text(name).strip()) if one)[-_MAX_NAME:]


def _unnamed(part: Part) -> str:
    return "message.eml" if part.media_type == "message/rfc822" else "attachment"


def _without_layer(name: str) -> str:
    for layer in _LAYERS:
        if name.lower().endswith(layer) and len(name) > len(layer):
            return name[: -len(layer)]
    return name


def _legacy(content: bytes) -> str:
    """Why a file of the older format of office programs is not read; newer ones are in such a file when encrypted."""
    if "EncryptedPackage".encode("utf-16-le") in content:
        return "not read: encrypted with a password"
    return "not read: a document in the format of before 2007"


def _blocks(content: bytes) -> Iterator[bytes]:
    return (content[at : at + _XML_BLOCK] for at in range(0, len(content), _XML_BLOCK))
