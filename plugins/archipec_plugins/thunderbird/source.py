"""The Thunderbird source at work: finds the folders in a profile, or in a part of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from archipec.contract import Context, Skipped
from archipec.errors import PermanentError, Scope
from archipec.language import _
from archipec_plugins.files.escape import escape
from archipec_plugins.files.folders import HeaderSource, MailFolder, SkippedFiles, UniqueNames
from archipec_plugins.files.reading import check_path, kind_of, read_error
from archipec_plugins.files.records import PathConfig
from archipec_plugins.maildir.source import MaildirFolder
from archipec_plugins.mbox.dialect import Dialect
from archipec_plugins.mbox.mozilla_status import MozillaStatus
from archipec_plugins.mbox.source import begins_like_mbox, mbox_folder

_STORES: Final = ("Mail", "ImapMail")
_SUBFOLDERS: Final = ".sbd"
_NO_FOLDERS: Final = (".msf", ".dat", ".html", ".toc", ".json", ".sqlite", ".mozmsgs", ".js")
_MAX_DEPTH: Final = 50


@contextmanager
def open_source(config: PathConfig, context: Context) -> Iterator[HeaderSource]:
    """Open a profile, its ``Mail`` folder, or the folder of an account.

    Raises:
        PermanentError: there is no folder of Thunderbird's.
    """
    path = config.path
    check_path(path)
    skipped, status = SkippedFiles(context), MozillaStatus()
    finder = _Finder(context, skipped, status)

    def mail_folders() -> list[MailFolder]:
        # Every listing counts anew.
        status.deleted = status.partial = 0
        return finder.mail_folders(path)

    if not finder.mail_folders(path):
        raise PermanentError(
            _("there are no folders of Thunderbird in {path}").format(path=path),
            hint=_('give a profile, or what is in its "Mail" or "ImapMail"'),
        )
    yield _ThunderbirdSource(mail_folders, skipped, status)
    if status.deleted:
        context.log.info("deleted messages passed over: %d", status.deleted)
    if status.partial:
        context.log.warning(
            _("messages left out because Thunderbird downloaded only their beginning: %d"), status.partial
        )


class _ThunderbirdSource(HeaderSource):
    def __init__(
        self, find: Callable[[], list[MailFolder]], skipped: SkippedFiles, status: MozillaStatus
    ) -> None:
        super().__init__(find, skipped)
        self._status = status

    def skipped(self) -> Iterator[Skipped]:
        """Messages of which Thunderbird has only the beginning, too."""
        yield from super().skipped()
        for number in range(self._status.partial):
            yield Skipped(
                _("partial message {number}").format(number=number + 1),
                _("Thunderbird downloaded only its beginning"),
            )


class _Finder:
    def __init__(self, context: Context, skipped: SkippedFiles, status: MozillaStatus) -> None:
        self._context = context
        self._skipped = skipped
        self._status = status

    def mail_folders(self, path: Path) -> list[MailFolder]:
        """Return all folders, account by account."""
        names = UniqueNames()
        try:
            return [
                mail_folder
                for account, name in _accounts(path)
                for mail_folder in self._folders(str(account), name, names, 0)
            ]
        except OSError as error:
            raise read_error(error, path, Scope.ENDPOINT) from error

    def _folders(self, directory: str, parent: str, names: UniqueNames, depth: int) -> Iterator[MailFolder]:
        """Yield the folders in a directory, each before those below it."""
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower().endswith(_NO_FOLDERS):
                continue
            stem = entry.name.removesuffix(_SUBFOLDERS)
            name = f"{parent}/{escape(stem)}" if parent else escape(stem)
            if entry.is_symlink():
                self._skipped.note(name, _("it is a link"))
            elif not entry.is_dir():
                yield from self._mbox(entry, name, names)
            elif entry.name.endswith(_SUBFOLDERS):
                if depth < _MAX_DEPTH:
                    yield from self._folders_below(entry.path, name, names, depth + 1)
                else:
                    self._skipped.note(
                        name, _("it lies more than {depth} folders deep").format(depth=_MAX_DEPTH)
                    )
            elif os.path.isdir(f"{entry.path}/cur"):  # noqa: PTH112
                yield MaildirFolder(names.take(name), entry.path, self._context, self._skipped, self._status)

    def _folders_below(
        self, directory: str, parent: str, names: UniqueNames, depth: int
    ) -> Iterator[MailFolder]:
        try:
            yield from self._folders(directory, parent, names, depth)
        except OSError as error:
            self._skipped.note(
                parent, _("it can't be read: {reason}").format(reason=(error.strerror or str(error)).lower())
            )

    def _mbox(self, entry: os.DirEntry[str], name: str, names: UniqueNames) -> Iterator[MailFolder]:
        try:
            if begins_like_mbox(entry.path):
                yield mbox_folder(
                    names.take(name), entry.path, Dialect.RD, self._context, self._skipped, self._status
                )
            elif entry.stat().st_size and "." not in entry.name:
                self._skipped.note(name, _("it doesn't begin with a From line"))
        except OSError as error:
            kind = kind_of(entry)
            reason = kind or _("it can't be read: {reason}").format(
                reason=(error.strerror or str(error)).lower()
            )
            self._skipped.note(name, reason, message=not kind)


def _accounts(path: Path) -> list[tuple[Path, str]]:
    """Return the directories of accounts, each with the name its folders begin with."""
    stores = [path / store for store in _STORES if (path / store).is_dir()]
    if not stores and not _is_account(path):
        stores = [path]
    if not stores:
        return [(path, "")]
    return [
        (account, escape(account.name))
        for store in stores
        for account in sorted(store.iterdir())
        if account.is_dir() and not account.is_symlink() and not account.name.startswith(".")
    ]


def _is_account(path: Path) -> bool:
    """Return whether folders lie right here."""
    with os.scandir(path) as entries:
        return any(
            entry.name.endswith((".msf", _SUBFOLDERS))
            or (entry.is_file(follow_symlinks=False) and _begins_like_mbox(entry.path))
            or (entry.is_dir(follow_symlinks=False) and (Path(entry.path) / "cur").is_dir())
            for entry in entries
        )


def _begins_like_mbox(path: str) -> bool:
    try:
        return begins_like_mbox(path)
    except OSError:
        return False
