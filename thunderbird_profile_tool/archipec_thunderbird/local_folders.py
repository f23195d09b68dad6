"""Puts copies of MBOX archives under a profile's Local Folders, which Thunderbird shows at its next start.

A copy and never the archive itself: Thunderbird writes into the files of its folders.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from archipec.durability import sync_directory, sync_file
from archipec.errors import ArchipecError, ConfigError, TransientError, from_os_error
from archipec.language import _
from archipec.paths import FORBIDDEN, is_reserved
from archipec_thunderbird.lock import ProfileLock
from archipec_thunderbird.prefs import read_prefs

__all__ = ["Added", "add_archive", "local_folders"]

_SEPARATOR: Final = b"From "
_CHUNK: Final = 1 << 20
_SUBFOLDERS: Final = ".sbd"
# Longer names, and those with these characters, Thunderbird would store under another name.
_LONGEST: Final = 55
_UNSAFE = re.compile(rf"[\x00-\x1f#{re.escape(''.join(sorted(FORBIDDEN)))}]")
_HIDDEN = re.compile(r"(?i).*\.(?:msf|sbd|dat|mozmsgs|toc|json)|\..*")


@dataclass(frozen=True, slots=True)
class Added:
    """A folder that was added.

    Attributes:
        folder: its name, with a slash before a subfolder's.
        source: the file it is a copy of.
        bytes: its size.
    """

    folder: str
    source: Path
    bytes: int


def local_folders(profile: Path) -> Path:
    """Return where a profile keeps its Local Folders.

    Raises:
        ConfigError: it has none yet, or keeps them as Maildir.
        ArchipecError: the profile can't be read.
    """
    prefs = read_prefs(profile)
    server = f"mail.server.{prefs.get('mail.accountmanager.localfoldersserver', '')}"
    relative, absolute = prefs.get(f"{server}.directory-rel"), prefs.get(f"{server}.directory")
    if isinstance(relative, str) and relative.startswith("[ProfD]"):
        place = profile / relative.removeprefix("[ProfD]")
    elif isinstance(absolute, str) and absolute:
        place = Path(absolute)
    else:
        raise ConfigError(
            _("{profile}: has no Local Folders yet").format(profile=profile),
            hint=_("set up an account in Thunderbird first"),
        )
    if "maildirstore" in str(prefs.get(f"{server}.storeContractID", "")):
        raise ConfigError(
            _("{profile}: keeps its Local Folders as Maildir, one file a message").format(profile=profile),
            hint=_("give another profile with --profile, or read the archive as a Maildir"),
        )
    return place


def add_archive(profile: Path, archive: Path, name: str | None = None) -> list[Added]:
    """Copy an MBOX archive under Local Folders.

    Args:
        archive: an MBOX file, or a directory that holds ``*.mbox`` files: of several, each becomes a subfolder.
        name: of the new folder; that of the archive by default.

    Raises:
        TransientError: Thunderbird is running, or the archive is being written; nothing was added.
        ConfigError: there is no archive, or a folder of that name already.
        ArchipecError: something can't be read or written; nothing was added.
    """
    archive = archive.expanduser().absolute()
    sources = _sources(archive)
    folder = _safe_name(name or (archive.name if archive.is_dir() else archive.stem))
    with ProfileLock(profile):
        place = local_folders(profile)
        if archive.is_relative_to(place):
            raise ConfigError(
                _("{archive}: lies in the profile itself").format(archive=archive),
                hint=_("give the archive that it was made from"),
            )
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_free(place, folder)
            return list(_added(place, folder, sources))
        except OSError as error:
            raise from_os_error(error, place) from error


def _sources(archive: Path) -> list[Path]:
    try:
        found = sorted(archive.glob("*.mbox")) if archive.is_dir() else [archive]
        for path in found:
            with path.open("rb") as file:
                if file.read(len(_SEPARATOR)) != _SEPARATOR:
                    raise ConfigError(_("{path}: does not begin like an MBOX file").format(path=path))
    except OSError as error:
        raise from_os_error(error, archive) from error
    if not found:
        raise ConfigError(
            _("{archive}: holds no .mbox file").format(archive=archive),
            hint=_("make one with `archipec archive --from ... --to mbox:DIR`, and give DIR"),
        )
    return found


def _safe_name(name: str) -> str:
    safe = _UNSAFE.sub("_", name)[:_LONGEST].strip(" .")
    return f"_{safe}" if not safe or is_reserved(safe) or _HIDDEN.fullmatch(safe) else safe


def _check_free(place: Path, folder: str) -> None:
    taken = {entry.name.lower() for entry in place.iterdir()}
    if {folder.lower(), folder.lower() + _SUBFOLDERS} & taken:
        raise ConfigError(
            _('there is a folder "{folder}" under Local Folders already').format(folder=folder),
            hint=_("choose another with --name"),
        )


def _added(place: Path, folder: str, sources: list[Path]) -> Iterator[Added]:
    """Copy each source under a name that Thunderbird passes over, and show all of them at the end."""
    several = len(sources) > 1
    staging = place / f".{folder}.{os.getpid()}.tmp"
    staging.mkdir(mode=0o700)
    try:
        names = dict(zip(_different(sources), sources, strict=True)) if several else {folder: sources[0]}
        added = [
            Added(f"{folder}/{name}" if several else folder, source, _copy(source, staging / name))
            for name, source in names.items()
        ]
        sync_directory(staging)
        if several:
            staging.rename(place / f"{folder}{_SUBFOLDERS}")
            (place / folder).touch(mode=0o600)
        else:
            (staging / folder).rename(place / folder)
        sync_directory(place)
    except (OSError, ArchipecError):
        for left in staging.glob("*"):
            left.unlink()
        raise
    finally:
        if staging.exists():
            staging.rmdir()
    yield from added


def _different(sources: list[Path]) -> Iterator[str]:
    """Yield a name for each source, none the same as another where capitals don't count."""
    taken: set[str] = set()
    for source in sources:
        stem = name = _safe_name(source.stem)
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{stem[: _LONGEST - 5]} {number}"
        taken.add(name.lower())
        yield name


def _copy(source: Path, target: Path) -> int:
    """Copy a file that is not being written, durable on return, and return its size."""
    before = source.stat()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with source.open("rb") as reader, open(descriptor, "wb") as writer:
        while chunk := reader.read(_CHUNK):
            writer.write(chunk)
        writer.flush()
        sync_file(writer.fileno())
        size = writer.tell()
    after = source.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
        raise TransientError(
            _("{source}: is being written").format(source=source),
            hint=_("try again when archipec has finished"),
        )
    return size
