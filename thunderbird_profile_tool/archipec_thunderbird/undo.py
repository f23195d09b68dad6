"""Puts back what was in a profile before this tool changed it, from the records in its backups.

Row by row and not by copying the old files back, because Thunderbird has kept other things in them since: the keys of
saved passwords, further certificates, another primary password.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from archipec_thunderbird.backup import ChangeRecord, mark_undone, records
from archipec_thunderbird.lock import ProfileLock
from archipec_thunderbird.nss.integrity import sign, signature_name
from archipec_thunderbird.nss.objects import LABEL
from archipec_thunderbird.nss.password import TokenKey
from archipec_thunderbird.nss.store import Change, NssRow, NssStore, open_store
from archipec_thunderbird.prefs import PREFS, Value, read_prefs_file, write_prefs
from archipec_thunderbird.trust import Ask, open_key

__all__ = ["Undone", "undo"]


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did.

    Attributes:
        records: number of earlier runs it took back.
        restored: rows and preferences put back.
        left: those that someone has changed since, and that stay as they are.
    """

    records: int
    restored: int
    left: int


def undo(profile: Path, ask: Ask, *, dry_run: bool = False) -> Undone:
    """Take back everything this tool changed in a profile, the newest change first.

    What Thunderbird or a person changed since is left as it is. A run that was cut off is taken back as far as it came.

    Args:
        ask: called once, if a row must be signed anew because the primary password was changed since.
        dry_run: change nothing; works while Thunderbird runs.

    Raises:
        TransientError: Thunderbird is running; nothing was touched.
        AuthError: the primary password is wrong.
        IntegrityError: a record can't be read; nothing was touched.
        ArchipecError: the profile can't be read or written.
    """
    with ExitStack() as held:
        if not dry_run:
            held.enter_context(ProfileLock(profile))
        done = records(profile)
        ask_once = cache(ask)
        restored = left = 0
        for record in done:
            counts = _undo_rows(profile, record, ask_once, dry_run=dry_run)
            more = _undo_preferences(profile, record.preferences, dry_run=dry_run)
            if not dry_run:
                mark_undone(record)
            restored, left = restored + counts[0] + more[0], left + counts[1] + more[1]
        return Undone(len(done), restored, left)


def _undo_rows(profile: Path, record: ChangeRecord, ask: Ask, *, dry_run: bool) -> tuple[int, int]:
    if not record.changes:
        return 0, 0
    with open_store(profile) as store:
        back, left = [], 0
        for change in record.changes:
            row = store.row(change.number)
            if _is(row, change.after):
                back.append(change)
            elif not _is(row, change.before):
                left += 1
        if back and not dry_run:
            key = open_key(store, ask) if any(_needs_key(store, change) for change in back) else None
            store.apply([_reversed(store, change, key) for change in back])
        return len(back), left


def _undo_preferences(
    profile: Path, preferences: Mapping[str, tuple[Value | None, Value | None]], *, dry_run: bool
) -> tuple[int, int]:
    now = read_prefs_file(profile / PREFS) if preferences else {}
    back = {name: before for name, (before, after) in preferences.items() if now.get(name) == after != before}
    left = sum(now.get(name) not in pair for name, pair in preferences.items())
    if back and not dry_run:
        write_prefs(profile, back)
    return len(back), left


def _is(row: NssRow | None, columns: Mapping[str, bytes | None] | None) -> bool:
    """Tell whether a row is as recorded; a person may have given it another label."""
    if row is None or columns is None:
        return row is None and columns is None
    return all(row.columns.get(name) == value for name, value in columns.items() if name != LABEL)


def _needs_key(store: NssStore, change: Change) -> bool:
    """Tell whether a row that stays was signed anew since: its old signatures fit no more."""
    return change.before is not None and any(
        before is not None and store.signature(signature_name(change.number, column)) != after
        for column, (before, after) in change.signatures.items()
    )


def _reversed(store: NssStore, change: Change, key: TokenKey | None) -> Change:
    """Return the change that takes another back, and with a key signs what was signed."""
    signatures: dict[str, tuple[bytes | None, bytes | None]] = {}
    for column, (before, _) in change.signatures.items():
        value = change.before.get(column) if change.before else None
        if key is not None and before is not None and value is not None:
            before = sign(key, change.number, column, value)
        signatures[column] = (store.signature(signature_name(change.number, column)), before)
    return Change(number=change.number, before=change.after, after=change.before, signatures=signatures)
