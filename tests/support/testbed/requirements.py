"""Which real programs this machine has, and what a test does without them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

_TESTS = Path(__file__).parents[2]
KNOWN_DOVECOTS = ((2, 3), (2, 4))
# Servers live in sbin, which ordinary users don't have on their path.
_EXTRA_PATH = ("/usr/sbin", "/usr/local/sbin", "/sbin")


def find(program: str) -> str | None:
    """Full path of `program`, or None."""
    places = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *_EXTRA_PATH]
    return shutil.which(program, path=os.pathsep.join(places))


@cache
def dovecot_version() -> tuple[int, int] | None:
    """Major and minor version of the Dovecot installed here, or None."""
    program = find("dovecot")
    if program is None:
        return None
    answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    major, minor = answer.stdout.split()[0].split(".")[:2]
    return int(major), int(minor)


@cache
def _dovecot_service(name: str) -> bool:
    """Whether Dovecot's program for one protocol is there: Debian packs each on its own."""
    program = find("doveconf")
    if program is None:
        return False
    answer = subprocess.run([program, "-h", "libexec_dir"], capture_output=True, text=True, check=True)
    return (Path(answer.stdout.strip()) / name).exists()


def _library(pattern: str) -> str | None:
    """Path of a shared library or module that matches, wherever the system keeps its libraries."""
    found = (
        path for place in ("/usr/lib", "/usr/lib64", "/usr/local/lib") for path in Path(place).glob(pattern)
    )
    return next(map(str, found), None)


@cache
def nss_wrapper() -> str | None:
    """The library that shows a server users of a test's own, or None."""
    return _library("libnss_wrapper.so") or _library("*/libnss_wrapper.so")


def _missing_file_server(name: str) -> str | None:
    if find(name) is None:
        return f"{name} is not installed"
    if name == "sshd" and nss_wrapper() is None:
        return "nss_wrapper, which gives sshd users of the test's own, is not installed"
    if name == "proftpd" and not (_library("proftpd/mod_tls.so") or _library("*/proftpd/mod_tls.so")):
        return "ProFTPD is installed without TLS"
    return None


def thunderbird_program() -> str | None:
    """Full path of Thunderbird's own program, or None: Debian's command is a script around it."""
    command = find("thunderbird")
    inside = Path("/usr/lib/thunderbird/thunderbird")
    return str(inside) if command and inside.exists() else command


def missing(name: str) -> str | None:
    """Why the real program `name` can't be used here; None when it can.

    Names: "dovecot" (IMAP), "dovecot-pop3", "sshd", "proftpd", "wsgidav", or any program by its command
    ("openssl", "mbsync", "cc").
    """
    if name == "wsgidav":
        return None if importlib.util.find_spec(name) else "the Python package wsgidav is not installed"
    if name == "chromium" and not importlib.util.find_spec("playwright"):
        return "the Python package playwright is not installed"
    if not name.startswith("dovecot"):
        return _missing_file_server(name)
    version = dovecot_version()
    if version is None:
        return "Dovecot is not installed"
    if version not in KNOWN_DOVECOTS:
        return f"Dovecot {version[0]}.{version[1]} is installed: the test bed can't set that one up"
    service = "pop3" if name == "dovecot-pop3" else "imap"
    return None if _dovecot_service(service) else f"Dovecot is installed without {service.upper()}"


def schema(name: str) -> str:
    """Path of a schema that is not ours to ship, empty when it isn't beside this checkout."""
    path = Path(__file__).parents[4] / "shared" / "reference" / "schemas" / name
    return str(path) if path.exists() else ""


def lacking(error: AttributeError) -> str:
    """Return what a test itself used that this system's Python lacks; empty when it was the program, or all is there.

    What the program uses is for mypy to see, which checks it for each system.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    by_a_test = trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(_TESTS)
    known = {module: name for name, module in sys.modules.items() if module in (os, signal, socket)}
    if hasattr(os, "fork") or not by_a_test or error.obj not in known:
        return ""
    return f"this system has no {known[error.obj]}.{error.name}"


def require(*names: str) -> None:
    """Skip the calling test when a program is missing; fail it when ARCHIPEC_REQUIRE_REAL=1."""
    import pytest  # here, because the benchmarks use this module without pytest

    problems = [problem for name in names if (problem := missing(name))]
    if not problems:
        return
    reason = "; ".join(problems) + " (tests/support/install-servers.sh installs what it can)"
    if os.environ.get("ARCHIPEC_REQUIRE_REAL") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
