"""Makes packages of units and keeps them: frozen on disk before the first deposit, the same bytes at every try.

A package's folder in the outbox holds what was made for it: metadata, index, signature, time stamp. The documents stay
where the outbox has them.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

from archipec.conservation.metadata import PackageSettings, unit_metadata
from archipec.conservation.outbox import make_private
from archipec.conservation.outbox_db import PackageRow
from archipec.conservation.pindex import INDEX, pindex
from archipec.conservation.provider import Document, Facts, Package, PackageFile, Unit
from archipec.conservation.subjects import Subject
from archipec.durability import open_regular, sync_directories, sync_files
from archipec.errors import IntegrityError, from_os_error
from archipec.language import _
from archipec.message import ContentKey
from archipec.pec.kind import known_kind
from archipec.pec.transactions import MessageRecord

_SENDING: Final = "U"


@dataclass(frozen=True, slots=True)
class BuiltPackage:
    """A package just made: its manifest, for the record, and the SHA-256 of its messages."""

    id: str
    manifest: dict[str, Any]
    messages: tuple[str, ...]


class PackageBuilder:
    """Makes and reads packages.

    Args:
        folder: where packages are kept.
        path_of: gives the file of a message by its SHA-256.
    """

    def __init__(self, folder: Path, path_of: Callable[[str], Path], settings: PackageSettings) -> None:
        self._folder = folder
        self._path_of = path_of
        self._settings = settings

    @property
    def fingerprint(self) -> str:
        """That of the settings."""
        return self._settings.fingerprint

    def build(
        self,
        groups: Sequence[tuple[Sequence[MessageRecord], str]],
        now: datetime,
        zone: Callable[[MessageRecord], datetime],
    ) -> BuiltPackage:
        """Make a package of groups of messages, each with its flow, and write it.

        Args:
            zone: gives a message's date, aware, in Europe/Rome.
        """
        name = str(uuid.uuid4())
        created = now.replace(microsecond=0)
        units = [self._unit(records, flow, zone) for records, flow in groups]
        holder, submitter = self._agents(units)
        index = pindex(
            name,
            units,
            created=created,
            submitter=submitter,
            holder=holder,
            settings=self._settings,
        )
        made = {unit.metadata_path: unit.metadata for unit in units}
        made[INDEX] = index
        for suffix, data in self._settings.signing.beside(index).items():
            made[INDEX.with_name(INDEX.name + suffix)] = data
        self._write(name, made)
        manifest = {
            "created": created.isoformat(),
            "units": [_told(unit) for unit in units],
            "made": {str(path): hashlib.sha256(data).hexdigest() for path, data in made.items()},
        }
        return BuiltPackage(name, manifest, tuple(one.key.sha256 for unit in units for one in unit.documents))

    def load(self, row: PackageRow) -> Package:
        """Return a package as it was frozen.

        Raises:
            IntegrityError: a file of it is missing or was changed.
        """
        made = {}
        for path, sha256 in row.manifest["made"].items():
            made[PurePosixPath(path)] = self._read(row.id, path, sha256)
        units = tuple(self._recalled(unit, made) for unit in row.manifest["units"])
        documents = [
            PackageFile(path=one.path, size=one.key.size, sha256=one.key.sha256, open=one.open)
            for unit in units
            for one in unit.documents
        ]
        return Package(
            id=row.id,
            created=datetime.fromisoformat(row.manifest["created"]),
            units=units,
            index=made[INDEX],
            files=(*documents, *(_file(path, data) for path, data in made.items())),
        )

    def discard(self, but: frozenset[str]) -> None:
        """Remove what was being made when a crash or an error came, or was taken apart since."""
        try:
            for folder in self._folder.iterdir():
                if folder.name not in but:
                    shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, self._folder) from error

    def _unit(
        self, records: Sequence[MessageRecord], flow: str, zone: Callable[[MessageRecord], datetime]
    ) -> Unit:
        documents = tuple(self._document(record, zone(record)) for record in records)
        digests = "\n".join(sorted(one.key.sha256 for one in documents))
        name = hashlib.sha256(digests.encode()).hexdigest()[:32]
        metadata = unit_metadata(name, flow, documents, self._settings)
        return Unit(
            id=name, flow=flow, documents=documents, metadata=metadata, metadata_path=_metadata_path(name)
        )

    def _document(self, record: MessageRecord, date: datetime) -> Document:
        kind = known_kind(record.kind)
        facts = Facts(
            kind=record.kind,
            certified=record.proven,
            date=date,
            subject=record.oggetto,
            sender=record.mittente,
            recipients=tuple(one.address for one in record.destinatari),
            identificativo=record.identificativo if record.proven else "",
            msgid=record.msgid or record.message_id,
            gestore=record.gestore if record.proven else "",
            system=record.system,
        )
        return self._made(f"{kind.code}-{record.key.sha256[:24].upper()}", kind.label, record.key, facts)

    def _made(self, name: str, label: str, key: ContentKey, facts: Facts) -> Document:
        path = self._path_of(key.sha256)
        return Document(
            id=name,
            label=label,
            key=key,
            path=PurePosixPath("documenti", f"{name}.eml"),
            facts=facts,
            open=lambda: _opened(path),
        )

    def _recalled(self, manifest: Mapping[str, Any], made: Mapping[PurePosixPath, bytes]) -> Unit:
        documents = []
        for one in manifest["documents"]:
            facts = dict(one["facts"])
            facts["date"] = datetime.fromisoformat(facts["date"])
            facts["recipients"] = tuple(facts["recipients"])
            key = ContentKey(one["sha256"], one["size"])
            documents.append(self._made(one["id"], one["label"], key, Facts(**facts)))
        path = _metadata_path(manifest["id"])
        return Unit(
            id=manifest["id"],
            flow=manifest["flow"],
            documents=tuple(documents),
            metadata=made[path],
            metadata_path=path,
        )

    def _agents(self, units: Sequence[Unit]) -> tuple[Subject, Subject]:
        """The holder and who submits: as configured, else the mailbox as the messages show it."""
        holder = self._settings.holder or _mailbox(units)
        return (
            self._settings.subjects.of(holder),
            self._settings.subjects.of(self._settings.submitter or holder),
        )

    def _write(self, name: str, made: Mapping[PurePosixPath, bytes]) -> None:
        folder = self._folder / name
        try:
            paths = []
            for path, data in made.items():
                file = folder / path
                make_private(file.parent)
                file.touch(mode=0o600)
                file.write_bytes(data)
                paths.append(file)
            sync_files(folder, paths)
            sync_directories({*(path.parent for path in paths), folder, self._folder})
        except OSError as error:
            raise from_os_error(error, folder) from error

    def _read(self, name: str, path: str, sha256: str) -> bytes:
        file = self._folder / name / path
        try:
            with open(open_regular(file, os.O_RDONLY), "rb") as stream:
                data = stream.read()
        except OSError as error:
            raise IntegrityError(
                _("{file} can't be read: {reason}").format(file=file, reason=error.strerror or error)
            ) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise IntegrityError(
                _("{file} is not as it was made: it will not be deposited").format(file=file)
            )
        return data


def _opened(path: Path) -> BinaryIO:
    try:
        return open(open_regular(path, os.O_RDONLY), "rb")
    except OSError as error:
        raise from_os_error(error, path) from error


def _metadata_path(unit: str) -> PurePosixPath:
    return PurePosixPath("metadati", f"{unit}.xml")


def _file(path: PurePosixPath, data: bytes) -> PackageFile:
    return PackageFile(
        path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest(), open=lambda: io.BytesIO(data)
    )


def _told(unit: Unit) -> dict[str, Any]:
    return {
        "id": unit.id,
        "flow": unit.flow,
        "documents": [
            {
                "id": one.id,
                "label": one.label,
                "sha256": one.key.sha256,
                "size": one.key.size,
                "facts": asdict(one.facts) | {"date": one.facts.date.isoformat()},
            }
            for one in unit.documents
        ],
    }


def _mailbox(units: Sequence[Unit]) -> str:
    """The address of the mailbox, as the messages show it: who sent what was sent, else who most often got what came in."""
    senders = Counter(unit.principal.facts.sender for unit in units if unit.flow == _SENDING)
    found = senders or Counter(name for unit in units for name in set(unit.principal.facts.recipients))
    del found[""]
    most = max(found.values(), default=0)
    return min((address for address, number in found.items() if number == most), default="")
