"""Measures what reading alone costs: every source, opened as a run opens it, its bytes thrown away.

Real Dovecot on loopback, over TLS; the dumps hold the same messages. Beside IMAP stands the least that Python can do: one
pipelined FETCH over an `ssl.SSLSocket`, literals read and dropped. Each measurement is a process of its own, the sources
take turns, and the least of all rounds counts: it is the one that other programs disturbed least.
"""

from __future__ import annotations

import argparse
import logging
import mailbox
import multiprocessing
import re
import resource
import socket
import ssl
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from io import IOBase
from pathlib import Path
from typing import Final, NamedTuple

_ROOT = Path(__file__).resolve().parent.parent
# This folder is a package of the checkout, and so is the test bed; neither is installed.
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests" / "support")]

from archipec.plugins.registry import Registry
from archipec.testing import PlantedSecret, configure, make_context
from benchmarks import corpus
from testbed import requirements
from testbed.dovecot import Dovecot

_LITERAL: Final = re.compile(rb"\{([0-9]+)\}\r\n\Z")


class Cost(NamedTuple):
    """Processor microseconds a message: to list it, and to read it."""

    listing: float
    reading: float


class Server(NamedTuple):
    """A mailbox to read."""

    host: str
    ports: dict[str, int]
    user: str
    password: str
    ca_file: Path


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 0 when every source gave every message."""
    parser = argparse.ArgumentParser(prog="benchmarks/reading.py", description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="messages (default: 5000)")
    parser.add_argument("--size", type=int, default=20_000, help="bytes of each (default: 20000)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default: 5)")
    parser.add_argument("--cache", metavar="DIR", type=Path, help="where the mail to read is kept")
    options = parser.parse_args(arguments)
    if trouble := requirements.missing("dovecot") or requirements.missing("dovecot-pop3"):
        print(trouble, file=sys.stderr)
        return 1
    sample = corpus.corpus(options.count, options.size, options.cache or corpus.default_cache())
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary, Dovecot(storage="mdbox") as dovecot:
        dovecot.fill("INBOX", sample.messages())
        dovecot.snapshot()
        server = Server(
            dovecot.host,
            {"imap": dovecot.port, "pop3": dovecot.pop3_port},
            dovecot.user,
            dovecot.password,
            dovecot.ca_file,
        )
        readers: dict[str, Callable[[], Cost]] = {
            "IMAP": partial(_of_mailbox, "imap", server, sample.count),
            "IMAP, a bare loop": partial(_of_bare_loop, server, sample.count),
            "POP3": partial(_of_mailbox, "pop3", server, sample.count),
        }
        for name, (kind, path) in _dumps(sample, Path(temporary)).items():
            readers[name] = partial(_of_source, kind, {"path": path}, sample.count)
        costs: dict[str, list[Cost]] = {name: [] for name in readers}
        for _ in range(options.rounds):
            for name, reader in readers.items():
                costs[name].append(_in_own_process(reader))
    print(f"{'processor µs a message':24} {'listed':>8} {'read':>8}")
    for name, each in costs.items():
        listing, reading = (min(column) for column in zip(*each, strict=True))
        print(f"{name:24} {listing:8.1f} {reading:8.1f}")
    return 0


def _of_mailbox(kind: str, server: Server, count: int) -> Cost:
    account = {
        "user": server.user,
        "host": server.host,
        "port": server.ports[kind],
        "password": PlantedSecret(server.password),
        "ca_file": server.ca_file,
    }
    return _of_source(kind, account, count)


def _of_source(kind: str, table: dict[str, object], count: int) -> Cost:
    logging.disable()
    record = Registry.load().source(kind)
    with (
        tempfile.TemporaryDirectory() as temporary,
        record.open(configure(record, table), make_context(Path(temporary))) as source,
    ):
        begun = _processor_seconds()
        refs = {
            folder.name: [listed.ref for listed in source.scan(folder.name, None)]
            for folder in source.folders()
        }
        listed = _processor_seconds()
        read = 0
        for folder, names in refs.items():
            for fetched in source.fetch(folder, names):
                for _ in fetched.chunks:
                    pass
                read += 1
        return _cost(begun, listed, read, count)


def _of_bare_loop(server: Server, count: int) -> Cost:
    context = ssl.create_default_context(cafile=server.ca_file)
    with (
        socket.create_connection((server.host, server.ports["imap"])) as plain,
        context.wrap_socket(plain, server_hostname=server.host) as connection,
        connection.makefile("rb", buffering=128 * 1024) as lines,
    ):
        lines.readline()
        connection.sendall(b'a LOGIN "%b" "%b"\r\n' % (server.user.encode(), server.password.encode()))
        _until(lines, b"a OK")
        connection.sendall(b"b EXAMINE INBOX\r\n")
        _until(lines, b"b OK")
        begun, read = _processor_seconds(), 0
        connection.sendall(b"c UID FETCH 1:* (UID BODY.PEEK[])\r\n")
        while not (line := lines.readline()).startswith(b"c "):
            if (literal := _LITERAL.search(line)) is not None:
                lines.read(int(literal[1]))
                read += 1
        return _cost(begun, begun, read, count)


def _until(lines: IOBase, beginning: bytes) -> None:
    while line := lines.readline():
        if line.startswith(beginning):
            return
    raise EOFError("the server left")


def _dumps(sample: corpus.Corpus, directory: Path) -> dict[str, tuple[str, Path]]:
    """Write the same messages in each format; return (kind of source, path) by title."""
    folder = directory / "eml"
    folder.mkdir()
    box = mailbox.Maildir(directory / "maildir")
    with (
        (directory / "takeout.mbox").open("wb") as mbox,
        zipfile.ZipFile(directory / "stored.zip", "w") as stored,
        zipfile.ZipFile(directory / "deflated.zip", "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for number, (raw, _) in enumerate(sample.messages()):
            name = f"{number:06}.eml"
            (folder / name).write_bytes(raw)
            box.add(raw)
            mbox.write(
                b"From - Thu Jan  1 00:00:00 2026\r\n" + re.sub(rb"(?m)^(>*From )", rb">\1", raw) + b"\r\n"
            )
            stored.writestr(name, raw)
            deflated.writestr(name, raw)
    return {
        "MBOX": ("mbox", directory / "takeout.mbox"),
        "Maildir": ("maildir", directory / "maildir"),
        ".eml": ("eml", folder),
        "zip, stored": ("zip", directory / "stored.zip"),
        "zip, deflated": ("zip", directory / "deflated.zip"),
    }


def _in_own_process(reader: Callable[[], Cost]) -> Cost:
    context = multiprocessing.get_context("fork")
    near, far = context.Pipe()
    process = context.Process(target=lambda: far.send(reader()))
    process.start()
    far.close()
    try:
        return Cost(*near.recv())
    finally:
        process.join()


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _cost(begun: float, listed: float, read: int, count: int) -> Cost:
    if read != count:
        raise ValueError(f"{read} messages were read of {count}")
    return Cost((listed - begun) / count * 1e6, (_processor_seconds() - listed) / count * 1e6)


if __name__ == "__main__":
    sys.exit(main())
