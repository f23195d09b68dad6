"""One run of one program: how long it took and how much memory it had."""

from __future__ import annotations

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


class RunFailed(Exception):
    """The program measured did not end well; the text holds its own last words."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Seconds on the wall, from start to end of the process; processor seconds and memory of its children too."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: str


def measured(command: Sequence[str], environment: Mapping[str, str], directory: Path) -> Measurement:
    """Run a program to its end with nothing left to write from before; RunFailed unless it exits 0."""
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
    return Measurement(seconds, usage.ru_utime + usage.ru_stime, memory.peak_mb, text)


class _Memory:
    """Watches a process and its descendants while the block runs.

    What counts is each process's own high-water mark (VmHWM, which starts anew at exec), the last one seen
    of each, added up: an upper bound when several run one after the other or share pages. `ru_maxrss` would
    count this program's memory too, because a child begins as its copy.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._marks: dict[int, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def peak_mb(self) -> float:
        return sum(self._marks.values()) / 1000

    def _watch(self) -> None:
        while not self._done.is_set():
            self._sample(self._pid)
            self._done.wait(_SAMPLE_SECONDS)

    def _sample(self, pid: int) -> None:
        # A process may end between any two of these lines.
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    self._marks[pid] = int(line.split()[1])
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                for child in children.read_text().split():
                    self._sample(int(child))
