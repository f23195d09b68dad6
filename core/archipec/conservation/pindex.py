"""The index of a package: UNI 11386:2020 (SInCRO), ``PIndex.xml``.

An index in this form does not make a folder a *conservazione a norma*: it is what a pacchetto di versamento says of
itself. The schema has no place for an enveloped signature; signatures stand beside it (`signature`).
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from archipec.conservation.metadata import PackageSettings, clean
from archipec.conservation.provider import Unit
from archipec.conservation.subjects import Subject
from archipec.conservation.terms import Terms

if TYPE_CHECKING:
    from lxml.etree import _Element  # type: ignore[import-untyped]

INDEX: Final = PurePosixPath("PIndex.xml")
_NAMESPACE: Final = "http://www.uni.com/U3011/sincro-v2/"


def pindex(
    package: str,
    units: Sequence[Unit],
    *,
    created: datetime,
    submitter: Subject,
    holder: Subject,
    settings: PackageSettings,
) -> bytes:
    """Return the index of a package, UTF-8.

    Args:
        package: its id, a UUID.
        submitter: who deposits; also who answers for the signature. holder: whose documents these are.
    """
    from lxml import etree  # type: ignore[import-untyped]

    terms, stamped = settings.terms, bool(settings.signing.authority.url)
    index = _Index(terms)
    root = etree.Element(f"{{{_NAMESPACE}}}PIndex", nsmap={"s": _NAMESPACE})
    for name, value in (("language", "it"), ("uri", f"{_NAMESPACE}PIndex.xsd"), ("sincroVersion", "2.0")):
        root.set(f"{{{_NAMESPACE}}}{name}", value)
    itself = index.add(root, "SelfDescription")
    index.add(itself, "ID", str(uuid.uuid5(uuid.UUID(package), "PIndex")), scheme="UUID")
    application = index.add(itself, "CreatingApplication")
    for name, text in (("Name", "archipec"), ("Version", settings.version), ("Producer", "archipec")):
        index.add(application, name, text)
    volume = index.add(root, "PVolume")
    index.add(volume, "ID", package, scheme="UUID")
    index.add(volume, "Label", f"{terms.register} {created:%Y-%m-%d}")
    for unit in units:
        index.unit(root, unit)
    process = index.add(root, "Process")
    index.agent(process, "Submitter", submitter)
    index.agent(process, "Holder", holder, holderRole="soggetto produttore")
    index.agent(process, "AuthorizedSigner", submitter)
    time = index.add(process, "TimeReference")
    index.add(
        time, "TimeInfo", f"{created:%Y-%m-%dT%H:%M:%SZ}", attachedTimeStamp="true" if stamped else "false"
    )
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


class _File(NamedTuple):
    """A file that the index names."""

    id: str
    path: PurePosixPath
    sha256: str
    format: str
    extension: str


class _Index:
    def __init__(self, terms: Terms) -> None:
        self._terms = terms

    def add(self, parent: _Element, name: str, text: str | None = None, **attributes: str) -> _Element:
        from lxml import etree

        element = etree.SubElement(parent, f"{{{_NAMESPACE}}}{name}")
        element.text = text
        for key, value in attributes.items():
            element.set(f"{{{_NAMESPACE}}}{key}", value)
        return element

    def unit(self, root: _Element, unit: Unit) -> None:
        group = self.add(root, "FileGroup")
        self.add(group, "ID", unit.id, scheme="local")
        self.add(group, "Label", clean(unit.principal.facts.subject) or unit.principal.label)
        for document in unit.documents:
            sha256 = document.key.sha256
            message = _File(document.id, document.path, sha256, self._terms.format, "eml")
            file = self._file(group, "File", message)
            if document is unit.principal:
                more = self.add(file, "MoreInfo", xmlSchema=self._terms.schema)
                digest = hashlib.sha256(unit.metadata).hexdigest()
                name = f"{unit.id}-metadata"
                metadata = _File(name, unit.metadata_path, digest, "application/xml", "xml")
                self._file(more, "ExternalMetadata", metadata)

    def _file(self, parent: _Element, element: str, file: _File) -> _Element:
        entry = self.add(parent, element, encoding="8bit", extension=file.extension, format=file.format)
        self.add(entry, "ID", file.id, scheme="local")
        self.add(entry, "Path", str(file.path))
        digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
        self.add(entry, "Hash", digest, hashFunction="SHA-256")
        return entry

    def agent(self, process: _Element, role: str, subject: Subject, **attributes: str) -> None:
        kind = "natural person" if subject.is_person else "legal person"
        agent = self.add(process, role, agentType=kind, **attributes)
        if subject.tax_code:
            self.add(
                agent, "AgentID", f"{'VATIT' if subject.tax_code.isdecimal() else 'TINIT'}-{subject.tax_code}"
            )
        name = self.add(agent, "AgentName")
        if subject.is_person:
            person = self.add(name, "NameAndSurname")
            self.add(person, "FirstName", clean(subject.first_name))
            self.add(person, "LastName", clean(subject.last_name))
        else:
            self.add(name, "FormalName", clean(subject.formal_name))
        self.add(agent, "RelevantDocument", self._terms.relevant_document)
