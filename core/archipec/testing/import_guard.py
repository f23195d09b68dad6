"""Watches code for what it must not do: input and output while parsing, slow imports while being imported."""

from __future__ import annotations

import builtins
import importlib.util
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest import mock

SLOW = (
    *(
        "asyncio",
        "asn1crypto",
        "certifi",
        "click",
        "cryptography",
        "email",
        "ftplib",
        "http",
        "httpx",
        "imapclient",
    ),
    *("imaplib", "jinja2", "keyring", "lxml", "mailbox", "multiprocessing", "paramiko", "poplib", "pyhanko"),
    *(
        "requests",
        "rich",
        "smtplib",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "tarfile",
        "tempfile",
        "urllib.request",
    ),
    *("xml", "zipfile"),
)
"""Modules that no plugin imports when it is itself imported: every start of archipec would pay for them."""

# Run by a fresh interpreter: argv is the name of the module, its file and the search path.
_PROBE = """
import contextlib, importlib, importlib.util, io, json, os, sys, threading
import archipec.contract, archipec.durability, archipec.hookspecs

name, file, sys.path[:] = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
sys.dont_write_bytecode = True
loading = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".pth", ".zip")
outside = ("socket.", "sqlite3.", "urllib.", "ftplib.", "imaplib.", "poplib.", "smtplib.", "winreg.")
outside += ("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn")
outside += ("os.mkdir", "os.remove", "os.rename", "os.rmdir")
events = []

def watch(event, arguments):
    if event.startswith(outside) or event == "open" and not str(arguments[0]).endswith(loading):
        events.append(f"{event} {arguments[0]!r}")

before = set(sys.modules)
said = io.StringIO()
sys.addaudithook(watch)
with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not file or not (name + ".").startswith(str(error.name) + "."):
            raise
        spec = importlib.util.spec_from_file_location(name, file)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
found = {
    "modules": sorted(set(sys.modules) - before),
    "events": events,
    "said": said.getvalue(),
    "threads": threading.active_count() - 1,
}
print(json.dumps(found))
"""


def import_findings(module: str) -> list[str]:
    """Import a module in a fresh interpreter and return what it did that importing a plugin must not do."""
    file = _file_of(module)
    arguments = [sys.executable, "-I", "-c", _PROBE, module, file, json.dumps(sys.path)]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    if answer.returncode != 0:
        return [f"it can't be imported: {answer.stderr.strip().splitlines()[-1]}"]
    found = json.loads(answer.stdout)
    findings = [f"it imports {name}" for name in slow_among(found["modules"])]
    findings += [f"it does {event}" for event in found["events"]]
    if found["said"]:
        findings.append(f"it prints {found['said']!r}")
    if found["threads"]:
        findings.append(f"it starts {found['threads']} threads")
    return findings


def _file_of(module: str) -> str:
    """Return a module's file: one in a folder of tests is not found by its name elsewhere."""
    if module in sys.modules:
        return getattr(sys.modules[module], "__file__", None) or ""
    spec = importlib.util.find_spec(module)
    return (spec and spec.origin) or ""


def slow_among(modules: Sequence[str]) -> list[str]:
    """Return those of `SLOW` that are among the modules, each once."""
    loaded = set(modules)
    return [name for name in SLOW if name in loaded]


_FORBIDDEN: tuple[tuple[Any, str], ...] = (
    (builtins, "open"),
    (io, "open"),
    *(
        (os, name)
        for name in ("open", "stat", "lstat", "listdir", "scandir", "mkdir", "readlink", "access", "system")
    ),
    (socket, "getaddrinfo"),
    (socket, "create_connection"),
    (socket.socket, "connect"),
    (subprocess, "Popen"),
)


@contextmanager
def no_io(rule: str) -> Iterator[None]:
    """Fail with ``rule`` when the block touches a file, the network or another program."""

    def refuse(name: str) -> Any:
        def stop(*arguments: object, **_options: object) -> NoReturn:
            raise AssertionError(f"{rule}: it called {name}({', '.join(map(repr, arguments))})")

        return stop

    patches = [
        mock.patch.object(owner, name, refuse(f"{owner.__name__}.{name}")) for owner, name in _FORBIDDEN
    ]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in reversed(patches):
            patch.stop()
