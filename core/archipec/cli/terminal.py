"""What a person sees: progress while it works (on a terminal only), numbers in a readable form, a clean stop."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from archipec.errors import ArchipecError, Interrupted
from archipec.language import _
from archipec.supervision import hurry, on_give_up, user_interrupted
from archipec.terminal import count, duration, size

if TYPE_CHECKING:
    from archipec.custody.run import Cancellation

__all__ = [
    "count",
    "duration",
    "end_process",
    "interrupt_on_signals",
    "on_signals",
    "progress",
    "size",
]

_SAME_WISH = 1.0  # seconds


# A closed terminal is SIGHUP, Ctrl-Break on Windows SIGBREAK.
_ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


def interrupt_on_signals(say: Callable[[ArchipecError], None]) -> None:
    """Let every signal that asks a process to end be a KeyboardInterrupt, which undoes what is half done.

    What whoever started this process had it ignore (nohup) stays ignored. A plugin that gives no sign of life in the main
    thread ends the process, when nothing else helps; the error that this is goes to ``say``.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        user_interrupted.set()
        hurry()
        raise KeyboardInterrupt

    def give_up(error: ArchipecError) -> None:
        say(error)
        end_process(error.exit_code)

    _handle(interrupt)
    on_give_up(give_up)


def end_process(code: int) -> NoReturn:
    """End at once, with what was printed written: no thread that is stuck is waited for."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _handle(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Have these signals handled; return what handled them before."""
    before = {}
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    return before


def _say_in_handler(words: str) -> None:
    # Not through a stream: it may be at work right where the signal came.
    with suppress(OSError):
        os.write(2, f"{words}\n".encode(sys.stderr.encoding or "ascii", "replace"))


@contextmanager
def on_signals(stop: Cancellation) -> Iterator[None]:
    """Let a signal (Ctrl-C, SIGTERM, SIGHUP) ask for an orderly end; the second one ends at once and harms nothing either.

    But for Ctrl-C, one that follows within a moment is the same wish: shells and ``timeout`` send theirs twice.
    """
    asked: list[float] = []
    # In the language of who asks, whatever a document that is being made is written in.
    stopping = _("stopping, with nothing left half done (again to stop at once)")
    stopped = _("stopped at once; nothing is harmed, and the same command may be run again")

    def handle(number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if asked and (number == signal.SIGINT or now - asked[0] > _SAME_WISH):
            _say_in_handler(stopped)
            os._exit(Interrupted.exit_code)
        if not asked:
            _say_in_handler(stopping)
        asked.append(now)
        user_interrupted.set()
        stop.set()

    before = _handle(handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress(
    label: str, *, quiet: bool, by_size: bool = True
) -> Iterator[Callable[[int, int, int, int], None]]:
    """Show progress on a terminal; yield what takes (messages, all messages, bytes, all bytes).

    Args:
        by_size: False where messages are counted alone, and the bytes given say nothing.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _total, _bytes, _all_bytes: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[messages]}"),
        *((DownloadColumn(), TransferSpeedColumn()) if by_size else ()),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(label, total=None, messages=_("listing"))

        def update(done: int, total: int, done_bytes: int, total_bytes: int) -> None:
            completed, whole = (done_bytes, total_bytes) if by_size else (done, total)
            bar.update(
                task,
                completed=completed,
                total=max(whole, completed) or None,
                messages=_("{done} of {total} messages").format(done=count(done), total=count(total)),
            )

        yield update
