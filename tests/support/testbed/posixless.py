"""Takes away what POSIX alone has, as on Windows: ``PYTHONPATH=tests/support pytest -p testbed.posixless --collect-only``.

Paths, locks and processes stay those of this system: what is seen is whether the tests can be collected without it.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from types import ModuleType
from typing import Final

import pytest

_MODULES: Final = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
_NAMES: Final[dict[ModuleType, str]] = {
    os: "chown fork getegid geteuid getgid getuid killpg mkfifo posix_fadvise posix_fallocate setsid statvfs sync wait4"
    " O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK",
    signal: "pthread_kill setitimer ITIMER_REAL SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGSTOP SIGURG SIGUSR1"
    " SIGUSR2",
    socket: "AF_UNIX",
}
# What looks for these when it is imported, and would do otherwise on Windows.
_FIRST: Final = (
    *("asyncio", "imaplib", "mailbox", "multiprocessing", "shutil", "ssl", "subprocess", "tempfile"),
    *("cheroot.server", "httpx", "keyring", "paramiko", "rich.console", "wsgidav"),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    for name in _FIRST:
        importlib.import_module(name)
    for name in _MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # as the import system has it
    for module, names in _NAMES.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
