"""Turns the folders of a source into directories that every system can hold.

A folder is a directory of its name, `/` in it starting a directory within. Whatever a file system might refuse, or take
for something else, becomes ``_``, and eight digits of the original's hash are added, so that two folders stay two. Names
differing in case alone are kept apart the same way, on every system: archives get copied from one to another.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable

from archipec.message import Item
from archipec.paths import allowed, is_reserved

_OWN = frozenset(["cur", "new", "tmp", "archipec.json", "archipec.toc"])
_MANIFEST = "sha256sums"
# With a root of 45 characters and a file name of 110, a path stays within the 259 that Windows allows.
_LONGEST = 100


def by_date(item: Item) -> str:
    """Return the directory of a message's day, ``YYYY/MM/DD``, as the providers' own archives have it."""
    date = item.date
    return f"{date.year:04d}/{date.month:02d}/{date.day:02d}"


def by_folder(root: str) -> Callable[[Item], str]:
    """Return what tells the directory for each folder of the source, below ``root``."""
    known: dict[str, str] = {}
    tree = _Tree(root)

    def directory(item: Item) -> str:
        path = known.get(item.folder)
        if path is None:
            path = known[item.folder] = tree.path(item.folder)
        return path

    return directory


class _Tree:
    """The directories below a root, as far as they were looked at."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._children: dict[str, dict[str, str]] = {}

    def path(self, folder: str) -> str:
        parts = [(part, safe_part(part)) for part in folder.split("/")]
        if len("/".join(safe for _, safe in parts).encode()) > _LONGEST:
            parts = [(folder, safe_part(folder))]
        path = ""
        for part, safe in parts:
            name = self._free_name(path, safe, part)
            path = f"{path}/{name}" if path else name
        return path

    def _free_name(self, parent: str, safe: str, original: str) -> str:
        """Return the name for a part: the safe one, unless a file or another spelling of it is there already."""
        children = self._children.get(parent)
        if children is None:
            children = self._children[parent] = self._list(parent)
        for name in (safe, _marked(safe, original)):
            there = children.setdefault(name.casefold(), name)
            if unicodedata.normalize("NFC", there) == name:
                return there
        return _marked(safe, original)

    def _list(self, parent: str) -> dict[str, str]:
        try:
            with os.scandir(f"{self._root}/{parent}") as entries:
                # A file's own spelling is hidden, so that no folder takes it for a directory.
                return {
                    unicodedata.normalize("NFC", entry.name).casefold(): entry.name
                    if entry.is_dir(follow_symlinks=False)
                    else ""
                    for entry in entries
                }
        except FileNotFoundError:
            return {}


def safe_part(part: str) -> str:
    """Return a directory's name for one part of a folder's name: the same where it can be, else a marked one."""
    wanted = unicodedata.normalize("NFC", part)
    name = allowed(wanted)
    if name.startswith(".") or is_reserved(name) or not name:
        name = f"_{name}"
    is_own = name.lower() in _OWN or name.lower().startswith(_MANIFEST)
    if is_own or name != wanted or len(name.encode()) > _LONGEST:
        return _marked(name, wanted)
    return name


def _marked(name: str, original: str) -> str:
    mark = hashlib.sha256(original.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    shortened = name.encode()[: _LONGEST - 9].decode(errors="ignore")
    return f"{shortened}~{mark}"
