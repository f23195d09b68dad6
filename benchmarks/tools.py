"""The tools that are compared: how each is told to download a mailbox, and how its result is checked."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from testbed.requirements import find


@dataclass(frozen=True, slots=True)
class Account:
    """The mailbox to download: its INBOX on an IMAP server over TLS."""

    host: str
    port: int
    user: str
    password: str
    ca_file: Path


class Tool(Protocol):
    """A program that downloads a mailbox into files of a folder, so that they survive power loss."""

    name: str
    exact: bool
    """Whether its files hold the messages' very bytes."""
    repeats: bool
    """Whether it can run again to fetch only what is new."""

    def command(self, account: Account, directory: Path) -> list[str]:
        """The command line that downloads into `directory`; the same again fetches only what is new."""
        ...

    def messages(self, directory: Path) -> Iterator[Path]:
        """The files that hold a message each."""
        ...

    def fetched(self, output: str) -> int | None:
        """How many messages the run says it fetched, when it says so."""
        ...


class Archipec:
    """archipec as installed in the Python that runs the benchmarks."""

    name = "archipec"
    exact = True
    repeats = True
    # Stored and durable, as the other tools.
    options: tuple[str, ...] = ("--no-seals",)

    def command(self, account: Account, directory: Path) -> list[str]:
        address = (
            f"imaps://{quote(account.user, safe='@')}@{account.host}:{account.port}/"
            f"?password=env:BENCH_PASSWORD&ca_file={quote(str(account.ca_file))}"
        )
        return [
            *(sys.executable, "-m", "archipec", "--state", str(directory / "state")),
            *("archive", "--from", address, "--to", f"maildir:{directory / 'maildir'}", "--json"),
            *self.options,
        ]

    def messages(self, directory: Path) -> Iterator[Path]:
        return _maildir(directory / "maildir")

    def fetched(self, output: str) -> int | None:
        return int(json.loads(output)["stored"])


class Judging(Archipec):
    """The same, every seal judged too."""

    name = "judged"
    repeats = False
    options = ()


class ThreeSinks(Judging):
    """The same into three archives at once."""

    name = "three"

    def command(self, account: Account, directory: Path) -> list[str]:
        more = ("--to", f"mbox:{directory / 'mbox'}", "--to", f"zip:{directory / 'zip'}")
        return [*super().command(account, directory), *more]


class Mbsync:
    """isync's mbsync into a Maildir, every message fsynced as it does by itself; it pulls what is new, no more."""

    name = "mbsync"
    # A Maildir of its has lines that end in LF.
    exact = False
    repeats = True

    def __init__(self, program: str) -> None:
        self._program = program

    def command(self, account: Account, directory: Path) -> list[str]:
        config = directory / "mbsyncrc"
        if not config.exists():
            (directory / "maildir").mkdir()
            config.touch(0o600)
            config.write_text(self._config(account, directory))
        return [self._program, "-c", str(config), "-q", "bench"]

    def messages(self, directory: Path) -> Iterator[Path]:
        return _maildir(directory / "maildir")

    def fetched(self, output: str) -> int | None:  # noqa: ARG002  it says nothing
        return None

    def _config(self, account: Account, directory: Path) -> str:
        return f"""
FSync yes

IMAPAccount bench
Host {account.host}
Port {account.port}
User "{account.user}"
Pass "{account.password}"
SSLType IMAPS
SystemCertificates no
CertificateFile "{account.ca_file}"

IMAPStore far
Account bench

MaildirStore near
Path "{directory}/maildir/"
Inbox "{directory}/maildir/INBOX"
SubFolders Verbatim

Channel bench
Far :far:
Near :near:
Patterns INBOX
Create Near
Sync PullNew
SyncState *
"""


class Floor:
    """The C program of this folder."""

    name = "floor"
    exact = True
    repeats = False

    def __init__(self, program: Path) -> None:
        self._program = program

    def command(self, account: Account, directory: Path) -> list[str]:
        messages = directory / "messages"
        messages.mkdir()
        return [
            *(str(self._program), account.host, str(account.port)),
            *(account.user, str(account.ca_file), str(messages)),
        ]

    def messages(self, directory: Path) -> Iterator[Path]:
        return (directory / "messages").iterdir()

    def fetched(self, output: str) -> int | None:
        return int(output)


def environment(account: Account, home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """What a tool sees of this process's environment: nothing of the user's own configuration."""
    inherited = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ
    }
    return {**inherited, "HOME": str(home), "LANG": "C.UTF-8", "BENCH_PASSWORD": account.password, **extra}


def problem(tool: Tool, directory: Path, output: str, expected: set[bytes]) -> str | None:
    """What is wrong with a first download; None when every message is there, once."""
    said = tool.fetched(output)
    if said is not None and said != len(expected):
        return f"{tool.name} says {said} messages instead of {len(expected)}"
    files = list(tool.messages(directory))
    if len(files) != len(expected):
        return f"{tool.name} left {len(files)} files instead of {len(expected)}"
    if tool.exact and {hashlib.sha256(file.read_bytes()).digest() for file in files} != expected:
        return f"{tool.name} left other bytes than the server has"
    return None


def mbsync() -> Mbsync | None:
    """mbsync, when it is installed."""
    program = find("mbsync")
    return Mbsync(program) if program else None


def _maildir(directory: Path) -> Iterator[Path]:
    for place, _, names in os.walk(directory):
        if Path(place).name in {"cur", "new"}:
            for name in names:
                yield Path(place) / name
