"""Which real programs this machine has, and what a test does without them."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

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


def missing(name: str) -> str | None:
    """Why the real program `name` can't be used here; None when it can.

    Names: "dovecot" (IMAP), "dovecot-pop3", or any program by its command ("openssl", "mbsync", "cc").
    """
    if not name.startswith("dovecot"):
        return None if find(name) else f"{name} is not installed"
    version = dovecot_version()
    if version is None:
        return "Dovecot is not installed"
    if version not in KNOWN_DOVECOTS:
        return f"Dovecot {version[0]}.{version[1]} is installed: the test bed can't set that one up"
    service = "pop3" if name == "dovecot-pop3" else "imap"
    return None if _dovecot_service(service) else f"Dovecot is installed without {service.upper()}"


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
