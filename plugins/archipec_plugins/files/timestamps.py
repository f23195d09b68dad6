"""Time stamps (RFC 3161) on an archive's manifest, which prove that what it lists existed then, as it is.

A token stands beside the manifest, in a file named by how many bytes of it are stamped: ``SHA256SUMS.52714.tsr``.
Lines are only added to a manifest, so what an old token stamped can always be cut out again::

    head -c 52714 SHA256SUMS | openssl ts -verify -data /dev/stdin -in SHA256SUMS.52714.tsr -CAfile ca.pem
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archipec.contract import Context
from archipec.durability import open_regular, write_file
from archipec.errors import ArchipecError, IntegrityError, from_os_error
from archipec.language import _
from archipec.timestamp import TsaClient

_TOKEN = re.compile(r"\.([1-9][0-9]{0,17})\.tsr")
_LARGEST_TOKEN = 1 << 20
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Timestamps:
    """The time stamps on manifests, by the authority that is configured."""

    authority: TsaClient

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Timestamps:
        """Return what the values of `TSA_OPTIONS` mean."""
        return cls(TsaClient.of(values))

    def stamp(self, manifest: str, context: Context) -> None:
        """Have the manifest at a path stamped, unless it is already, or is empty, or no authority is configured.

        Raises:
            ArchipecError: the authority gave no good token, or the token can't be kept.
        """
        if not self.authority.url or context.cancelled():
            return
        try:
            size = _size(manifest)
            if not size or size in _tokens(manifest):
                return
            ((_, digest),) = _digests(manifest, [size])
        except OSError as error:
            raise from_os_error(error, manifest) from error
        token = self.authority.stamp(digest)
        path = Path(f"{manifest}.{size}.tsr")
        try:
            write_file(path, token)
        except OSError as error:
            raise from_os_error(error, path) from error

    def check(self, manifest: str) -> Iterator[ArchipecError]:
        """Yield what is wrong with the tokens of the manifest at a path, each checked as of the time it states."""
        try:
            tokens = _tokens(manifest)
            size = _size(manifest)
            for stamped, digest in _digests(manifest, sorted(token for token in tokens if token <= size)):
                problem = self._problem(tokens[stamped], digest)
                if problem is not None:
                    yield problem
        except OSError as error:
            raise from_os_error(error, manifest) from error
        for stamped in sorted(token for token in tokens if token > size):
            yield IntegrityError(
                _("{manifest} was cut short: {name} stamps {stamped} bytes of it, and it has {size}").format(
                    manifest=manifest, name=tokens[stamped].name, stamped=stamped, size=size
                )
            )
        if self.authority.url and size and size not in tokens:
            newest = max((token for token in tokens if token < size), default=0)
            yield IntegrityError(
                _("{manifest} has no time stamp from byte {newest} on").format(
                    manifest=manifest, newest=newest
                ),
                hint=_("the next `archipec archive` asks for it"),
            )

    def _problem(self, token: Path, digest: bytes) -> ArchipecError | None:
        try:
            with open(open_regular(token, os.O_RDONLY), "rb") as file:
                data = file.read(_LARGEST_TOKEN)
        except OSError as error:
            return IntegrityError(
                _("{token} can't be read: {reason}").format(token=token, reason=error.strerror or error)
            )
        try:
            self.authority.check(data, digest)
        except IntegrityError as error:
            return IntegrityError(f"{token}: {error.message}", hint=error.hint)
        return None


def _tokens(manifest: str) -> dict[int, Path]:
    """Return the files with tokens, by the number of bytes that they stamp."""
    name = Path(manifest).name
    found = {}
    for path in Path(manifest).parent.iterdir():
        match = _TOKEN.fullmatch(path.name.removeprefix(name)) if path.name.startswith(name) else None
        if match is not None:
            found[int(match[1])] = path
    return found


def _size(manifest: str) -> int:
    path = Path(manifest)
    return path.stat().st_size if path.exists() else 0


def _digests(path: str, sizes: list[int]) -> Iterator[tuple[int, bytes]]:
    """Yield each size with the SHA-256 of so many bytes from the beginning of a file; sizes are ascending."""
    if not sizes:
        return
    digest, done = hashlib.sha256(), 0
    with open(open_regular(path, os.O_RDONLY), "rb") as file:
        for size in sizes:
            while done < size and (block := file.read(min(_BLOCK, size - done))):
                digest.update(block)
                done += len(block)
            yield size, digest.copy().digest()
