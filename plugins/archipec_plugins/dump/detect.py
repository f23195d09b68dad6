"""The dump source at work: finds out the format of what is there, and opens the source that reads it.

Which formats there are, and how each is detected, say the records of their sources: `archipec.contract.SourceType.detects`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from archipec.contract import Claim, Context, DumpSample, Source, SourceType
from archipec.errors import PermanentError, Scope
from archipec.language import _
from archipec_plugins.dump import DumpConfig
from archipec_plugins.files.archives import archive_type
from archipec_plugins.files.reading import check_path, open_file, read_error, subfolders
from archipec_plugins.maildir.source import maildir_parts

_BEGINNING: Final = 4096
# What lies beside mail, and is not looked into.
_NO_MAIL: Final = (".xml", ".pdf", ".p7m", ".p7s", ".txt", ".html", ".toc", ".json", ".md")
_ANY_FILE: Final = "eml"
"""The source that says of any single file why it is no message."""


@contextmanager
def open_source(config: DumpConfig, context: Context) -> Iterator[Source]:
    """Open whatever it is.

    Raises:
        PermanentError: no source reads it, or several would.
    """
    formats = [record for record in context.formats if _needs_path_alone(record)]
    record = detect(config.path, formats)
    context.log.info("%s is read as %s", config.path, record.name)
    known = {"path": config.path, "dialect": config.dialect, "loose": config.loose}
    values = {option.name: known.get(option.name, option.default) for option in record.options}
    with record.open(record.parse(values), context) as opened:
        yield opened


def _needs_path_alone(record: SourceType[Any]) -> bool:
    return {"path"} >= {option.name for option in record.options if option.required}


def detect(path: Path, formats: Sequence[SourceType[Any]]) -> SourceType[Any]:
    """Return the source that reads a file or folder.

    Raises:
        PermanentError: none does, or several would.
    """
    status = check_path(path)
    by_name = {record.name: record for record in formats}
    try:
        if stat.S_ISREG(status.st_mode):
            names = _claims_to_file(path, formats) or {_ANY_FILE}
        elif (known := archive_type(path)) in by_name:
            names = {known}
        else:
            names = _claims_to_folder(path, formats)
    except OSError as error:
        raise read_error(error, path, Scope.ENDPOINT) from error
    if not names:
        raise PermanentError(
            _("there is no mail in {path}").format(path=path),
            hint=_("the formats that are known: {by_name}").format(by_name=", ".join(sorted(by_name))),
        )
    if len(names) > 1:
        raise PermanentError(
            _("{path} holds mail of several formats: {names}").format(
                path=path, names=", ".join(sorted(names))
            ),
            hint=_("say which: {names}").format(
                names=" or ".join(f"--from {name}:DIR" for name in sorted(names))
            ),
        )
    return by_name[names.pop()]


def _claims_to_file(path: Path, formats: Iterable[SourceType[Any]]) -> set[str]:
    """Return the formats of a dump that is one file: what is in it counts more than how it is called."""
    content = DumpSample(path="", name=path.name, beginning=_beginning(os.path.realpath(path)))
    return _claims(content, formats)[0] or _claims(DumpSample(path="", name=path.name), formats)[0]


def _claims_to_folder(path: Path, formats: Sequence[SourceType[Any]]) -> set[str]:
    names: set[str] = set()
    for relative, entries in subfolders(str(path), maildir_parts):
        inside = frozenset(f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries)
        claims, is_whole = _claims(DumpSample(path=relative, names=inside), formats)
        if is_whole:
            return claims
        names |= claims
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                below = f"{relative}/{entry.name}" if relative else entry.name
                claims, is_whole = _claims(DumpSample(path=below, name=entry.name), formats)
                if not claims and not entry.name.lower().endswith(_NO_MAIL):
                    content = DumpSample(path=below, name=entry.name, beginning=_first_bytes(entry))
                    claims, is_whole = _claims(content, formats)
                if is_whole:
                    return claims
                names |= claims
    return names


def _claims(sample: DumpSample, formats: Iterable[SourceType[Any]]) -> tuple[set[str], bool]:
    """Return the names of the formats that claim a sample, and whether one of them, then alone, claims the whole dump."""
    names = set()
    for record in formats:
        claim = Claim.NONE if record.detects is None else record.detects(sample)
        if claim is Claim.WHOLE:
            return {record.name}, True
        if claim is Claim.PART:
            names.add(record.name)
    return names, False


def _first_bytes(entry: os.DirEntry[str]) -> bytes:
    """Return how a file begins; nothing where it can't be read."""
    try:
        return _beginning(entry.path)
    except OSError:
        return b""


def _beginning(path: str) -> bytes:
    with open_file(path) as file:
        return file.read(_BEGINNING)
