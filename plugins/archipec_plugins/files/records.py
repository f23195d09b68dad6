"""What the records of the formats of files have in common: the option that says where, and the URL made of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from archipec.contract import Option, file_path
from archipec.language import N_


def path_option(description: str) -> Option:
    """Return the option for the file or folder that a source reads, or a sink keeps its files in."""
    return Option(name="path", help=description, required=True, part="path", convert=file_path)


ARCHIVE_DIRECTORY: Final = path_option(N_("the directory to keep the files in"))


class HasPath(Protocol):
    """The configuration of a source or sink of files."""

    @property
    def path(self) -> Path:
        """The file or folder."""
        ...


@dataclass(frozen=True, slots=True)
class PathConfig:
    """The configuration of a source that needs to know no more."""

    path: Path


def parse_path(values: Mapping[str, Any]) -> PathConfig:
    """Make a `PathConfig` of the option values."""
    return PathConfig(values["path"])


def path_of(config: HasPath) -> Path:
    """Return the directory that a sink keeps its files in."""
    return config.path


def paths_of(config: HasPath) -> tuple[Path, ...]:
    """Return what a source reads."""
    return (config.path,)


def directory_url(scheme: str, *, ascii_only: bool = False) -> Callable[[HasPath], str]:
    """Return what makes the canonical URL of a configuration: one for all ways to spell its path.

    Args:
        ascii_only: as `url_path`. Archives have it so, and sources haven't: ledgers know them by these URLs.
    """

    def where(config: HasPath) -> str:
        return f"{scheme}:{url_path(config.path, ascii_only=ascii_only)}"

    return where


def url_path(path: Path, *, ascii_only: bool = False) -> str:
    """Return a path as the part of a URL, absolute and with symbolic links resolved; nothing needs to be there.

    Args:
        ascii_only: all characters but ASCII letters, digits and ``_.-~/:`` are written as %XX; else only those that
            no URL may hold.
    """
    text = Path(os.path.realpath(path)).as_posix()
    return "".join(
        char if _is_plain(char, ascii_only) else "".join(f"%{byte:02X}" for byte in os.fsencode(char))
        for char in text
    )


def _is_plain(char: str, ascii_only: bool) -> bool:
    if ascii_only:
        return char.isascii() and (char.isalnum() or char in "_.-~/:")
    return char.isprintable() and char not in "%?# "
