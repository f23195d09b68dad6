"""Packages put into a folder, from where they are deposited: by hand, by the provider's own program, by a shared disk.

A package in a folder is not conserved: it is proven only by a report of the provider, put into the folder of reports.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from archipec.conservation.dropfolder import DROP_OPTIONS, DropProvider
from archipec.conservation.sink import conservation_sink
from archipec.contract import Context, Option, SinkType, file_path
from archipec.errors import PermanentError, Scope, TransientError, from_os_error
from archipec.hookspecs import hookimpl
from archipec_plugins.conservation.server import bounded, of_this_file

_FLAGS: Final = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | getattr(os, "O_BINARY", 0)
from archipec.language import N_, _
from archipec_plugins.files.records import url_path


class LocalFolder:
    """A folder on this machine; see `archipec.conservation.dropfolder.RemoteFolder`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self, folder: str) -> Iterable[str]:
        """Return the names in a folder."""
        try:
            with os.scandir(self._root / folder) as entries:
                return list(bounded((entry.name for entry in entries), str(self._root / folder)))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise from_os_error(error, self._root / folder) from error

    def make(self, folder: str) -> None:
        """Make a folder."""
        from archipec.conservation.outbox import make_private

        path = self._root / folder
        try:
            make_private(path)
        except OSError as error:
            raise from_os_error(error, path) from error

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a file; durable on return."""
        from archipec.durability import open_regular, sync_directory, sync_file

        file = self._root / path
        try:
            with open(open_regular(file, _FLAGS), "wb") as stream:
                stream.writelines(chunks)
                stream.flush()
                sync_file(stream.fileno())
            sync_directory(file.parent)
        except OSError as error:
            raise from_os_error(error, file) from error

    def rename(self, old: str, new: str) -> None:
        """Rename a file or folder; durable on return."""
        from archipec.durability import sync_directories

        source, target = self._root / old, self._root / new
        try:
            source.rename(target)
            sync_directories({source.parent, target.parent})
        except OSError as error:
            raise from_os_error(error, target) from error

    def read(self, path: str, limit: int) -> bytes:
        """Return the bytes of a file."""
        from archipec.durability import open_regular

        file = self._root / path
        try:
            with open(open_regular(file, os.O_RDONLY), "rb") as stream:
                return stream.read(limit + 1)
        except FileNotFoundError as error:
            raise TransientError(_("{file} is gone").format(file=file), scope=Scope.MESSAGE) from error
        except OSError as error:
            raise of_this_file(from_os_error(error, file)) from error


class DirectoryDrop(DropProvider):
    """Packages in a folder of this machine."""

    name: ClassVar[str] = "directory"
    summary: ClassVar[str] = N_("packages for a conservation provider, put into a folder")
    evidence: ClassVar[str] = N_("not yet conservazione a norma: that begins with the provider's report")
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            name="path",
            help="the folder to put packages into",
            required=True,
            part="path",
            convert=file_path,
        ),
        *DROP_OPTIONS,
    )

    @classmethod
    def where(cls, config: Mapping[str, Any]) -> str:
        """Return the URL of the folder, symbolic links resolved."""
        return f"conservation+directory:{url_path(config['path'], ascii_only=True)}"

    @classmethod
    @contextmanager
    def open(cls, config: Mapping[str, Any], context: Context) -> Iterator[Self]:  # noqa: ARG003
        """Check that the folder is there; it is made by who agreed on it with the provider."""
        path: Path = config["path"]
        if not path.is_dir():
            raise PermanentError(
                _("there is no folder {path}").format(path=path),
                hint=_("make it, or connect its disk: packages are waiting in the outbox"),
            )
        yield cls(LocalFolder(path), config)


DIRECTORY = conservation_sink(DirectoryDrop)


@hookimpl
def archipec_sinks() -> Iterable[SinkType[Any]]:
    """Yield the sink."""
    yield DIRECTORY
