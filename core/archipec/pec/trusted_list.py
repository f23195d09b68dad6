"""Reads a national trusted list (ETSI TS 119 612), which names the providers of REM and says since when they are ones.

Lists are published, signed, by each state's supervisor (in Italy AgID), and change; the file is one that the user gives.
Its own signature is checked, which shows that it is whole; that it is the state's, its signer's certificate says to who
knows it: the list of lists that names those certificates is not asked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from archipec.durability import read_named
from archipec.errors import ConfigError, IntegrityError, from_os_error
from archipec.pec.revocation import Basis
from archipec.pec.xades import check_signature, parse_document, xml_base64, xml_time

__all__ = ["LATEST", "Service", "TrustedList", "load_trusted_list", "read_trusted_list"]

_LARGEST = 64 << 20  # bytes; the largest national list has some ten million
_MAX_SERVICES = 10_000
_TL: Final = "{http://uri.etsi.org/02231/v2#}"
_TYPES: Final = "http://uri.etsi.org/TrstSvc/Svctype/"
_REM: Final = frozenset({f"{_TYPES}EDS/REM", f"{_TYPES}EDS/REM/Q"})
_TIME_STAMPING: Final = frozenset({f"{_TYPES}TSA", f"{_TYPES}TSA/QTST", f"{_TYPES}TSA/TSS-QC"})
_STATUS: Final = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/"
_GRANTED: Final = frozenset({f"{_STATUS}granted", f"{_STATUS}recognisedatnationallevel"})
LATEST: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""The end of a period that has none."""
_HINT = "a national trusted list (ETSI TS 119 612, XML) is wanted, as its supervisor publishes it"


@dataclass(frozen=True, slots=True)
class Service:
    """A certificate of a service of REM.

    Attributes:
        name: of the service and its provider.
        certificate: DER of one certificate that identifies it.
        granted: since and until when its status was one that counts, aware, the latest first.
    """

    name: str
    certificate: bytes
    granted: tuple[tuple[datetime, datetime], ...]


@dataclass(frozen=True, slots=True, eq=False)
class TrustedList:
    """What a trusted list says of services of REM and of time stamping.

    Attributes:
        sha256: of the file.
        territory: the state, `IT`.
        sequence: the list's number.
        issued: when it was issued, aware.
        next_update: when the next one is due at the latest, aware; None for a list that is closed.
        signer: who signed it.
        services: of REM.
        time_stamping: DER of the certificates of time-stamping services.
    """

    sha256: str
    territory: str
    sequence: int
    issued: datetime
    next_update: datetime | None
    signer: str
    services: tuple[Service, ...]
    time_stamping: tuple[bytes, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrustedList) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    @property
    def label(self) -> str:
        """What to call it before a person."""
        return f"trusted list {self.territory} no. {self.sequence} of {self.issued:%Y-%m-%d}"

    @property
    def basis(self) -> Basis:
        """What to keep of it with a verdict."""
        return {
            "trust_list": self.sha256,
            "territory": self.territory,
            "sequence": self.sequence,
            "issued": self.issued.isoformat(),
            "signer": self.signer,
        }


def load_trusted_list(path: Path) -> TrustedList:
    """Read a list.

    Raises:
        ConfigError: the file is not a trusted list, or its signature does not fit.
        ArchipecError: it can't be read.
    """
    try:
        data = read_named(path, _LARGEST)
    except OSError as error:
        raise from_os_error(error, path) from error
    try:
        return read_trusted_list(data)
    except IntegrityError as error:
        raise ConfigError(f"{path}: {error.message}", hint=error.hint or _HINT) from error


def read_trusted_list(data: bytes) -> TrustedList:
    """Read a list.

    Raises:
        IntegrityError: it is not a trusted list, or its signature does not fit.
    """
    root = parse_document(data, _LARGEST, "the trusted list")
    if root.tag != _TL + "TrustServiceStatusList":
        raise IntegrityError("it is no trusted list")
    try:
        signature = check_signature(root)
    except IntegrityError as error:
        raise IntegrityError(
            f"the trusted list is not whole: {error.message}", hint="download it again from its supervisor"
        ) from error
    scheme = _child(root, "SchemeInformation")
    services: list[Service] = []
    stamping: dict[bytes, None] = {}
    for provider in root.iterfind(f"{_TL}TrustServiceProviderList/{_TL}TrustServiceProvider"):
        by = _name(provider.find(f"{_TL}TSPInformation/{_TL}TSPName"))
        for service in provider.iterfind(f"{_TL}TSPServices/{_TL}TSPService"):
            _add(service, by, services, stamping)
    if len(services) > _MAX_SERVICES:
        raise IntegrityError(f"the trusted list has more than {_MAX_SERVICES} services of REM")
    due = scheme.findtext(f"{_TL}NextUpdate/{_TL}dateTime")
    return TrustedList(
        sha256=hashlib.sha256(data).hexdigest(),
        territory=_text(scheme, "SchemeTerritory")[:10],
        sequence=_number(_text(scheme, "TSLSequenceNumber")),
        issued=xml_time(_text(scheme, "ListIssueDateTime")),
        next_update=xml_time(due) if due else None,
        signer=_holder(signature.certificate),
        services=tuple(services),
        time_stamping=tuple(stamping),
    )


def _add(service: Any, by: str, services: list[Service], stamping: dict[bytes, None]) -> None:
    """Take a service into the list's record, if it is one of those that count here."""
    information = _child(service, "ServiceInformation")
    kind = _text(information, "ServiceTypeIdentifier")
    if kind not in _REM | _TIME_STAMPING:
        return
    granted = _granted(service, information)
    name = _name(information.find(_TL + "ServiceName"))
    place = f"{_TL}ServiceDigitalIdentity/{_TL}DigitalId/{_TL}X509Certificate"
    for element in information.iterfind(place):
        certificate = xml_base64(element)
        _holder(certificate)
        if kind in _REM:
            services.append(
                Service(f"{name}, {by}" if by and by != name else name or by, certificate, granted)
            )
        elif granted:
            stamping[certificate] = None


def _granted(service: Any, information: Any) -> tuple[tuple[datetime, datetime], ...]:
    """The periods in which the service's status was one that counts, by its present status and its history."""
    states = [information, *service.iterfind(f"{_TL}ServiceHistory/{_TL}ServiceHistoryInstance")]
    dated = sorted(
        ((xml_time(_text(one, "StatusStartingTime")), _text(one, "ServiceStatus")) for one in states),
        reverse=True,
    )
    found = []
    until = LATEST
    for since, status in dated:
        if status in _GRANTED and since < until:
            found.append((since, until))
        until = min(until, since)
    return tuple(found)


def _child(element: Any, name: str) -> Any:
    found = element.find(_TL + name)
    if found is None:
        raise IntegrityError(f'the trusted list is not built as the standard says: "{name}" is missing')
    return found


def _text(element: Any, name: str) -> str:
    return (_child(element, name).text or "").strip()


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise IntegrityError(
            f'the trusted list is not built as the standard says: "{text[:20]}" is no number'
        )
    return int(text)


def _name(names: Any) -> str:
    """A name in English, which every list has, else the first."""
    if names is None:
        return ""
    found = {
        one.get("{http://www.w3.org/XML/1998/namespace}lang", ""): " ".join((one.text or "").split())
        for one in names.iterfind(_TL + "Name")
    }
    return (found.get("en") or next(iter(found.values()), ""))[:200]


def _holder(certificate: bytes) -> str:
    from asn1crypto import x509

    try:
        subject = x509.Certificate.load(certificate).subject
        return str(subject.native.get("common_name") or subject.human_friendly)[:200]
    except Exception as error:  # what a hostile certificate makes of a library
        raise IntegrityError("a certificate of the trusted list can't be read") from error
