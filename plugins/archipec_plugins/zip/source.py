"""The zip source at work: finds Maildirs, .eml files and mboxes in one zip file, or in several that belong together."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from archipec.contract import Context
from archipec.errors import ArchipecError, IntegrityError, PermanentError, Scope
from archipec.language import _
from archipec_plugins.eml.source import TOP
from archipec_plugins.files.archives import archive_problems, is_archive
from archipec_plugins.files.escape import escape
from archipec_plugins.files.folders import FolderSource, HeaderSource, MailFolder, SkippedFiles, UniqueNames
from archipec_plugins.files.reading import check_path, kind_of, open_file, read_error, subfolders
from archipec_plugins.files.sniff import SNIFFED, rejection_reason
from archipec_plugins.files.unsealed import is_loose
from archipec_plugins.maildir.names import folder_name
from archipec_plugins.mbox.folder import MboxFolder, OpenedMbox
from archipec_plugins.zip import ZipSinkConfig, ZipSourceConfig
from archipec_plugins.zip.archive import ZipArchive
from archipec_plugins.zip.directory import ZipMember
from archipec_plugins.zip.folders import MOST_ARCHIVES, BrokenFolder, IndexedZipMbox, MembersFolder, has_table
from archipec_plugins.zip.stream import ZipStream

_ENDING: Final = ".zip"
# What systems and mail servers put beside mail.
_NO_MAIL = re.compile(
    r"(?:__MACOSX/.*|(?:.*/)?(?:\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini|maildirfolder|maildirsize"
    r"|dovecot[^/]*|subscriptions|[^/]*\.(?:toc|msf)))",
    re.IGNORECASE,
)
# What can't be read and is called so is taken for no mail.
_OTHER_FILE = re.compile(r"\.(?:xml|pdf|html?|txt|p7[ms]|jpe?g|png|json|md|docx?|xlsx?|csv)\Z", re.IGNORECASE)
_MBOX_NAME = re.compile(r"(.+)\.mbo?x", re.IGNORECASE)


@contextmanager
def open_source(config: ZipSourceConfig, context: Context) -> Iterator[FolderSource]:
    """Open a zip file, or a folder of them.

    Raises:
        PermanentError: there is none, or no mail in it.
    """
    status = check_path(config.path)
    skipped = SkippedFiles(context)
    one_file = stat.S_ISREG(status.st_mode)
    paths = [config.path] if one_file else zips_in(config.path, skipped)
    if not paths and not is_archive(config.path):
        raise PermanentError(_("there is no zip file in {path}").format(path=config.path))
    if len(paths) > MOST_ARCHIVES:
        raise PermanentError(
            _("{path} holds more than {most} zip files").format(path=config.path, most=MOST_ARCHIVES)
        )
    with ExitStack() as opened:
        archives, broken = _open_all(paths, opened)
        mail_folders = _Sorter(config, archives, context, skipped).mail_folders() + broken
        if not mail_folders and (one_file or not is_archive(config.path)):
            raise PermanentError(
                _("there is no mail in {path}").format(path=config.path),
                hint=_("zips of Maildirs, .eml or mbox files are read"),
            )
        # Reading headers first would unpack an mbox over and over.
        kind = (
            FolderSource
            if any(isinstance(mail_folder, MboxFolder) for mail_folder in mail_folders)
            else HeaderSource
        )
        yield kind(lambda: mail_folders, skipped, lambda: () if one_file else _problems(config.path, context))


def _problems(path: Path, context: Context) -> Iterator[ArchipecError]:
    from archipec_plugins.zip.sink import ZipSink

    return archive_problems(path, "zip", lambda: ZipSink(ZipSinkConfig(path), context.log))


def zips_in(path: Path, skipped: SkippedFiles) -> list[Path]:
    """Return the zip files of a folder in the order of their numbers; note what else may be mail."""
    found: list[Path] = []
    try:
        for relative, entries in subfolders(str(path), skip=skipped.skip):
            for entry in entries:
                name = entry.name.lower()
                if not name.endswith((_ENDING, ".eml")) or entry.is_dir():
                    continue
                where = escape(f"{relative}/{entry.name}" if relative else entry.name)
                if kind := kind_of(entry):
                    skipped.note(where, kind, message=kind == _("it is a link"))
                elif relative:
                    skipped.note(where, _("it lies in a subfolder: read that by itself"))
                elif name.endswith(_ENDING):
                    found.append(path / entry.name)
                else:
                    skipped.note(where, _("it is no zip file: give --from eml:FOLDER to read it"))
    except OSError as error:
        raise read_error(error, path, Scope.ENDPOINT) from error
    return sorted(found, key=lambda each: _natural(each.name))


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which ``part2`` comes before ``part10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]{1,18})", name)]


def _open_all(paths: list[Path], opened: ExitStack) -> tuple[list[ZipArchive], list[MailFolder]]:
    archives: list[ZipArchive] = []
    broken: list[MailFolder] = []
    for path in paths:
        try:
            file = open_file(os.path.realpath(path))
            opened.callback(file.close)
            archives.append(ZipArchive(file, str(path), path.name))
        except OSError as error:
            raise read_error(error, path, Scope.FOLDER) from error
        except PermanentError as error:
            if len(paths) == 1:
                raise
            broken.append(BrokenFolder(escape(path.name), error))
    return archives, broken


class _Reason(NamedTuple):
    """Why a member is left out, and whether it is mail all the same, or may be."""

    reason: str
    message: bool = True


class _Sorter:
    """Sorts members into folders."""

    def __init__(
        self, config: ZipSourceConfig, archives: list[ZipArchive], context: Context, skipped: SkippedFiles
    ) -> None:
        self._config = config
        self._archives = archives
        self._context = context
        self._skipped = skipped
        self._messages: dict[str, MembersFolder] = {}
        self._maildirs: set[str] = set()
        self._mboxes: dict[str, list[tuple[ZipArchive, ZipMember]]] = {}

    def mail_folders(self) -> list[MailFolder]:
        """Return the folders of mail, in the order in which they are met."""
        for number, archive in enumerate(self._archives):
            beside = self._look_around(archive)
            for member in archive.directory:
                if member.name.endswith("/") and not member.size:
                    continue
                what = _display(archive, member)
                if _NO_MAIL.fullmatch(member.name):
                    self._skipped.note(what, _("it is a file of a program's own"), message=False, usual=True)
                elif reason := archive.refusal(member):
                    self._skipped.note(what, reason, message=not _OTHER_FILE.search(member.name))
                elif why := self._place(number, archive, member, beside):
                    self._skipped.note(what, why.reason, message=why.message)
        names = UniqueNames()
        for name in self._messages:
            names.take(name)
        mail_folders: list[MailFolder] = list(self._messages.values())
        return mail_folders + [self._mbox(names.take(name), parts) for name, parts in self._mboxes.items()]

    def _look_around(self, archive: ZipArchive) -> dict[str, list[str]]:
        """Note which folders of a zip are Maildirs: in those ``tmp`` holds what was never delivered.

        Returns:
            The names of XML files by folder: they tell what lies beside them.
        """
        self._maildirs = set()
        certification_data: dict[str, list[str]] = {}
        for member in archive.directory:
            parent, _, name = member.name.replace("\\", "/").rpartition("/")
            maildir, _, directory = parent.rpartition("/")
            if directory in ("cur", "new"):
                self._maildirs.add(maildir)
            if name.lower().endswith(".xml"):
                certification_data.setdefault(parent, []).append(name)
        return certification_data

    def _place(
        self, number: int, archive: ZipArchive, member: ZipMember, beside: Mapping[str, Iterable[str]]
    ) -> _Reason | None:
        """Put a member where it belongs; return why it belongs nowhere."""
        parent, _ignored, name = member.name.replace("\\", "/").rpartition("/")
        maildir, _ignored, directory = parent.rpartition("/")
        if directory == "tmp" and maildir in self._maildirs:
            return _Reason(_("it was never delivered: it lies in tmp"))
        if not member.size:
            is_meant = directory in ("cur", "new") or name.lower().endswith(".eml")
            return _Reason(_("it is empty"), message=is_meant)
        if directory in ("cur", "new"):
            self._add(folder_name(maildir), number, member)
            return None
        if name.lower().endswith(".eml"):
            loose = is_loose(name, lambda: beside.get(parent, ()))
            self._add(escape(parent) or TOP, number, member, loose=loose)
            return None
        match = _MBOX_NAME.fullmatch(member.name)
        folder = escape(match[1] if match else member.name)
        try:
            beginning = archive.open(member).read(SNIFFED)
        except IntegrityError as error:
            return _Reason(error.message.rpartition(": ")[2], message=not _OTHER_FILE.search(name))
        if beginning.lstrip(b"\r\n").startswith(b"From ") or folder in self._mboxes:
            self._mboxes.setdefault(folder, []).append((archive, member))
            return None
        if beginning.startswith(b"PK\x03\x04"):
            return _Reason(_("it is a zip in a zip: unpack it first"))
        if reason := rejection_reason(beginning, name):
            return _Reason(reason, message=False)
        self._add(escape(parent) or TOP, number, member)
        return None

    def _add(self, folder: str, number: int, member: ZipMember, *, loose: bool = False) -> None:
        mail_folder = self._messages.get(folder)
        if mail_folder is None:
            mail_folder = self._messages[folder] = MembersFolder(
                folder, self._archives, self._context, takes_loose=self._config.loose
            )
        mail_folder.add(number, member, loose=loose)

    def _mbox(self, name: str, parts: list[tuple[ZipArchive, ZipMember]]) -> MailFolder:
        path = parts[0][0].path
        if len(parts) == 1 and self._config.dialect is None and has_table(path):
            return IndexedZipMbox(name, path, self._context)
        stream = ZipStream(parts)
        state = "|".join(f"{archive.name}:{archive.stamp}:{member.number}" for archive, member in parts)
        stamp = hashlib.blake2b(state.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()

        @contextmanager
        def opener() -> Iterator[OpenedMbox]:
            yield OpenedMbox(stream, stamp)

        return MboxFolder(name, opener, self._config.dialect, self._context, self._skipped)


def _display(archive: ZipArchive, member: ZipMember) -> str:
    return escape(f"{archive.name}: {member.name}")
