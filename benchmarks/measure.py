"""One run of one program: how long it took and how much memory it had."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SAMPLE_SECONDS = 0.02
_PR_SET_CHILD_SUBREAPER = 36


class RunFailed(Exception):
    """The program measured did not end well; the text holds its own last words."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Seconds on the wall, from the start to the end of the program's last process; processor seconds of all its
    processes; the most memory that they took at one moment."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str


def measured(command: Sequence[str], environment: Mapping[str, str], directory: Path) -> Measurement:
    """Run a program to its end with nothing left to write from before; RunFailed unless it exits 0."""
    _adopt_orphans()
    before = _children_of(os.getpid())
    os.sync()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
        )
        memory = _Memory(process.pid)
        try:
            with memory:
                _, status, usage = os.wait4(process.pid, 0)
                # What it began and did not wait for is its work, too.
                usages = [usage, *(os.wait4(pid, 0)[2] for pid in _children_of(os.getpid()) - before)]
                seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode != 0:
            errors.seek(0)
            words = errors.read().decode("utf-8", "replace").strip()[-2000:]
            raise RunFailed(f"{command[0]} ended with {process.returncode}: {words}")
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    return Measurement(seconds, sum(one.ru_utime + one.ru_stime for one in usages), memory.peak_mb, text)


class _Memory:
    """Watches a process and its descendants while the block runs.

    What counts is the memory of all of them at one moment, pages that they share counted once (the proportional
    set size of `/proc/PID/smaps_rollup`). `ru_maxrss` would count this program's memory too, because a child
    begins as its copy.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak_kib = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def peak_mb(self) -> float:
        return self._peak_kib * 1024 / 1e6

    def _watch(self) -> None:
        while not self._done.is_set():
            self._peak_kib = max(self._peak_kib, _memory_kib(self._pid))
            self._done.wait(_SAMPLE_SECONDS)


def _memory_kib(pid: int) -> int:
    """What a process and its descendants take now."""
    total = 0
    # A process may end between any two of these lines.
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
        # One that has not begun its own program yet still has its parent's memory, not as much again: vfork(2).
        begun = (child for child in _children_of(pid) if _command(child) != _command(pid))
        total += sum(map(_memory_kib, begun))
    return total


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _adopt_orphans() -> None:
    """Have descendants whose parent ended become this process's children (prctl(2)), so that it can wait for them."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _children_of(pid: int) -> set[int]:
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        # A thread may end meanwhile.
        with suppress(OSError):
            found.update(map(int, children.read_text().split()))
    return found
