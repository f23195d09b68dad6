"""A national trusted list (ETSI TS 119 612) that names providers of REM, signed by a test supervisor."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from xml.sax.saxutils import escape

from archipec.simulator.authority import LEAF_VALID, Authority
from archipec.simulator.rem_evidence import EvidenceSigner

__all__ = ["ListedService", "trusted_list"]

_TYPES = "http://uri.etsi.org/TrstSvc/Svctype/"
_STATUS = "http://uri.etsi.org/TrstSvc/TrustedList/Svcstatus/"
_DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<TrustServiceStatusList xmlns="http://uri.etsi.org/02231/v2#" xmlns:xml="http://www.w3.org/XML/1998/namespace" \
Id="list-{sequence}" TSLTag="http://uri.etsi.org/19612/TSLTag">
  <SchemeInformation>
    <TSLVersionIdentifier>6</TSLVersionIdentifier>
    <TSLSequenceNumber>{sequence}</TSLSequenceNumber>
    <TSLType>http://uri.etsi.org/TrstSvc/TrustedList/TSLType/EUgeneric</TSLType>
    <SchemeOperatorName><Name xml:lang="en">Archipec Simulator - Not a Real Supervisor</Name></SchemeOperatorName>
    <SchemeTerritory>{territory}</SchemeTerritory>
    <ListIssueDateTime>{issued}</ListIssueDateTime>
    <NextUpdate><dateTime>{due}</dateTime></NextUpdate>
  </SchemeInformation>
  <TrustServiceProviderList>
{providers}  </TrustServiceProviderList>
</TrustServiceStatusList>
"""
_PROVIDER = """    <TrustServiceProvider>
      <TSPInformation><TSPName><Name xml:lang="it">{name}</Name><Name xml:lang="en">{name}</Name></TSPName></TSPInformation>
      <TSPServices>
        <TSPService>
          <ServiceInformation>
            <ServiceTypeIdentifier>{type}</ServiceTypeIdentifier>
            <ServiceName><Name xml:lang="en">{name}</Name></ServiceName>
            <ServiceDigitalIdentity><DigitalId><X509Certificate>{certificate}</X509Certificate></DigitalId></ServiceDigitalIdentity>
            <ServiceStatus>{status}</ServiceStatus>
            <StatusStartingTime>{since}</StatusStartingTime>
          </ServiceInformation>
{history}        </TSPService>
      </TSPServices>
    </TrustServiceProvider>
"""
_HISTORY = """          <ServiceHistory><ServiceHistoryInstance>
            <ServiceTypeIdentifier>{type}</ServiceTypeIdentifier>
            <ServiceStatus>{status}</ServiceStatus>
            <StatusStartingTime>{since}</StatusStartingTime>
          </ServiceHistoryInstance></ServiceHistory>
"""


@dataclass(frozen=True, slots=True)
class ListedService:
    """A service as it is to be listed.

    Attributes:
        name: of the provider.
        certificate: DER.
        states: (status, since), the present one first: `granted`, `withdrawn`; aware.
        type: the end of the URI of its type.
    """

    name: str
    certificate: bytes
    states: tuple[tuple[str, datetime], ...] = (("granted", datetime(2022, 1, 1, tzinfo=UTC)),)
    type: str = "EDS/REM/Q"


def trusted_list(
    services: Sequence[ListedService],
    *,
    sequence: int = 42,
    territory: str = "IT",
    issued: datetime = datetime(2026, 9, 1, tzinfo=UTC),
    due: datetime = datetime(2027, 3, 1, tzinfo=UTC),
) -> bytes:
    """The list, in XML, signed by its supervisor.

    Args:
        issued, due: when it was issued and when the next one is due, aware.
    """
    providers = "".join(_provider(one) for one in services)
    xml = _DOCUMENT.format(
        sequence=sequence, territory=territory, issued=_time(issued), due=_time(due), providers=providers
    ).rstrip("\n")
    return _supervisor().sign(xml.encode(), issued, issued)


def _provider(service: ListedService) -> str:
    first, *others = service.states
    history = "".join(
        _HISTORY.format(type=_TYPES + service.type, status=_STATUS + status, since=_time(since))
        for status, since in others
    )
    return _PROVIDER.format(
        name=escape(service.name),
        type=_TYPES + service.type,
        certificate=base64.b64encode(service.certificate).decode("ascii"),
        status=_STATUS + first[0],
        since=_time(first[1]),
        history=history,
    )


@lru_cache(maxsize=1)
def _supervisor() -> EvidenceSigner:
    authority = Authority(0, ["supervisor.example"], ["Test Supervisor"])
    certificate = authority.issue(
        organization="Test Supervisor", address="list@supervisor.example", valid=LEAF_VALID
    )
    return EvidenceSigner(authority.leaf_key(2048), certificate, (), None)


def _time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
