"""Sealed mail to download, made once per set of parameters and kept in a cache folder."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from archipec import simulator

SEED = 7


@dataclass(frozen=True, slots=True)
class Corpus:
    """`count` messages of about `size` bytes each, in a file of records: a line with the length and the
    moment of arrival, then the bytes."""

    count: int
    size: int
    path: Path

    def messages(self) -> Iterator[tuple[bytes, datetime | None]]:
        """Every message with the moment the provider received it."""
        with self.path.open("rb") as file:
            while head := file.readline():
                length, received = head.split()
                yield file.read(int(length)), datetime.fromtimestamp(int(received), UTC)

    def size_of_messages(self) -> int:
        """Bytes of all messages together."""
        return sum(len(raw) for raw, _ in self.messages())

    def digests(self) -> set[bytes]:
        """SHA-256 of every message."""
        return {hashlib.sha256(raw).digest() for raw, _ in self.messages()}


def corpus(count: int, size: int, cache: Path) -> Corpus:
    """The corpus of these parameters, made now unless it is in the cache."""
    path = cache / f"{count}x{size}-{SEED}-{_simulator_version()}.messages"
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            for raw, received in _made(count, size):
                file.write(b"%d %d\n" % (len(raw), int(received.timestamp())))
                file.write(raw)
        # What an older simulator made is of no use any more.
        for stale in cache.glob(f"{count}x{size}-*.messages"):
            stale.unlink()
        unfinished.rename(path)
    return Corpus(count, size, path)


def _made(count: int, size: int) -> Iterator[tuple[bytes, datetime]]:
    """Several: an office's mailbox of that mean size. One: an envelope of just that size."""
    if count > 1:
        for sample in simulator.mailbox(count, seed=SEED, size=size):
            yield sample.raw, sample.received
        return
    # Base64 makes four bytes of three, and a line's end of every 76.
    content = random.Random(SEED).randbytes(size * 3 // 4 * 76 // 78)
    original = simulator.compose(attachments=[simulator.Attachment("perizia.pdf", content)])
    provider = simulator.Provider(SEED)
    yield provider.envelope(provider.accept(original)), datetime(2026, 9, 30, 17, tzinfo=UTC)


def default_cache() -> Path:
    """A folder of this user's own under the system's temporary one."""
    cache = Path(tempfile.gettempdir()) / f"archipec-bench-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.lstat().st_uid != os.getuid():
        raise PermissionError(f"{cache} belongs to somebody else: choose another with --cache")
    return cache


def _simulator_version() -> str:
    """Changes whenever the simulator's code does."""
    digest = hashlib.sha256()
    assert simulator.__file__ is not None
    for module in sorted(Path(simulator.__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()[:12]
