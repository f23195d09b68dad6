"""Providers that take packages as files in a folder, and put their reports into another.

All of them but the file operations: those are a `RemoteFolder`. A subclass of `DropProvider` names itself, adds its options
and opens its place::

    class Sftp(DropProvider):
        name, summary, evidence = "sftp", "...", "..."
        options = (..., *DROP_OPTIONS)

        @classmethod
        @contextmanager
        def open(cls, config, context):
            with connected(config) as place:
                yield cls(place, config)

What is in the folder, per package (``form = "folder"``; with ``"zip"`` the folder is one file ``PdV_<id>.zip``)::

    .archipec/<id>/...        being written
    .archipec/<id>.released   written just before the next step, so that a package the provider has collected is
                              distinguished from one that never arrived
    PdV_<id>/                 renamed from the first, complete
    PdV_<id>.ready            last: the provider may collect it now
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from io import RawIOBase
from typing import TYPE_CHECKING, Any, Protocol

from archipec.conservation.provider import ConservationProvider
from archipec.contract import Option, choice, text
from archipec.errors import ArchipecError, ConfigError, Scope
from archipec.language import _
from archipec.message import ContentKey

if TYPE_CHECKING:
    from archipec.conservation.provider import Outcome, Package, PackageFile, Ticket

__all__ = ["DROP_OPTIONS", "DropProvider", "RemoteFolder"]

_STAGING = ".archipec"
_NAMED = r".*(?P<package>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}).*"
_SAFE = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}"
_CHUNK = 1 << 20
MAX_REPORT = 32 << 20
"""Bytes of a report that are read."""


class RemoteFolder(Protocol):
    """A folder on a disk or a server. Paths are relative to it, with ``/``, of ASCII letters, digits and ``._-``.

    Errors are those of `archipec.errors`: TransientError for what may work later (connection, disk full),
    PermanentError for what only a change removes (no permission).
    """

    def names(self, folder: str) -> Iterable[str]:
        """Return the names in a folder, ``""`` being the place itself; none when it is not there."""
        ...

    def make(self, folder: str) -> None:
        """Make a folder and those above it, unless it is there."""
        ...

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a file, replacing what an interrupted try left there; complete and as durable as can be on return."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Rename a file or folder; nothing is at ``new``."""
        ...

    def read(self, path: str, limit: int) -> bytes:
        """Return the bytes of a file, at most ``limit`` and one more. TransientError when it is not there (any more)."""
        ...


def _pattern(value: object) -> re.Pattern[str]:
    try:
        return re.compile(text(value))
    except re.error as error:
        raise ValueError(_("must be a regular expression ({error})").format(error=error)) from error


DROP_OPTIONS: tuple[Option, ...] = (
    Option(
        name="form",
        help="how a package is put there: folder, or zip (one file)",
        default="folder",
        convert=choice("folder", "zip"),
    ),
    Option(
        name="reports",
        help="the folder the provider's reports are in, relative to the place",
        default="esiti",
    ),
    Option(
        name="report_name",
        help="regular expression of the names of report files; its group <package> is the package's identifier",
        convert=_pattern,
    ),
    Option(
        name="positive",
        help="regular expression of the words by which a report says that a document is conserved",
        convert=_pattern,
    ),
    Option(
        name="negative",
        help="regular expression of the words by which a report says that a document is not conserved",
        convert=_pattern,
    ),
)
"""The options every such provider has. Take them into ``options``; `DropProvider.parse` keeps them in the mapping."""


class DropProvider(ConservationProvider):
    """A provider whose packages are put into a folder.

    Args:
        config: the mapping of option values.
    """

    def __init__(self, folder: RemoteFolder, config: Mapping[str, Any]) -> None:
        self._remote = folder
        self._zip = config["form"] == "zip"
        self._reports: str = config["reports"].strip("/")
        self._report_name: re.Pattern[str] = config["report_name"] or re.compile(_NAMED)
        self._words = config["positive"], config["negative"]
        self._by_package: dict[str, list[str]] | None = None

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Any:
        """Check the options of `DROP_OPTIONS`; see `ConservationProvider.parse`."""
        problems = []
        if values["report_name"] is not None and "package" not in values["report_name"].groupindex:
            problems.append(_('option "report_name" must have a group (?P<package>...)'))
        if not all(
            re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", part)
            for part in values["reports"].strip("/").split("/")
        ):
            problems.append(
                _(
                    'option "reports" must be a path of letters, digits, ".", "_" and "-", not {values}'
                ).format(values=repr(values["reports"]))
            )
        if problems:
            raise ConfigError(problems)
        return dict(values)

    def deposit(self, package: Package) -> Ticket:
        """Put a package in place, its parts invisible until all are there."""
        names = set(self._remote.names(""))
        final = self._final(package)
        if final not in names:
            upload = f"{_STAGING}/{package.id}"
            self._upload(package, upload)
            self._remote.write(f"{upload}.released", [b""])
            self._remote.rename(upload, final)
        self._remote.write(self._marker(package), [ContentKey.of(package.index).sha256.encode(), b"\n"])
        return self._ticket(package)

    def lookup(self, package: Package) -> Ticket | None:
        """Tell whether a package was released, also when it has been collected since."""
        names = set(self._remote.names(""))
        if self._marker(package) in names:
            return self._ticket(package)
        ours = set(self._remote.names(_STAGING))
        released = f"{package.id}.released" in ours
        if released and self._final(package) not in names and package.id not in ours:
            return self._ticket(package)
        return None

    def poll(self, package: Package, ticket: Ticket) -> Outcome:
        """Read the reports about a package: what is proven comes before what is only said."""
        from archipec.conservation.provider import Pending
        from archipec.conservation.report_parser import NEGATIVE, POSITIVE, NotUnderstood, Words, read_report

        positive, negative = self._words
        words = Words(positive or POSITIVE, negative or NEGATIVE)
        outcomes: list[Outcome] = []
        for name in self._reports_about(package):
            suffix = name[len(name.split(".")[0]) :]
            try:
                raw = self._remote.read(f"{self._reports}/{name}", MAX_REPORT)
                if len(raw) > MAX_REPORT:
                    raise NotUnderstood(
                        _("it has more than the {max_report} bytes that are read").format(
                            max_report=MAX_REPORT
                        )
                    )
                outcomes.append(read_report(raw, suffix, package, ticket, words))
            except NotUnderstood as error:
                outcomes.append(
                    Pending(
                        reason=_("the report {name} is not understood: {reason}").format(
                            name=name, reason=error.message
                        ),
                        attention=True,
                    )
                )
            except ArchipecError as error:
                # One that can't be read is nothing to the others; a connection that broke is.
                if error.scope > Scope.MESSAGE:
                    raise
                outcomes.append(
                    Pending(
                        reason=_("the report {name} can't be read: {reason}").format(
                            name=name, reason=error.message
                        ),
                        attention=True,
                    )
                )
        if not outcomes:
            return Pending(
                reason=_("deposited; until the provider reports, this is not yet conservazione a norma")
            )
        return min(outcomes, key=lambda one: _rank(one, package, ticket))

    def _reports_about(self, package: Package) -> list[str]:
        if self._by_package is None:
            self._by_package = {}
            for name in sorted(self._remote.names(self._reports)):
                match = self._report_name.fullmatch(name)
                if match is not None and re.fullmatch(_SAFE, name):
                    self._by_package.setdefault(match["package"].lower(), []).append(name)
        return self._by_package.get(package.id, [])

    def _upload(self, package: Package, upload: str) -> None:
        self._remote.make(_STAGING)
        if self._zip:
            self._remote.write(upload, _zipped(package))
            return
        self._remote.make(upload)
        made = {""}
        for file in package.files:
            parent = str(file.path.parent) if len(file.path.parts) > 1 else ""
            if parent not in made:
                self._remote.make(f"{upload}/{parent}")
                made.add(parent)
            self._remote.write(f"{upload}/{file.path}", _chunks(file))

    def _final(self, package: Package) -> str:
        return f"PdV_{package.id}{'.zip' if self._zip else ''}"

    def _marker(self, package: Package) -> str:
        return f"PdV_{package.id}.ready"

    def _ticket(self, package: Package) -> Ticket:
        from archipec.conservation.provider import Ticket

        return Ticket(sha256=ContentKey.of_chunks(_zipped(package)).sha256 if self._zip else "")


def _rank(outcome: Outcome, package: Package, ticket: Ticket) -> int:
    from archipec.conservation.proof import check_report
    from archipec.conservation.provider import Conserved, Partial, Rejected

    if isinstance(outcome, Conserved | Partial):
        return 0 if all(one.proven for one in check_report(package, ticket, outcome)) else 2
    return 1 if isinstance(outcome, Rejected) else 3


def _chunks(file: PackageFile) -> Iterator[bytes]:
    with file.open() as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


class _Tape(RawIOBase):
    """What is written to it, to be taken off piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _zipped(package: Package) -> Iterator[bytes]:
    """The package as one zip; the same bytes at every try."""
    import zipfile

    tape = _Tape()
    with zipfile.ZipFile(tape, "w") as archive:
        for file in package.files:
            entry = zipfile.ZipInfo(str(file.path), package.created.timetuple()[:6])
            entry.external_attr = 0o600 << 16
            entry.file_size = file.size
            with archive.open(entry, "w") as member:
                for chunk in _chunks(file):
                    member.write(chunk)
                    yield tape.take()
    yield tape.take()
