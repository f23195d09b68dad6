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

NO_SEALS, NO_INDEX = "--no-seals", "--no-index"
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Account:
    """A mailbox to download: the INBOX of a server over TLS. `protocol` is imap or pop3."""

    protocol: str
    host: str
    port: int
    user: str
    password: str
    ca_file: Path

    @property
    def url(self) -> str:
        """As archipec is told."""
        return (
            f"{self.protocol}s://{quote(self.user, safe='@')}@{self.host}:{self.port}"
            f"{'/' if self.protocol == 'imap' else ''}"
            f"?password=env:BENCH_PASSWORD&ca_file={quote(str(self.ca_file))}"
        )


@dataclass(frozen=True, slots=True)
class Export:
    """Mail to import: what a program left of a mailbox, in one of the forms of `benchmarks.exports`."""

    form: str
    path: Path

    @property
    def url(self) -> str:
        """As archipec is told."""
        return f"{self.form}:{self.path}"


Origin = Account | Export


class Tool(Protocol):
    """A program that puts the messages of a mailbox into files of a folder, so that they survive power loss."""

    @property
    def name(self) -> str:
        """Unique."""

    @property
    def exact(self) -> bool:
        """Whether its files hold the messages' very bytes."""

    @property
    def repeats(self) -> bool:
        """Whether it can run again to fetch only what is new."""

    @property
    def copies(self) -> int:
        """How many copies of the mailbox it writes."""

    def command(self, origin: Origin, directory: Path) -> list[str]:
        """The command line that downloads into `directory`; the same again fetches only what is new."""

    def messages(self, directory: Path) -> Iterator[Path]:
        """The files that hold a message each."""

    def fetched(self, output: str) -> int | None:
        """How many messages the run says it fetched, when it says so."""

    def valid_seals(self, output: str) -> int | None:
        """How many seals the run says it found valid, when it judges any."""


@dataclass(frozen=True, slots=True)
class Archipec:
    """archipec, into a Maildir and `more` archives beside it.

    Attributes:
        root: a file with the certificate that the messages' seals lead to.
        without: options that leave something out; none for archipec as it is by default.
        python: the Python that it is installed in.
    """

    name: str
    root: Path
    without: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    python: str = sys.executable
    exact: bool = True
    repeats: bool = True

    @property
    def copies(self) -> int:
        return 1 + len(self.more)

    def command(self, origin: Origin, directory: Path) -> list[str]:
        sinks = ["maildir:" + str(directory / "maildir")]
        sinks += [f"{form}:{directory / f'{form}-{number}'}" for number, form in enumerate(self.more)]
        return [
            *(self.python, "-m", "archipec", "--state", str(directory / "state")),
            *("archive", "--json", "--from", origin.url),
            *(word for sink in sinks for word in ("--to", sink)),
            *("--trust", str(self.root), *self.without),
        ]

    def messages(self, directory: Path) -> Iterator[Path]:
        return _maildir(directory / "maildir")

    def fetched(self, output: str) -> int | None:
        return int(json.loads(output)["stored"])

    def valid_seals(self, output: str) -> int | None:
        return int(json.loads(output)["seals"].get("valid", 0)) if NO_SEALS not in self.without else None


class _Silent:
    """A tool that says nothing of what it did, and leaves a copy of other bytes: its lines end in LF."""

    exact = False
    repeats = True
    copies = 1

    def fetched(self, output: str) -> int | None:  # noqa: ARG002
        return None

    def valid_seals(self, output: str) -> int | None:  # noqa: ARG002
        return None


class Mbsync(_Silent):
    """isync's mbsync into a Maildir, every message fsynced as it does by itself; it pulls what is new, no more."""

    name = "mbsync"

    def __init__(self, program: str) -> None:
        self._program = program

    def command(self, origin: Origin, directory: Path) -> list[str]:
        assert isinstance(origin, Account)
        config = directory / "mbsyncrc"
        if not config.exists():
            (directory / "maildir").mkdir()
            config.touch(0o600)
            config.write_text(self._config(origin, directory))
        return [self._program, "-c", str(config), "-q", "bench"]

    def messages(self, directory: Path) -> Iterator[Path]:
        return _maildir(directory / "maildir")

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


class MbsyncOpenssl(Mbsync):
    """mbsync, then `openssl cms -verify` of every message: what one would do without archipec.

    A process of openssl for each file, because it takes one message at a time; by xargs, as many at once as there are
    processors and with no shell in between, which is the fastest way to call it.
    """

    name = "mbsync+openssl"
    repeats = False
    # Prints how many seals are good. Mail without a seal is an error to openssl, and then to xargs.
    _SCRIPT = (
        '"$1" -c "$2" -q bench && find "$3" -type f \\( -path "*/cur/*" -o -path "*/new/*" \\) -print0'
        ' | xargs -0 -n 1 -P "$4" openssl cms -verify -CAfile "$5" -out /dev/null -in 2>&1'
        ' | grep -c "Verification successful"'
    )

    def __init__(self, program: str, root: Path) -> None:
        super().__init__(program)
        self._root = root

    def command(self, origin: Origin, directory: Path) -> list[str]:
        program, _, config, *_ = super().command(origin, directory)
        arguments = (program, config, str(directory / "maildir"), str(os.cpu_count()), str(self._root))
        return ["sh", "-c", self._SCRIPT, "sh", *arguments]

    def valid_seals(self, output: str) -> int | None:
        return int(output)


class Mpop(_Silent):
    """mpop into a Maildir, leaving the mail on the server; it pipelines and flushes every message."""

    name = "mpop"

    def __init__(self, program: str) -> None:
        self._program = program

    def command(self, origin: Origin, directory: Path) -> list[str]:
        assert isinstance(origin, Account)
        config = directory / "mpoprc"
        if not config.exists():
            for name in ("cur", "new", "tmp"):
                (directory / "maildir" / name).mkdir(parents=True)
            config.touch(0o600)
            config.write_text(f"""
account default
host {origin.host}
port {origin.port}
user {origin.user}
password "{origin.password}"
tls on
tls_starttls off
tls_trust_file {origin.ca_file}
delivery maildir {directory}/maildir
uidls_file {directory}/uidls
keep on
received_header off
pipelining on
""")
        return [self._program, "-C", str(config), "-q"]

    def messages(self, directory: Path) -> Iterator[Path]:
        return (directory / "maildir" / "new").iterdir()


class _Reference:
    """A download and no more, to compare with: it prints how many messages it stored."""

    exact = True
    repeats = False
    copies = 1

    def fetched(self, output: str) -> int | None:
        return int(output)

    def valid_seals(self, output: str) -> int | None:  # noqa: ARG002
        return None


class Floor(_Reference):
    """The C program of this folder."""

    name = "floor"

    def __init__(self, program: Path) -> None:
        self._program = program

    def command(self, origin: Origin, directory: Path) -> list[str]:
        assert isinstance(origin, Account)
        messages = directory / "messages"
        messages.mkdir()
        return [
            *(str(self._program), origin.host, str(origin.port)),
            *(origin.user, str(origin.ca_file), str(messages)),
        ]

    def messages(self, directory: Path) -> Iterator[Path]:
        return (directory / "messages").iterdir()


class Prototype(_Reference):
    """`prototype.py` of this folder: the same work in Python, written straight."""

    name = "prototype"

    def command(self, origin: Origin, directory: Path) -> list[str]:
        assert isinstance(origin, Account)
        return [
            *(sys.executable, str(_HERE / "prototype.py"), origin.host, str(origin.port)),
            *(origin.user, str(origin.ca_file), str(directory)),
        ]

    def messages(self, directory: Path) -> Iterator[Path]:
        return _maildir(directory / "maildir")


def environment(origin: Origin, home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """What a tool sees of this process's environment: nothing of the user's own configuration."""
    inherited = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ
    }
    secret = {"BENCH_PASSWORD": origin.password} if isinstance(origin, Account) else {}
    return {**inherited, "HOME": str(home), "LANG": "C.UTF-8", **secret, **extra}


def problem(tool: Tool, directory: Path, output: str, expected: set[bytes]) -> str | None:
    """What is wrong with a first download; None when every message is there, once."""
    said = tool.fetched(output)
    if said is not None and said != len(expected):
        return f"{tool.name} says {said} messages instead of {len(expected)}"
    files = list(tool.messages(directory))
    if len(files) != len(expected):
        return f"{tool.name} left {len(files)} files instead of {len(expected)}"
    if tool.exact and {hashlib.sha256(file.read_bytes()).digest() for file in files} != expected:
        return f"{tool.name} left other bytes than the source has"
    return None


def _maildir(directory: Path) -> Iterator[Path]:
    for place, _, names in os.walk(directory):
        if Path(place).name in {"cur", "new"}:
            for name in names:
                yield Path(place) / name
