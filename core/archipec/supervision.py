"""Knows which thread is in a plugin's code and when that last gave a sign of life; names the plugin that gives none.

A sign of life is every call of the plugin's that returns and every item it yields, every byte it reads from the
host and every question it asks the host, what it logs; and, on Linux, every byte that its thread reads or writes. So a
large upload or a slow disk is no silence, waiting for a server without a time limit is one.

A thread that can't be got out of a plugin's code is left there: the thread that started it goes on without it
(`supervised`). It never comes back into the host's code.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from archipec.errors import ArchipecError, ConfigError, TransientError
from archipec.language import _, written

T = TypeVar("T")

_log = logging.getLogger("archipec.plugins")
_TICK = 1.0  # seconds
_SECOND_THOUGHTS = 5.0  # seconds that a plugin in the main thread has to let go of it
user_interrupted: Final = threading.Event()
"""Set by whoever raises KeyboardInterrupt on the user's behalf: all others are a plugin's own."""

_WAKE: Final = getattr(signal, "SIGURG", None)  # ignored by default: no harm where it comes too late


@dataclass(frozen=True, slots=True)
class SupervisionLimits:
    """How long a plugin may give no sign of life, in seconds; infinite where there is no limit.

    Attributes:
        warn: until it is named; load: the same while it is imported.
        end: until the run goes on without it.
        hurried: the same once the user asked to stop.
    """

    warn: float = 60.0
    end: float = 600.0
    hurried: float = 30.0
    load: float = 5.0


def limits_from(text: str) -> SupervisionLimits:
    """Return the limits that ARCHIPEC_PLUGIN_PATIENCE asks for: seconds until the end, 0 for none.

    Raises:
        ConfigError: it is no number of seconds.
    """
    try:
        end = float(text)
    except ValueError:
        end = -1.0
    if not 0 <= end < float("inf"):
        raise ConfigError(
            _("ARCHIPEC_PLUGIN_PATIENCE must be a number of seconds, not {text}").format(text=repr(text))
        )
    if not end:
        return SupervisionLimits(end=float("inf"))
    usual = SupervisionLimits()
    return SupervisionLimits(
        warn=min(usual.warn, end / 2), end=end, hurried=min(usual.hurried, end), load=min(usual.load, end / 2)
    )


class Silent(BaseException):
    """Raised in the main thread to get it out of a plugin's code; carries the error that this is."""

    def __init__(self, error: ArchipecError) -> None:
        super().__init__(str(error))
        self.error = error


class _Task:
    """A thread, and where it is: ``frames`` has (plugin, what it does, seconds until it is named) or None for host code."""

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.frames: list[tuple[str, str, bool] | None] = []
        self.beats = 0
        self.abandon: Callable[[ArchipecError], None] | None = None
        self.left_behind = False
        # The watch's own:
        self.seen = -1
        self.moved = -1
        self.silent = 0.0
        self.named = False
        self.woken: float | None = None
        self.error: ArchipecError | None = None


class _Local(threading.local):
    task: _Task | None = None


_local = _Local()
_tasks: set[_Task] = set()
_limits = SupervisionLimits()
_hurried = False
_watch: threading.Thread | None = None
_lock = threading.Lock()
_leaving = threading.Lock()
_give_up: Callable[[ArchipecError], None] | None = None


def configure(limits: SupervisionLimits) -> None:
    """Set how long a plugin may be silent."""
    global _limits
    _limits = limits


def on_give_up(end: Callable[[ArchipecError], None]) -> None:
    """Set what ends the process when nothing else gets it out of a plugin's code; call in the main thread."""
    global _give_up
    _give_up = end
    if _WAKE is not None:
        signal.signal(_WAKE, _wake)


def hurry() -> None:
    """Say that the user asked to stop. Safe in a signal handler."""
    global _hurried
    _hurried = True


def beat() -> None:
    """Give a sign of life of the plugin that this thread is in."""
    task = _local.task
    if task is not None:
        task.beats += 1


def in_plugin() -> bool:
    """Tell whether this thread is in a plugin's code."""
    task = _local.task
    return task is not None and bool(task.frames) and task.frames[-1] is not None


def any_left_behind() -> bool:
    """Tell whether a thread is left in a plugin's code: what it holds is free when the process ends."""
    return bool(left_behind())


def left_behind() -> frozenset[threading.Thread]:
    """Return the threads that are left in a plugin's code."""
    return frozenset(task.thread for task in tuple(_tasks) if task.left_behind)


class PluginCode:
    """Marks that a thread is in a plugin's code, or back in the host's for a while. Any number of threads may use one."""

    __slots__ = ("_frame",)

    def __init__(self, frame: tuple[str, str, bool] | None) -> None:
        self._frame = frame

    def __enter__(self) -> None:
        task = _local.task or _new_task()
        task.frames.append(self._frame)
        task.beats += 1

    def __exit__(self, *_: object) -> None:
        task = _local.task
        assert task is not None
        task.frames.pop()
        task.beats += 1
        if task.left_behind:
            with _leaving:  # the watch may be about to see that it was wrong
                left = task.left_behind
            if left:
                _stay()


def plugin_code(plugin: str, what: str, *, loading: bool = False) -> PluginCode:
    """Mark what runs inside as a plugin's code: ``with plugin_code('"acme" (archipec-acme 1.0)', "commit"):``."""
    return PluginCode((plugin, what, loading))


def waiting() -> PluginCode:
    """Mark what runs inside as the host's, called by a plugin: how long it takes is not the plugin's silence."""
    return _HOST


_HOST: Final = PluginCode(None)


def pulled(items: Iterable[T]) -> Iterator[T]:
    """Yield the host's items to a plugin that pulls them."""
    iterator = iter(items)
    while True:
        with waiting():
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


@contextmanager
def supervised(abandon: Callable[[ArchipecError], None]) -> Iterator[None]:
    """Say what is to be done, by the watch's thread, when this thread stays in a plugin's code for good.

    Args:
        abandon: gets the error that says so; this thread never returns from the plugin's code then.
    """
    task = _local.task or _new_task()
    task.abandon = abandon
    try:
        yield
    finally:
        task.abandon = None
        _tasks.discard(task)
        _local.task = None


def join(thread: threading.Thread) -> None:
    """Wait for a thread to end, or to be left behind."""
    while thread.is_alive() and not any(one.left_behind and one.thread is thread for one in tuple(_tasks)):
        thread.join(_TICK / 4)


def _new_task() -> _Task:
    task = _local.task = _Task()
    with _lock:
        for gone in [one for one in _tasks if not one.thread.is_alive()]:
            _tasks.discard(gone)
        _tasks.add(task)
        _start_watch()
    return task


def _start_watch() -> None:
    global _watch
    if _watch is None or not _watch.is_alive():
        _watch = threading.Thread(target=_look_on, name="watch", daemon=True)
        _watch.start()


def _stay() -> NoReturn:
    """Keep a thread that was left behind from the host's code, which has gone on without it."""
    while True:
        threading.Event().wait()


# -- the watch ----------------------------------------------------------------------------------------


def _look_on() -> None:
    before = time.monotonic()
    while True:
        time.sleep(min(_TICK, _limits.warn / 4, _limits.end / 4, _limits.load / 4))
        now = time.monotonic()
        # A machine that slept, or a process that was stopped, was not silent.
        passed = min(now - before, 2 * _TICK)
        before = now
        for task in tuple(_tasks):
            _look_at(task, passed)


def _look_at(task: _Task, passed: float) -> None:
    frames = tuple(task.frames)
    frame = frames[-1] if frames else None
    beats = task.beats
    if frame is None or beats != task.seen or task.left_behind:
        task.seen, task.silent, task.named, task.woken = beats, 0.0, False, None
        return
    task.silent += passed
    moved = _moved(task.thread)
    if moved != task.moved:
        task.moved, task.silent = moved, 0.0
        return
    plugin, what, loading = frame
    limit = min(_limits.end, _limits.hurried) if _hurried else _limits.end
    if task.silent >= limit:
        _end(task, _error(plugin, what, task.silent), passed)
    elif task.silent >= (_limits.load if loading else _limits.warn) and not task.named:
        task.named = True
        _log.warning("%s", _words(plugin, what, task.silent))


def _words(plugin: str, what: str, seconds: float) -> str:
    return _("the plugin {plugin} has given no sign of life for {duration} ({what})").format(
        plugin=plugin, duration=_duration(seconds), what=what
    )


def _error(plugin: str, what: str, seconds: float) -> ArchipecError:
    return TransientError(
        _("{reason}: it was given up").format(reason=_words(plugin, what, seconds)),
        hint=_("run the same command again; if it happens again, report it to the author of the plugin"),
        retry_after=float("inf"),
    )


def _duration(seconds: float) -> str:
    return (
        _("{seconds} seconds").format(seconds=written(seconds))
        if seconds < 120
        else _("{seconds} minutes").format(seconds=written(seconds / 60))
    )


def _end(task: _Task, error: ArchipecError, passed: float) -> None:
    abandon = task.abandon
    if abandon is not None:
        with _leaving:
            task.left_behind = True
            if task.beats != task.seen:  # it is back, just now
                task.left_behind = False
                return
        abandon(error)
        return
    if sys.platform != "win32" and task.woken is None and task.thread is threading.main_thread() and _give_up:
        task.woken, task.error = 0.0, error
        signal.pthread_kill(task.thread.ident or 0, signal.SIGURG)
        return
    task.woken = (task.woken or 0.0) + passed
    if (task.woken >= _SECOND_THOUGHTS or _WAKE is None) and _give_up is not None:
        _give_up(error)


def _wake(_number: int, _frame: Any) -> None:
    task = _local.task
    if task is not None and task.error is not None and task.frames and task.frames[-1] is not None:
        error, task.error = task.error, None
        raise Silent(error)


def _moved(thread: threading.Thread) -> int:
    """Return a number that changes with every byte the thread reads or writes, where the system counts them."""
    if sys.platform != "linux":
        return -1
    try:
        lines = Path(f"/proc/self/task/{thread.native_id}/io").read_text("ascii").splitlines()
    except OSError:  # a kernel that doesn't count
        return -1
    return sum(int(line.partition(":")[2]) for line in lines[:2])


def set_from_environment() -> None:
    """Set the limits that ARCHIPEC_PLUGIN_PATIENCE asks for; see `limits_from`."""
    if text := os.environ.get("ARCHIPEC_PLUGIN_PATIENCE"):
        configure(limits_from(text))
