"""What a person sees: progress while it works (on a terminal only), numbers in a readable form, a clean stop."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click

from archipec.custody.endpoints import Stop
from archipec.errors import Interrupted

__all__ = ["count", "counted", "on_signals", "printable", "progress", "size"]


def count(number: int) -> str:
    """Return a number with its thousands told apart."""
    return f"{number:,}"


def counted(number: int, thing: str) -> str:
    """Return a number of things: "1 message", "2,500 messages"."""
    plural = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{number:,} {thing if number == 1 else plural}"


def size(number: int) -> str:
    """Return a number of bytes as a person says it."""
    amount = float(number)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def printable(text: str) -> str:
    """Return text that does nothing to a terminal: what is no printable character is written as an escape."""
    shown = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii")
        for one in text.replace("\xa0", " ")
    )
    encoding = sys.stdout.encoding or "utf-8"
    return shown.encode(encoding, "backslashreplace").decode(encoding)


@contextmanager
def on_signals(stop: Stop) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM ask for an orderly end; the second one ends at once, which harms nothing either."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            click.echo("stopped at once; the next run goes on from here", err=True)
            os._exit(Interrupted.exit_code)
        click.echo("stopping: what has arrived is being stored (again to stop at once)", err=True)
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress(label: str, *, quiet: bool) -> Iterator[Callable[[int, int, int, int], None]]:
    """Show progress on a terminal; yield what takes (messages, all messages, bytes, all bytes)."""
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
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(label, total=None, messages="listing")

        def update(done: int, total: int, done_bytes: int, total_bytes: int) -> None:
            bar.update(
                task,
                completed=done_bytes,
                total=max(total_bytes, done_bytes) or None,
                messages=f"{count(done)} of {count(total)} messages",
            )

        yield update
