"""A lock is held until what it guards is over, and that can be later than the block that took it."""

from __future__ import annotations

from pathlib import Path

import pytest

from archipec.custody import locks
from archipec.custody.locks import hold
from archipec.errors import TransientError


def test_a_lock_is_held_once_and_free_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with (
            hold(tmp_path / "lock", "the archive"),
            pytest.raises(TransientError, match="the archive is in use by another run"),
            hold(tmp_path / "lock", "the archive"),
        ):
            pass


def test_what_a_plugin_left_behind_may_write_to_stays_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: set[str] = set()
    monkeypatch.setattr(locks, "left_behind", lambda: frozenset(left))
    with hold(tmp_path / "lock", "the archive"):
        left.add("a thread")
    with pytest.raises(TransientError, match="in use"), hold(tmp_path / "lock", "the archive"):
        pass


def test_what_another_pipeline_s_plugin_left_behind_before_locks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run locks its mailbox once to archive and once more to prune."""
    monkeypatch.setattr(locks, "left_behind", lambda: frozenset({"a thread"}))
    for _ in range(2):
        with hold(tmp_path / "lock", "the mailbox"):
            pass
