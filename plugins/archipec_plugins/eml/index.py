"""What an archive of .eml files holds, by its manifest, which has their hashes."""

# Paths are strings here: there are many of them, and Path objects would cost more than what is done with them.
# ruff: noqa: PTH116

from __future__ import annotations

import os
import struct
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from hashlib import sha256 as new_sha256
from pathlib import Path

from archipec.contract import Context
from archipec.inventory import Entry
from archipec.language import _
from archipec.message import ContentKey, Item
from archipec.timestamp import TsaClient
from archipec_plugins.eml import EmlSinkConfig
from archipec_plugins.eml.names import eml_names, kind_folder, mark_of
from archipec_plugins.files import layout
from archipec_plugins.files.key_index import KeyIndex
from archipec_plugins.files.manifest import Line, Manifest, is_listable
from archipec_plugins.files.staging import Staging, is_interrupted
from archipec_plugins.files.streams import CHUNK, unix_time
from archipec_plugins.files.timestamps import Timestamps
from archipec_plugins.files.toc import regular_size
from archipec_plugins.files.tree import NewCopy, TreeSink

_OFFSET = struct.Struct(">Q")
_FEWEST = 4  # bytes of a digest that a name has


def open_sink(config: EmlSinkConfig, context: Context) -> closing[TreeSink]:
    """Open an archive."""
    return closing(_sink(config.path, _directory_for(config), config.timestamps, context))


def open_to_check(root: Path, context: Context) -> TreeSink:
    """Return the sink of an archive that is only read: `TreeSink.check_record` says whether it is whole."""
    return _sink(root, layout.by_date, Timestamps(TsaClient()), context)


def _sink(
    root: Path, directory_for: Callable[[Item], str], timestamps: Timestamps, context: Context
) -> TreeSink:
    manifest = Manifest(str(root))
    return TreeSink(str(root), EmlIndex(str(root), directory_for, manifest), manifest, timestamps, context)


def _directory_for(config: EmlSinkConfig) -> Callable[[Item], str]:
    if config.layout == "folder":
        return layout.by_folder(str(config.path))
    return layout.by_date if config.layout == "date" else lambda item: kind_folder(item.kind)


class EmlIndex:
    """Files by content key; see `archipec_plugins.files.tree.FileIndex`.

    Memory holds where a message's line begins in the manifest, and the disk the rest.

    Args:
        root: the archive's directory.
        folder_of: tells the directory for an item, relative to the root.
    """

    sibling_dirs: tuple[str, ...] = ()
    whole_paths = True

    def __init__(self, root: str, folder_of: Callable[[Item], str], manifest: Manifest) -> None:
        self._root = root
        self._folder_of = folder_of
        self._manifest = manifest
        self._index: KeyIndex | None = None
        self._count = 0
        self._found: dict[str, list[str]] = {}
        """What a run that was killed put in view and didn't come to list: paths by SHA-256."""
        self._named: dict[bytes, set[bytes]] = {}
        """Digests that names were given to since one was last added, by their first bytes: what is staged."""

    @property
    def loaded(self) -> bool:
        """Whether the manifest was read yet."""
        return self._index is not None

    def prepare(self, staging: Staging) -> None:
        """Nothing to learn: the names suit every file system."""

    def new_copy(self, item: Item) -> NewCopy:
        """The time of change is the message's date, which its name has too."""
        folder, digest = self._folder_of(item), bytes.fromhex(item.key.sha256)
        for name in eml_names(item):
            path = f"{folder}/{name}"
            if self._is_free(name, digest) and not os.path.lexists(f"{self._root}/{path}"):
                self._named.setdefault(digest[:_FEWEST], set()).add(digest)
                return NewCopy(folder, name, unix_time(item.date))
        raise AssertionError(_("names have no end"))

    def _is_free(self, name: str, digest: bytes) -> bool:
        """Return whether no other content has the digits of this name: two names then differ where case doesn't count."""
        mark = bytes.fromhex(mark_of(name) or "")
        listed = {other for other, _ in self._loaded().starting(mark)}
        staged = {other for other in self._named.get(mark[:_FEWEST], ()) if other.startswith(mark)}
        return listed | staged <= {digest}

    def add(self, copy: NewCopy, sha256: str) -> None:
        self._list(copy.path, sha256)

    def _list(self, path: str, sha256: str) -> None:
        digest = bytes.fromhex(sha256)
        self._loaded().add(digest, _OFFSET.pack(self._manifest.add(sha256, path)))
        self._named.pop(digest[:_FEWEST], None)
        self._count += 1

    def held(self) -> Iterator[Entry]:
        """Raises OSError: the manifest can't be read."""
        self._loaded()
        for line in self._manifest:
            size = regular_size(f"{self._root}/{line.path}") if line.path else None
            if size is not None:
                yield Entry(ContentKey(line.sha256, size), line.path)
        for path, sha256 in self._unlisted():
            yield Entry(self._key(sha256, path), path)

    def number(self) -> int | None:
        """As the manifest has it."""
        return None if self._index is None else self._count

    def key_of(self, line: Line) -> ContentKey:
        """A manifest says nothing of sizes."""
        return ContentKey(line.sha256, 0)

    def existing(self, key: ContentKey) -> list[str]:
        """Raises OSError: the manifest can't be read."""
        return self._existing(key.sha256)

    def is_again(self, key: ContentKey) -> bool:
        listed = self._loaded().values(bytes.fromhex(key.sha256))
        return len(listed) + len(self._found.get(key.sha256, ())) > 1

    def holds(self, sha256: str) -> bool:
        return bool(self._existing(sha256))

    def _existing(self, sha256: str) -> list[str]:
        index = self._loaded()
        listed = [self._manifest.path_at(at) for at in reversed(_offsets(index, sha256))]
        paths = [*reversed(self._found.get(sha256, [])), *listed]
        return [path for path in paths if path and self._is_there(path)]

    def _is_there(self, path: str) -> bool:
        return regular_size(f"{self._root}/{path}") is not None

    def is_own(self, file: str) -> bool:
        return mark_of(file) is not None

    def name_matches(self, path: str, sha256: str) -> bool:
        mark = mark_of(path.rpartition("/")[2])
        return mark is not None and sha256.startswith(mark)

    def unlisted(self) -> Iterator[str]:
        """A file whose content isn't what its name says is not the archive's."""
        for path, _key in self._unlisted():
            yield path

    def repair_manifest(self) -> None:
        self._loaded()
        found, self._found = self._found, {}
        self._count -= sum(map(len, found.values()))
        for sha256, paths in found.items():
            for path in paths:
                self._list(path, sha256)

    def __iter__(self) -> Iterator[tuple[ContentKey, str]]:
        """Raises OSError: the manifest can't be read."""
        self._index = None
        index = self._loaded()
        found = {sha256: paths[-1] for sha256, paths in self._found.items()}
        for line in self._manifest:
            if not line.path or line.sha256 in found or not self._is_there(line.path):
                continue
            later = (at for at in _offsets(index, line.sha256) if at > line.offset)
            if not any(self._is_there(self._manifest.path_at(at)) for at in later):
                yield self._key(line.sha256, line.path), line.path
        for sha256, path in found.items():
            yield self._key(sha256, path), path

    def _key(self, sha256: str, path: str) -> ContentKey:
        return ContentKey(sha256, os.stat(f"{self._root}/{path}").st_size)

    def _loaded(self) -> KeyIndex:
        if self._index is None:
            self._index, self._count = KeyIndex(_OFFSET.size), 0
            for line in self._manifest:
                if line.path:
                    self._index.add(bytes.fromhex(line.sha256), _OFFSET.pack(line.offset))
                    self._count += 1
            is_whole = self._manifest.exists() and not is_interrupted(self._root)
            self._found = {}
            for path, sha256 in () if is_whole else self._unlisted():
                self._found.setdefault(sha256, []).append(path)
                self._count += 1
        return self._index

    def _unlisted(self) -> Iterator[tuple[str, str]]:
        """Yield (path, SHA-256) of the files with names of ours, and their contents, that are not listed."""
        listed = KeyIndex(0)
        for line in self._manifest:
            if line.path and self.name_matches(line.path, line.sha256):
                listed.add(_digest_of(line.path), b"")
        for path in _walk(self._root):
            mark = mark_of(path.rpartition("/")[2])
            if mark is None or not is_listable(path) or _digest_of(path) in listed:
                continue
            sha256 = _hash_of(f"{self._root}/{path}")
            if sha256.startswith(mark):
                yield path, sha256


def _digest_of(path: str) -> bytes:
    """Return what a path is known by, in one form: some file systems of macOS give back another than they were given."""
    return new_sha256(os.fsencode(unicodedata.normalize("NFC", path))).digest()


def _offsets(index: KeyIndex, sha256: str) -> list[int]:
    """Return where the lines of a message begin in the manifest."""
    return [_OFFSET.unpack(value)[0] for value in index.values(bytes.fromhex(sha256))]


def _walk(root: str) -> Iterator[str]:
    """Yield the path of every file below ``root``, relative to it, but for archipec's own directories.

    Raises:
        OSError: a directory can't be read.
    """
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        children = []
        with os.scandir(f"{root}/{parent}") as entries:
            for entry in entries:
                path = f"{parent}/{entry.name}" if parent else entry.name
                if not entry.is_dir(follow_symlinks=False):
                    yield path
                elif not entry.name.startswith(".archipec"):
                    children.append(path)
        waiting += sorted(children, reverse=True)


def _hash_of(path: str) -> str:
    """Return the SHA-256 of a regular file; an empty string for anything else."""
    if os.path.islink(path) or not os.path.isfile(path):  # noqa: PTH113, PTH114
        return ""
    with suppress(FileNotFoundError), open(path, "rb", buffering=0) as file:
        return ContentKey.of_chunks(iter(partial(file.read, CHUNK), b"")).sha256
    return ""
