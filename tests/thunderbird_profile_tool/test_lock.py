"""The lock that Thunderbird holds on its profile; with the program itself in test_trust_real.py."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import wintypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archipec.errors import PermanentError, TransientError
from archipec_thunderbird import lock
from archipec_thunderbird.lock import ProfileLock, is_running

# Locks belong to a process, so another one must hold them here.
_HOLD = "import fcntl,sys; f=open(sys.argv[1],'a'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); input()"

_TRY = """
import fcntl, sys
try:
    fcntl.lockf(open(sys.argv[1], "a"), fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("free")
except OSError:
    print("held elsewhere")
"""


@contextmanager
def held_elsewhere(profile: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(profile / ".parentlock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate("\n")


def test_what_is_left_of_a_lock_means_nothing(tmp_path: Path) -> None:
    (tmp_path / ".parentlock").touch()
    (tmp_path / "lock").symlink_to("127.0.0.1:+1")
    assert not is_running(tmp_path)
    with ProfileLock(tmp_path):
        pass


def test_asking_leaves_no_trace(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_lock_held_by_another_process_is_seen_and_released_with_it(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path):
        assert is_running(tmp_path)
        with pytest.raises(TransientError, match="Thunderbird is running"), ProfileLock(tmp_path):
            pass
    assert not is_running(tmp_path)


def test_it_is_let_go_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), ProfileLock(tmp_path):
        _ = 1 / 0
    with held_elsewhere(tmp_path):
        pass


@pytest.mark.timeout(60)
def test_threads_wait_for_each_other(tmp_path: Path) -> None:
    """A record lock is the process's: the second thread would get it too, and drop the first one's at its end."""
    started = threading.Event()
    order = []

    def second() -> None:
        started.set()
        with ProfileLock(tmp_path):
            order.append("second")

    thread = threading.Thread(target=second)
    with ProfileLock(tmp_path):
        thread.start()
        started.wait()
        holder = subprocess.run(
            [sys.executable, "-c", _TRY, str(tmp_path / ".parentlock")],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert holder.stdout == "held elsewhere\n"
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_it_is_free_again_after_a_profile_that_could_not_be_held(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path), pytest.raises(TransientError), ProfileLock(tmp_path):
        pass
    with ProfileLock(tmp_path):
        pass


def test_no_profile(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no such profile"), ProfileLock(tmp_path / "gone"):
        pass


class CreateFile:
    """CreateFileW as documented, for a file that is free or not."""

    restype: Any = None

    def __init__(self, error: int) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._error = error

    def __call__(self, *arguments: Any) -> int | None:
        self.calls.append(arguments)
        return wintypes.HANDLE(-1).value if self._error else 77


@pytest.mark.parametrize(
    ("error", "kind"),
    [(0, None), (32, TransientError), (5, PermanentError)],
    ids=["free", "shared", "denied"],
)
def test_on_windows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: int, kind: type[Exception] | None
) -> None:
    create = CreateFile(error)
    kernel = SimpleNamespace(CreateFileW=create)
    monkeypatch.setattr(ctypes, "WinDLL", lambda *_, **__: kernel, raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: error, raising=False)
    path = tmp_path / "parent.lock"
    if kind is None:
        assert lock._open_unshared(path, tmp_path) == 77
    else:
        with pytest.raises(kind):
            lock._open_unshared(path, tmp_path)
    # Reading and writing, shared with nobody, made if it is not there.
    assert create.calls == [(str(path), 0xC0000000, 0, None, 4, 0, None)]
