"""Puts messages into the local folders of a profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from archipec.contract import ContentKey, Context, Item, Receipt, State
from archipec.errors import IntegrityError, MissingCopy, PermanentError, Unsupported, from_os_error
from archipec.language import _
from archipec_plugins.files.streams import item_chunks, lookup_error, stream_of
from archipec_plugins.mbox.mboxrd import chunks_of
from archipec_plugins.thunderbird import ThunderbirdSinkConfig, folder_file
from archipec_plugins.thunderbird.names import file_name, folder_path
from archipec_plugins.thunderbird.record import ViewEntry, ViewRecord
from archipec_thunderbird.lock import ProfileLock
from archipec_thunderbird.prefs import PREFS, read_prefs

_USUAL_LOCAL_FOLDERS: Final = "Mail/Local Folders"
_RECORDS = "archipec"
"""The directory of the profile with the records of views; Thunderbird shows nothing of it."""


@contextmanager
def open_sink(config: ThunderbirdSinkConfig, _context: Context) -> Iterator[ThunderbirdSink]:
    """Open a view; it says at once, not when the first messages have come, that Thunderbird is running."""
    root = local_folders(config.path)
    with ProfileLock(config.path):
        pass
    record = config.path / _RECORDS / f"{file_name(config.folder)}.view"
    try:
        known = ViewRecord(record)
    except OSError as error:
        raise from_os_error(error, record) from error
    yield ThunderbirdSink(config, root, known)


def local_folders(profile: Path) -> Path:
    """Return the directory of the local folders.

    Raises:
        PermanentError: this is no profile, or one without local folders.
        Unsupported: they are kept as Maildirs.
    """
    try:
        (profile / PREFS).stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PermanentError(
            _("there is no profile of Thunderbird at {profile}").format(profile=profile),
            hint=_('Thunderbird shows where it is: Help > Troubleshooting Information > "Profile Directory"'),
        ) from error
    except OSError as error:
        raise from_os_error(error, profile / PREFS) from error
    settings = read_prefs(profile)
    preferences = {name: value for name, value in settings.items() if isinstance(value, str)}
    server = f"mail.server.{preferences.get('mail.accountmanager.localfoldersserver', '')}"
    if "maildir" in preferences.get(f"{server}.storeContractID", ""):
        raise Unsupported(
            _("the profile {profile} keeps its local folders as a file for each message").format(
                profile=profile
            )
        )
    below, marker, rest = preferences.get(f"{server}.directory-rel", "").partition("[ProfD]")
    directory = profile / rest if marker and not below else profile / _USUAL_LOCAL_FOLDERS
    if not directory.is_dir():
        raise PermanentError(
            _("the profile {profile} has no local folders yet").format(profile=profile),
            hint=_("start Thunderbird with it once"),
        )
    return directory


class ThunderbirdSink:
    """Puts messages below a folder of a profile, each once; see `archipec.contract.Sink`.

    The profile is held against Thunderbird while files are written, and no longer.
    """

    def __init__(self, config: ThunderbirdSinkConfig, root: Path, record: ViewRecord) -> None:
        self._config = config
        self._root = root
        self._record = record
        self._puts: list[ContentKey] = []
        self._staged: dict[ContentKey, Item] = {}

    def put(self, item: Item) -> None:
        if item.key not in self._staged and self._record.get(item.key) is None:
            for _ in item_chunks(item):
                pass
            self._staged[item.key] = item
        self._puts.append(item.key)

    def commit(self) -> Sequence[Receipt]:
        """TransientError while Thunderbird runs."""
        staged, self._staged = self._staged, {}
        puts, self._puts = self._puts, []
        if staged:
            with ProfileLock(self._config.path):
                try:
                    self._take_back()
                    self._append(staged.values())
                except BaseException as error:
                    with suppress(OSError):
                        self._take_back()  # at the latest, the next run does it
                    if isinstance(error, OSError):
                        raise from_os_error(error, error.filename or self._root) from error
                    raise
        return [receipt for key in puts if (receipt := self.find(key)) is not None]

    def _take_back(self) -> None:
        """Mend what a run left that was killed."""
        if self._record.unfinished:
            for file, offset in self._record.unfinished.items():
                folder_file.take_back(self._root / file, offset)
            self._record.finish([])

    def _append(self, items: Iterable[Item]) -> None:
        by_file: dict[str, list[Item]] = {}
        for item in items:
            by_file.setdefault(folder_path(self._config.folder, item.folder), []).append(item)
        for file in by_file:
            folder_file.make_folder(self._root, file)
        self._record.begin({file: folder_file.end_of(self._root / file) for file in by_file})
        entries = []
        for file, group in by_file.items():
            places = folder_file.append(self._root / file, group)
            entries += [
                ViewEntry(item.key, offset, stored, file)
                for item, (offset, stored) in zip(group, places, strict=True)
            ]
        self._record.finish(entries)

    def find(self, key: ContentKey) -> Receipt | None:
        """Return the receipt of a message that was put here once, whatever became of it since."""
        entry = self._record.get(key)
        return None if entry is None else _receipt(entry)

    @contextmanager
    def read(self, receipt: Receipt) -> Iterator[BinaryIO]:
        """As long as Thunderbird has not moved it; its own bytes, or an error."""
        entry = self._record.get(receipt.key)
        if entry is None:
            raise IntegrityError(_("message {key} was never put into this folder").format(key=receipt.key))
        path = self._root / entry.file
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise MissingCopy(_("{path} is gone").format(path=path)) from None
        except OSError as error:
            raise lookup_error(error, str(path)) from error
        with file:
            file.seek(entry.offset)
            with stream_of(chunks_of(file, str(path), entry.stored, receipt.key)) as stream:
                yield stream

    def iterate(self) -> Iterator[Receipt]:
        """Yield a receipt for every message that was ever put here."""
        try:
            for entry in self._record:
                yield _receipt(entry)
        except OSError as error:
            raise lookup_error(error, str(self._root)) from error


def _receipt(entry: ViewEntry) -> Receipt:
    return Receipt(entry.key, State.STORED, entry.file)
