"""A correct source, for reading and for breaking: mailboxes in memory, behind a login."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from archipec.contract import (
    ContentKey,
    Context,
    DeletionOrder,
    Fetched,
    Folder,
    Item,
    Json,
    Listed,
    Option,
    Quota,
    Secret,
    Skipped,
    Source,
    SourceType,
    port_number,
)
from archipec.errors import AlreadyGone, ArchipecError, AuthError, ConfigError, Refused, Scope, TransientError
from archipec.hookspecs import hookimpl

_PIECE = 1000


@dataclass
class Server:
    """What a provider keeps for one user."""

    password: str
    validity: int = 1
    folders: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    seen: set[tuple[str, int]] = field(default_factory=set)
    marked: set[tuple[str, bytes]] = field(default_factory=set)
    breaks_off: bool = False
    last: dict[str, int] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)

    def next_number(self, folder: str) -> int:
        """Return a number that no message of a folder has or had."""
        self.last[folder] = self.last.get(folder, 0) + 1
        return self.last[folder]

    def deliver(self, folder: str, raw: bytes) -> None:
        """Add a message under the next number."""
        self.folders.setdefault(folder, []).append((self.next_number(folder), raw))


SERVERS: dict[str, Server] = {}
"""The world outside, by host."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of a source."""

    host: str
    port: int
    user: str
    password: Secret


OPTIONS = (
    Option(name="host", help="name of the server", required=True, part="host"),
    Option(name="port", help="its port", default=993, part="port", convert=port_number),
    Option(name="user", help="login", required=True, part="user"),
    Option(name="password", help="where the password is kept", secret=True, required=True),
)


def parse(values: Mapping[str, Any]) -> Config:
    """Make the configuration, naming every problem."""
    problems = []
    if "/" in values["host"]:
        problems.append(f'"host" must be a name, not {values["host"]!r}')
    if " " in values["user"]:
        problems.append(f'"user" must be one word, not {values["user"]!r}')
    if problems:
        raise ConfigError(problems)
    return Config(**{**values, "host": values["host"].lower()})


def where(config: Config) -> str:
    """Return the identity: as the host is, whatever its spelling."""
    return f"memory://{config.user}@{config.host}:{config.port}"


class MemorySource:
    """A session with a server."""

    def __init__(self, server: Server, context: Context) -> None:
        self.server = server
        self.context = context
        self.whole: dict[str, bool] = {}

    def folders(self) -> Iterator[Folder]:
        """Give every folder in the order of their names."""
        for name in sorted(self.server.folders):
            yield Folder(name, None, len(self.server.folders[name]))

    def scan(self, folder: str, after: Json | None) -> Iterator[Listed]:
        """List by number; a cursor is validity and number."""
        known = isinstance(after, list) and len(after) == 2 and after[0] == self.server.validity
        last = after[1] if known and isinstance(after, list) else 0
        self.whole[folder] = last == 0
        for number, raw in self.server.folders.get(folder, []):
            if isinstance(last, int) and number > last:
                yield Listed(
                    folder=folder,
                    ref=f"{self.server.validity}/{number}",
                    size=len(raw),
                    received=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
                    flags=("\\Seen",) if (folder, number) in self.server.seen else (),
                    cursor=[self.server.validity, number],
                )

    def fetch(self, folder: str, refs: Iterable[str]) -> Iterator[Fetched]:
        """Read one after the other."""
        for ref in refs:
            raw = self.message(folder, ref)
            if raw is not None:
                yield Fetched(ref, self.chunks(raw))

    def headers(self, folder: str, refs: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Read up to the blank line."""
        for ref in refs:
            raw = self.message(folder, ref)
            if raw is not None:
                yield ref, self.head(raw)

    def skipped(self) -> Iterator[Skipped]:
        """Name messages that another program keeps locked."""
        for name in sorted(self.server.locked):
            yield Skipped(name, "another program has it locked")

    def folder_names(self) -> frozenset[str]:
        """Name every folder."""
        return frozenset(self.server.folders)

    def listed_whole(self, folder: str) -> bool:
        """Tell whether the last listing began at the start."""
        return self.whole.get(folder, False)

    def quota(self) -> Quota | None:
        """Tell how full the mailbox is."""
        used = sum(len(raw) for messages in self.server.folders.values() for _, raw in messages)
        return Quota(used, 2**30)

    def delete(self, orders: Iterable[DeletionOrder]) -> Iterator[tuple[DeletionOrder, ArchipecError | None]]:
        """Carry out orders, one after the other."""
        for order in orders:
            refused = self.refusal(order)
            if refused is None and self.message(order.folder, order.ref) is None:
                yield order, AlreadyGone(f"message {order.ref} was no longer there")
                continue
            if refused is None:
                self.remove(order)
            yield order, refused

    def refusal(self, order: DeletionOrder) -> Refused | None:
        """Say why an order can't be carried out."""
        raw = self.message(order.folder, order.ref)
        if not order.ref.startswith(f"{self.server.validity}/"):
            reason = "the folder is another by now"
        elif order.expires_at <= self.context.now():
            reason = "the order has expired"
        elif raw is not None and ContentKey.of(raw) != order.key:
            reason = "it is another message"
        else:
            return None
        return Refused(f"message {order.ref} is not deleted: {reason}", scope=Scope.MESSAGE)

    def remove(self, order: DeletionOrder) -> None:
        """Delete what an order names."""
        messages = self.server.folders[order.folder]
        messages[:] = [one for one in messages if f"{self.server.validity}/{one[0]}" != order.ref]

    def put_back(self, item: Item) -> None:
        """Deliver a message again."""
        with item.open() as reader:
            self.deliver_again(item.folder, reader.read(), item.flags)

    def deliver_again(self, folder: str, raw: bytes, flags: tuple[str, ...]) -> None:
        """Add a message under a number that none had before."""
        number = self.server.next_number(folder)
        self.server.folders[folder].append((number, raw))
        if "\\Seen" in flags:
            self.server.seen.add((folder, number))

    def message(self, folder: str, ref: str) -> bytes | None:
        """Return the bytes a ref names, None when it names nothing."""
        for number, raw in self.server.folders.get(folder, []):
            if ref == f"{self.server.validity}/{number}":
                return raw
        return None

    def chunks(self, raw: bytes) -> Iterator[bytes]:
        """Give the bytes piece by piece, as far as the server gives them."""
        came = self.received(raw)
        for start in range(0, len(came), _PIECE):
            yield came[start : start + _PIECE]
        if len(came) < len(raw):
            raise TransientError(
                f"the connection was lost after {len(came)} of {len(raw)} bytes", scope=Scope.MESSAGE
            )

    def received(self, raw: bytes) -> bytes:
        """Return what comes of a message."""
        return raw[: len(raw) // 2] if self.server.breaks_off else raw

    def head(self, raw: bytes) -> bytes:
        """Return the header section with its blank line."""
        if raw.startswith((b"\r\n", b"\n")):
            return b""
        ends = [at + len(mark) for mark in (b"\n\r\n", b"\n\n") if (at := raw.find(mark)) >= 0]
        return raw[: min(ends, default=len(raw))]

    def close(self) -> None:
        """Log out."""


def login(config: Config) -> Server:
    """Return the server's side of a session."""
    server = SERVERS.get(config.host)
    if server is None:
        raise TransientError(f"no answer from {config.host}", hint="check the name of the server")
    if config.password.reveal() != server.password:
        raise AuthError(f"login refused by {config.host} for {config.user}", hint="check the password")
    return server


def opener(source: type[MemorySource]) -> Callable[[Config, Context], AbstractContextManager[Source]]:
    """Return what the record's ``open`` is."""

    @contextmanager
    def open_source(config: Config, context: Context) -> Iterator[Source]:
        opened = source(login(config), context)
        try:
            yield opened
        finally:
            opened.close()

    return open_source


MEMORY_SOURCE = SourceType(
    api=1,
    name="memory",
    summary="mailboxes in memory",
    schemes=("memory",),
    options=OPTIONS,
    parse=parse,
    where=where,
    open=opener(MemorySource),
)


@hookimpl
def archipec_sources() -> Iterator[SourceType[Config]]:
    """Yield the record."""
    yield MEMORY_SOURCE
