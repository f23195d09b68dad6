"""Runs a program of the user's so that neither it nor what it starts outlives the command.

Between the command and the program stands a small Python that reads from a pipe of the command's: when that ends, the
command has ended, however it did, and the program is ended with everything below it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO, Final

from archipec.supervision import user_interrupted

_LOOK_UP = 0.1  # seconds
_LAST_WORDS = 1.0  # seconds for output that is in the pipe already
_CHUNK = 64 << 10

FAILED: Final = "\0"
"""What the keeper's output begins with when the program can't be started; the reason follows."""

# Runs by itself, with nothing of archipec. It handles signals instead of ignoring them: what is ignored, the program
# would ignore as well.
_KEEPER: Final = r"""
import os, signal, subprocess, sys, threading
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), lambda *_: None)
words = sys.argv[1:]
try:
    child = subprocess.Popen(
        words[0] if os.name == "nt" else words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
except OSError as error:
    os.write(1, b"\0" + (error.strerror or str(error)).encode())
    os._exit(127)
def below(root):
    if not os.path.isdir("/proc/self/task"):
        lines = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout.split("\n")
        pairs = [tuple(map(int, line.split())) for line in lines if line.strip()]
    else:
        pairs = []
        for name in filter(str.isdecimal, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    pairs.append((int(name), int(file.read().rpartition(b")")[2].split()[1])))
            except OSError:
                continue
    found = [root]
    for one in found:
        found += [pid for pid, parent in pairs if parent == one]
    return found
def end():
    stopped = []
    # What is stopped starts nothing more: nothing is below it soon that was not seen.
    while new := [pid for pid in below(child.pid) if pid not in stopped]:
        for pid in new:
            stopped.append(pid)
            signalled(pid, signal.SIGSTOP)
    # The program itself last: when it has ended, so does this one.
    for pid in reversed(stopped):
        signalled(pid, signal.SIGKILL)
def signalled(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass
def watch():
    while os.read(0, 1):
        pass
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(child.pid)], capture_output=True)
    else:
        end()
    os._exit(137)
threading.Thread(target=watch, daemon=True).start()
code = child.wait()
os._exit(code if 0 <= code < 256 else 128 - code if code < 0 else 1)
"""


def run_kept(command: Sequence[str] | str, timeout: float) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end and return its output.

    Args:
        command: the program and its arguments; on Windows its command line.
        timeout: seconds; after them it is ended.

    Raises:
        OSError: it can't be started.
        subprocess.TimeoutExpired: it took longer.
        KeyboardInterrupt: the user asked to stop.
    """
    given = [command] if isinstance(command, str) else list(command)
    keeper = subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
        [sys.executable, "-I", "-S", "-c", _KEEPER, *given],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert keeper.stdin is not None
    try:
        out = _read(keeper, timeout)
    finally:
        # The end of this pipe ends whatever is still running.
        keeper.stdin.close()
        keeper.wait()
    if out.startswith(FAILED.encode()):
        raise OSError(0, out[1:].decode("utf-8", "replace"))
    return subprocess.CompletedProcess(given, keeper.returncode, out)


def _read(keeper: subprocess.Popen[bytes], timeout: float) -> bytes:
    """Return what it put out until it ended, without closing its input, which `communicate` would do.

    A process that it leaves in the background may hold its output open for ever: that is not waited for.
    """
    assert keeper.stdout is not None
    parts: list[bytes] = []
    stdout = keeper.stdout
    reader = threading.Thread(target=_collect, args=(stdout, parts), daemon=True)
    reader.start()
    end = time.monotonic() + timeout
    while keeper.returncode is None:
        try:
            keeper.wait(_LOOK_UP)
        except subprocess.TimeoutExpired:
            if user_interrupted.is_set():  # a run that ends in good order has no exception for it
                raise KeyboardInterrupt from None
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(keeper.args, timeout) from None
    reader.join(_LAST_WORDS)
    return b"".join(parts)


def _collect(stdout: IO[bytes], parts: list[bytes]) -> None:
    with stdout:
        while part := os.read(stdout.fileno(), _CHUNK):
            parts.append(part)
