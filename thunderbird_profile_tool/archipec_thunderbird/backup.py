"""Dated copies of a profile's files, made before they are changed, with a record of what is about to change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from archipec.durability import sync_directory, write_file
from archipec.errors import IntegrityError, from_os_error
from archipec.language import _
from archipec_thunderbird.nss.store import Change
from archipec_thunderbird.prefs import Value

__all__ = ["FOLDER", "ChangeRecord", "make_backup", "mark_undone", "records", "write_record"]

FOLDER: Final = "thunderbird-profile-tool-backup"
_RECORD: Final = "changes.json"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """What one run was about to change, written before it did.

    Attributes:
        folder: the backup it stands in.
        changes: of the databases.
        preferences: by name, the value in prefs.js before and after; None where there is none.
    """

    folder: Path
    changes: tuple[Change, ...]
    preferences: Mapping[str, tuple[Value | None, Value | None]]


def make_backup(profile: Path, names: Iterable[str]) -> Path:
    """Copy files of a profile, those that are there, into a new dated folder inside it.

    Whoever calls holds the profile's lock. Nothing here ever removes a backup.

    Returns:
        The folder.

    Raises:
        ArchipecError: it could not be written.
    """
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%SZ")
    try:
        (profile / FOLDER).mkdir(mode=0o700, exist_ok=True)
        folder = _new_folder(profile / FOLDER, now)
        for name in names:
            if (profile / name).is_file():
                write_file(folder / name, (profile / name).read_bytes())
        sync_directory(folder.parent)
        sync_directory(profile)
    except OSError as error:
        raise from_os_error(error, profile / FOLDER) from error
    return folder


def write_record(record: ChangeRecord) -> None:
    """Write down what is about to change; what it needs to be undone is durable on return."""
    _write(
        record.folder,
        {
            "version": _VERSION,
            "undone": False,
            "rows": [_change_to_json(change) for change in record.changes],
            "preferences": {name: list(values) for name, values in record.preferences.items()},
        },
    )


def records(profile: Path) -> list[ChangeRecord]:
    """Return what was changed and not yet undone, the newest first.

    Raises:
        IntegrityError: a record can't be read.
    """
    return sorted(_records(profile), key=lambda record: record.folder.name, reverse=True)


def mark_undone(record: ChangeRecord) -> None:
    """Note that everything of a record is undone, or can't be any more."""
    _write(record.folder, {**_read(record.folder), "undone": True})


def _new_folder(parent: Path, name: str) -> Path:
    for number in count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable")


def _records(profile: Path) -> Iterator[ChangeRecord]:
    for path in (profile / FOLDER).glob(f"*/{_RECORD}"):
        shape = _read(path.parent)
        try:
            if shape["undone"]:
                continue
            yield ChangeRecord(
                path.parent,
                tuple(_change_from_json(row) for row in shape["rows"]),
                {str(name): (before, after) for name, (before, after) in shape["preferences"].items()},
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise _damaged(path) from error


def _read(folder: Path) -> dict[str, Any]:
    path = folder / _RECORD
    try:
        shape = json.loads(path.read_bytes())
        if shape["version"] != _VERSION:
            raise ValueError(shape["version"])
    except OSError as error:
        raise from_os_error(error, path) from error
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(path) from error
    assert isinstance(shape, dict)
    return shape


def _write(folder: Path, shape: Mapping[str, Any]) -> None:
    try:
        write_file(folder / _RECORD, json.dumps(shape, indent=1).encode())
    except OSError as error:
        raise from_os_error(error, folder) from error


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(
        _("{path}: this record of changes can't be read").format(path=path),
        hint=_(
            "with Thunderbird closed, cert9.db and key4.db beside it can be copied back by hand, "
            "both together"
        ),
    )


def _change_to_json(change: Change) -> dict[str, Any]:
    return {
        "id": change.number,
        "before": _columns_to_json(change.before),
        "after": _columns_to_json(change.after),
        "signatures": {column: [_hex(one) for one in pair] for column, pair in change.signatures.items()},
    }


def _change_from_json(shape: Mapping[str, Any]) -> Change:
    return Change(
        number=int(shape["id"]),
        before=_columns_from_json(shape["before"]),
        after=_columns_from_json(shape["after"]),
        signatures={
            column: (_unhex(before), _unhex(after)) for column, (before, after) in shape["signatures"].items()
        },
    )


def _columns_to_json(columns: Mapping[str, bytes | None] | None) -> dict[str, str | None] | None:
    return None if columns is None else {name: _hex(value) for name, value in columns.items()}


def _columns_from_json(shape: Mapping[str, str | None] | None) -> dict[str, bytes | None] | None:
    return None if shape is None else {name: _unhex(value) for name, value in shape.items()}


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
