"""Turns folder names of a source into files that Thunderbird shows as folders of about that name.

A folder is a file, its subfolders lie in the directory ``NAME.sbd`` beside it. Thunderbird shows every file but those
whose names it uses for something else (nsMsgBrkMBoxStore.cpp), and takes a name of more than 55 characters for a hash.
"""

from __future__ import annotations

import hashlib
from typing import Final

from archipec_plugins.files.layout import safe_part

_LONGEST: Final = 50
_LONGEST_PATH: Final = 150  # bytes: profiles lie deep, and Windows allows 259
_NO_FOLDERS: Final = (
    ".msf",
    ".sbd",
    ".toc",
    ".snm",
    ".dat",
    ".log",
    ".js",
    ".html",
    ".rdf",
    ".json",
    ".sqlite",
    ".mozmsgs",
)


def folder_path(top: str, folder: str) -> str:
    """Return the path of a folder's file below the local folders, with ``/``: ``archipec.sbd/2026.sbd/11``."""
    levels = [level for level in folder.split("/") if level] or ["_"]
    path = ".sbd/".join(file_name(level) for level in (top, *levels))
    return path if len(path.encode()) <= _LONGEST_PATH else f"{file_name(top)}.sbd/{file_name(folder)}"


def file_name(level: str) -> str:
    """Return the name of the file for one level of a folder's name."""
    name = safe_part(level)
    if (
        len(name) <= _LONGEST
        and not name.startswith("#")
        and not name.endswith("~")
        and not name.lower().endswith(_NO_FOLDERS)
    ):
        return name
    mark = hashlib.sha256(level.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name.lstrip('#')[: _LONGEST - 9]}~{mark}"
