"""`archipec.view.remembered`: what takes longer than a page may is found out once."""

from __future__ import annotations

import threading

import pytest

from archipec.view.remembered import Remembered


def test_it_is_found_out_once_as_long_as_nothing_changes() -> None:
    remembered, asked = Remembered(), []

    def find() -> int:
        asked.append(1)
        return len(asked)

    assert [remembered.get("a", 1, find), remembered.get("a", 1, find), remembered.get("a", 2, find)] == [
        1,
        1,
        2,
    ]
    assert remembered.get("b", 2, find) == 3


def test_a_failure_is_not_remembered() -> None:
    remembered = Remembered()
    with pytest.raises(ZeroDivisionError):
        remembered.get("a", 1, lambda: 1 // 0)
    assert remembered.get("a", 1, lambda: 7) == 7


def test_who_can_not_wait_gets_it_later() -> None:
    remembered, go, started = Remembered(), threading.Event(), []

    def find() -> int:
        started.append(1)
        assert go.wait(60)
        return 7

    assert remembered.soon("a", 1, find, 0.01) is None
    # One thread is at it, whoever asks.
    assert remembered.soon("a", 2, find, 0.01) is None
    go.set()
    assert remembered.soon("a", 1, find, 60) == 7
    assert len(started) == 1


def test_what_has_changed_is_found_out_again_and_what_failed_too() -> None:
    remembered = Remembered()
    with pytest.raises(ZeroDivisionError):
        remembered.soon("a", 1, lambda: 1 // 0, 60)
    assert remembered.soon("a", 1, lambda: 7, 60) == 7
    assert remembered.soon("a", 1, lambda: 8, 60) == 7
    assert remembered.soon("a", 2, lambda: 8, 60) == 8


def test_a_timeout_that_was_found_is_not_taken_for_waiting() -> None:
    def find() -> int:
        raise TimeoutError("the disk")

    with pytest.raises(TimeoutError, match="the disk"):
        Remembered().soon("a", 1, find, 60)
