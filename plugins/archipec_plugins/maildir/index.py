"""What an archive of Maildirs holds, by the names of its files; the manifest only repeats it."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256 as new_sha256
from itertools import islice
from pathlib import Path

from archipec.contract import Context
from archipec.inventory import Entry
from archipec.message import ContentKey, Item
from archipec.timestamp import TsaClient
from archipec_plugins.files import layout
from archipec_plugins.files.key_index import KeyIndex, NumberedStrings
from archipec_plugins.files.manifest import Line, Manifest, is_listable
from archipec_plugins.files.staging import Staging
from archipec_plugins.files.streams import unix_time
from archipec_plugins.files.timestamps import Timestamps
from archipec_plugins.files.tree import NewCopy, TreeSink
from archipec_plugins.maildir import MaildirSinkConfig, names

_PLACE = struct.Struct(">IQHIQ")  # directory, time, copy, info, size
_COPY = struct.Struct(">H")
_KEPT_IN = ("cur", "new")
_AT_ONCE = 20_000


def open_sink(config: MaildirSinkConfig, context: Context) -> closing[TreeSink]:
    """Open an archive."""
    maildir_for = layout.by_date if config.layout == "date" else layout.by_folder(str(config.path))
    return closing(_sink(config.path, maildir_for, config.timestamps, context))


def open_to_check(root: Path, context: Context) -> TreeSink:
    """Return the sink of an archive that is only read: `TreeSink.check_record` says whether it is whole."""
    return _sink(root, layout.by_date, Timestamps(TsaClient()), context)


def _sink(
    root: Path, maildir_for: Callable[[Item], str], timestamps: Timestamps, context: Context
) -> TreeSink:
    manifest = Manifest(str(root))
    return TreeSink(str(root), MaildirIndex(str(root), maildir_for, manifest), manifest, timestamps, context)


class MaildirIndex:
    """The paths of all copies by content key, read from the directories; see `archipec_plugins.files.tree.FileIndex`.

    A file that a mail program renamed is found again: flags are the only part it changes.

    Args:
        root: the archive's directory.
        maildir_of: tells the Maildir for an item, relative to the root.
    """

    sibling_dirs: tuple[str, ...] = ("tmp", "new")
    whole_paths = False

    def __init__(self, root: str, maildir_of: Callable[[Item], str], manifest: Manifest) -> None:
        self._root = root
        self._maildir_of = maildir_of
        self._manifest = manifest
        self._separator = ":"
        self._index: KeyIndex | None = None
        self._count = 0
        self._directories = NumberedStrings()
        self._infos = NumberedStrings()

    @property
    def loaded(self) -> bool:
        """Whether the directories were read yet."""
        return self._index is not None

    def prepare(self, staging: Staging) -> None:
        """Learn whether names may hold a colon.

        On Windows it would make a stream within a file of a shorter name; elsewhere it may be refused (FAT) or
        replaced by another character (network shares).
        """
        name = names.ArchivedName(0, new_sha256().hexdigest(), 1, 0, ":2,")
        self._separator = ":" if sys.platform != "win32" and staging.allows(str(name)) else ";"

    def new_copy(self, item: Item) -> NewCopy:
        """The time of change is that of receipt: mail programs take it for that."""
        time = unix_time(item.date)
        key, copies = item.key, self._copies(item.key)
        number = copies[0][1].copy + 1 if copies else 1
        info = names.info_of(item.flags, self._separator)
        name = names.ArchivedName(time, key.sha256, number, key.size, info)
        directory = f"{self._maildir_of(item)}/cur"
        changed = time if item.received is None else unix_time(item.received)
        return NewCopy(directory, str(name), changed, self._packed(directory, name))

    def add(self, copy: NewCopy, sha256: str) -> None:
        self._manifest.add(sha256, copy.path)
        if self._index is not None:
            self._index.add(bytes.fromhex(sha256), copy.place)
            self._count += 1

    def held(self) -> Iterator[Entry]:
        """Raises OSError: the directories can't be read."""
        for directory, name in self._walk():
            yield Entry(ContentKey(name.sha256, name.size), directory)

    def number(self) -> int | None:
        return None if self._index is None else self._count

    def key_of(self, line: Line) -> ContentKey:
        return names.key_of(line.path.rpartition("/")[2]) or ContentKey(line.sha256, 0)

    def existing(self, key: ContentKey) -> list[str]:
        """Raises OSError: the directories can't be read."""
        paths = self._paths(key)
        if not paths or all(os.path.exists(f"{self._root}/{path}") for path in paths):  # noqa: PTH110  many, as strings
            return paths
        self._refresh()
        return self._paths(key)

    def is_again(self, key: ContentKey) -> bool:
        return len(self._loaded().values(bytes.fromhex(key.sha256))) > 1

    def holds(self, sha256: str) -> bool:
        """Goes by what was there when the directories were read."""
        return bytes.fromhex(sha256) in self._loaded()

    def is_own(self, file: str) -> bool:
        return names.parse_archived(file) is not None

    def name_matches(self, path: str, sha256: str) -> bool:
        return names.hash_of(path.rpartition("/")[2]) == sha256

    def unlisted(self) -> Iterator[str]:
        """A file that was renamed since is listed."""
        for path, _ in self._unlisted():
            yield path

    def repair_manifest(self) -> None:
        for path, name in self._unlisted():
            self._manifest.add(name.sha256, path)

    def _unlisted(self) -> Iterator[tuple[str, names.ArchivedName]]:
        listed = KeyIndex(_COPY.size)
        for line in self._manifest:
            name = names.parse_archived(line.path.rpartition("/")[2])
            if name is not None:
                listed.add(bytes.fromhex(name.sha256), _COPY.pack(name.copy))
        for directory, name in self._walk():
            path = f"{directory}/{name}"
            if _COPY.pack(name.copy) not in listed.values(bytes.fromhex(name.sha256)) and is_listable(path):
                yield path, name

    def __iter__(self) -> Iterator[tuple[ContentKey, str]]:
        """Raises OSError: the directories can't be read."""
        self._refresh()
        for directory, name in self._walk():
            key, path = ContentKey(name.sha256, name.size), f"{directory}/{name}"
            if not self.is_again(key) or self._paths(key)[:1] == [path]:
                yield key, path

    def _refresh(self) -> None:
        """Read the directories, anew if they were read before."""
        index, self._count = KeyIndex(_PLACE.size), 0
        for directory, name in self._walk():
            index.add(bytes.fromhex(name.sha256), self._packed(directory, name))
            self._count += 1
        self._index = index

    def _loaded(self) -> KeyIndex:
        if self._index is None:
            self._refresh()
        assert self._index is not None
        return self._index

    def _walk(self) -> Iterator[tuple[str, names.ArchivedName]]:
        for directory, files in walk(self._root):
            for name in filter(None, map(names.parse_archived, files)):
                yield directory, name

    def _packed(self, directory: str, name: names.ArchivedName) -> bytes:
        return _PLACE.pack(
            self._directories.number(directory),
            name.time,
            name.copy,
            self._infos.number(name.info),
            name.size,
        )

    def _copies(self, key: ContentKey) -> list[tuple[str, names.ArchivedName]]:
        """Return directory and name of every copy of a message, the latest first."""
        places = self._loaded().values(bytes.fromhex(key.sha256))
        if not places:  # as nearly always: most messages are new
            return []
        found = []
        for place in places:
            directory, time, copy, info, size = _PLACE.unpack(place)
            if size == key.size:
                name = names.ArchivedName(time, key.sha256, copy, size, self._infos[info])
                found.append((self._directories[directory], name))
        found.sort(key=lambda each: each[1].copy, reverse=True)
        return found

    def _paths(self, key: ContentKey) -> list[str]:
        return [f"{directory}/{name}" for directory, name in self._copies(key)]


def walk(root: str) -> Iterator[tuple[str, list[str]]]:
    """Yield every ``cur`` and ``new`` below ``root``, relative to it, with the names in it.

    Names come sorted, which is about the order they lie in on the disk; of a very large directory in several parts.

    Raises:
        OSError: a directory can't be read.
    """
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        try:
            with os.scandir(f"{root}/{parent}") as entries:
                if parent.rpartition("/")[2] in _KEPT_IN:
                    regular = (entry.name for entry in entries if entry.is_file(follow_symlinks=False))
                    while files := sorted(islice(regular, _AT_ONCE)):
                        yield parent, files
                    continue
                children = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            if not parent:
                raise
            continue  # renamed or removed while walking: it is no longer part of the archive
        children.sort(reverse=True)
        prefix = f"{parent}/" if parent else ""
        waiting += [
            prefix + child for child in children if child != "tmp" and not child.startswith(".archipec")
        ]
