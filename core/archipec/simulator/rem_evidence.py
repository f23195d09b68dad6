"""Writes the evidence of a REM event and signs it (ETSI EN 319 522-3, 532-4; XAdES-B-T as AgID's example kit has it)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from asn1crypto import x509

from archipec.pec.xades import c14n, parse_document
from archipec.simulator.rem_stamp import StampAuthority
from archipec.simulator.seal import sign

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

EVENTS = "http://uri.etsi.org/19522/Event/"
REASONS = "http://uri.etsi.org/19522/EventReason/"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
POLICIES = ("http://uri.etsi.org/19532/v1#/REMbaseline", "https://eidas.agid.gov.it/REM/rem-policy-it")
_END = "</tns:Evidence>"
_DS = "http://www.w3.org/2000/09/xmldsig#"
_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_DOCUMENT = (
    """<?xml version="1.0" encoding="UTF-8" standalone="no"?><tns:Evidence xmlns:ds="http://www.w3.org/2000/09/xmldsig#" \
xmlns:elp="http://eidas.europa.eu/attributes/legalperson" xmlns:enp="http://eidas.europa.eu/attributes/naturalperson" \
xmlns:ext="http://uri.etsi.org/19532/v1#" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" \
xmlns:tns="http://uri.etsi.org/19522/v1#" version="EN319522v1.1.1">
    <tns:EvidenceIdentifier>{identifier}</tns:EvidenceIdentifier>
    <tns:ERDSEventId>{event}</tns:ERDSEventId>
    <tns:EventReasons>
{reasons}    </tns:EventReasons>
    <EventTime>{time}</EventTime>
    <tns:EvidenceIssuerPolicyID>
{policies}    </tns:EvidenceIssuerPolicyID>
    <tns:EvidenceIssuerDetails>{issuer}</tns:EvidenceIssuerDetails>
    <tns:SenderDetails>{sender}</tns:SenderDetails>
{recipients}    <tns:SubmissionTime>{submitted}</tns:SubmissionTime>
{refers}    <tns:MessageIdentifier>{message_id}</tns:MessageIdentifier>
    <tns:UserContentInfo>
        <AppLayerIdentifier>{ua}</AppLayerIdentifier>
        <ComposingParts>1</ComposingParts>
        <tns:PartsInfo>
            <tns:PartInfo>
                <Identifier>urn:oid:1.3.6.1.7</Identifier>
                <ContentType>message/rfc822</ContentType>
                <ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>
                <ds:DigestValue>{digest}</ds:DigestValue>
            </tns:PartInfo>
        </tns:PartsInfo>
    </tns:UserContentInfo>
{other}    <tns:Extensions>
        <tns:Extension isCritical="false"><ext:GeneralEvidenceInfo><ext:Subject>{subject}</ext:Subject>{untrusted}\
</ext:GeneralEvidenceInfo></tns:Extension>
{relayed}    </tns:Extensions>
"""
    + _END
)
_SIGNATURE = """<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Id="id-{mark}"><ds:SignedInfo>\
<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>\
<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>\
<ds:Reference Id="r-id-{mark}-1" URI=""><ds:Transforms>\
<ds:Transform Algorithm="http://www.w3.org/2002/06/xmldsig-filter2"><dsig-filter2:XPath \
xmlns:dsig-filter2="http://www.w3.org/2002/06/xmldsig-filter2" Filter="subtract">/descendant::ds:Signature\
</dsig-filter2:XPath></ds:Transform><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>\
<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>{whole}</ds:DigestValue>\
</ds:Reference><ds:Reference Type="http://uri.etsi.org/01903#SignedProperties" URI="#xades-id-{mark}"><ds:Transforms>\
<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>\
<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>{properties}</ds:DigestValue>\
</ds:Reference></ds:SignedInfo><ds:SignatureValue Id="value-id-{mark}">{value}</ds:SignatureValue>\
<ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo><ds:Object>\
<xades:QualifyingProperties xmlns:xades="http://uri.etsi.org/01903/v1.3.2#" Target="#id-{mark}">\
<xades:SignedProperties Id="xades-id-{mark}"><xades:SignedSignatureProperties><xades:SigningTime>{time}</xades:SigningTime>\
<xades:SigningCertificateV2><xades:Cert><xades:CertDigest>\
<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha512"/><ds:DigestValue>{certificate}</ds:DigestValue>\
</xades:CertDigest></xades:Cert></xades:SigningCertificateV2></xades:SignedSignatureProperties>\
<xades:SignedDataObjectProperties><xades:DataObjectFormat ObjectReference="#r-id-{mark}-1">\
<xades:MimeType>application/octet-stream</xades:MimeType></xades:DataObjectFormat></xades:SignedDataObjectProperties>\
</xades:SignedProperties>{unsigned}</xades:QualifyingProperties></ds:Object></ds:Signature>"""
_STAMPED = """<xades:UnsignedProperties><xades:UnsignedSignatureProperties><xades:SignatureTimeStamp Id="TS-{mark}">\
<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>\
<xades:EncapsulatedTimeStamp Id="ETS-{mark}">{token}</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>\
</xades:UnsignedSignatureProperties></xades:UnsignedProperties>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """What an evidence is to state.

    Attributes:
        event: its name, `ContentConsignment`.
        reasons: (code, name) of each reason.
        when, submitted: aware.
        refers_to: numbers of the recipients it concerns, from 1; none for all.
        identities: addresses whose identity it states, as the hash of the address.
        untrusted: numbers of recipients of ordinary mail.
        external_provider, forwarded_to: of the other side, empty for none.
        message_id, ua_message_id: without angle brackets.
        digest: SHA-256 of the original.
    """

    identifier: str
    event: str
    reasons: tuple[tuple[str, str], ...]
    when: datetime
    submitted: datetime
    issuer: str
    sender: str
    recipients: tuple[str, ...]
    refers_to: tuple[int, ...] = ()
    identities: frozenset[str] = frozenset()
    untrusted: tuple[int, ...] = ()
    external_provider: str = ""
    forwarded_to: str = ""
    message_id: str
    ua_message_id: str
    digest: bytes
    subject: str


def evidence_xml(facts: EventFacts) -> bytes:
    """The evidence, not yet signed."""
    delivered = facts.event.startswith(("Content", "Consignment"))
    refers = "".join(
        f"    <EvidenceRefersToRecipient>{one}</EvidenceRefersToRecipient>\n" for one in facts.refers_to
    )
    relayed = "".join(
        f"<ext:RelayEvidenceRefersTo>{one}</ext:RelayEvidenceRefersTo>" for one in facts.refers_to
    )
    other = ""
    if facts.external_provider:
        other += f"    <tns:ExternalERDSDetails>{_legal(facts.external_provider)}</tns:ExternalERDSDetails>\n"
    if facts.forwarded_to:
        other += f"    <ForwardedToExternalSystem>{escape(facts.forwarded_to)}</ForwardedToExternalSystem>\n"
    text = _DOCUMENT.format(
        identifier=escape(facts.identifier),
        event=EVENTS + facts.event,
        reasons="".join(
            f"        <tns:EventReason><Code>{REASONS}{name}</Code><Details>{code}</Details></tns:EventReason>\n"
            for code, name in facts.reasons
        ),
        time=_time(facts.when),
        policies="".join(f"        <PolicyID>{one}</PolicyID>\n" for one in POLICIES),
        issuer=_legal(facts.issuer),
        sender=_person(facts.sender.lower(), facts.sender, with_identity=True),
        recipients="".join(
            f"    <tns:RecipientDetails>{_person(one, one, with_identity=one in facts.identities)}</tns:RecipientDetails>\n"
            for one in facts.recipients
        ),
        submitted=_time(facts.submitted),
        refers=refers if delivered else "",
        message_id=escape(facts.message_id),
        ua=escape(f"<{facts.ua_message_id}>") if facts.ua_message_id else "",
        digest=_base64(facts.digest),
        other=other,
        subject=escape(_xml_text(facts.subject)),
        untrusted="".join(
            f"<ext:UntrustedPathToRecipient>{one}</ext:UntrustedPathToRecipient>" for one in facts.untrusted
        ),
        relayed=""
        if delivered or not relayed
        else f'        <tns:Extension isCritical="false"><ext:RelayEvidenceInfo>{relayed}</ext:RelayEvidenceInfo></tns:Extension>\n',
    )
    return text.encode()


class EvidenceSigner:
    """Signs evidences with one certificate.

    Args:
        key: the private key of `certificate`.
        certificate: DER.
        issuers: DER of the other certificates to carry.
        stamps: who stamps the signatures; None for signatures without a time stamp.
    """

    def __init__(
        self,
        key: RSAPrivateKey,
        certificate: bytes,
        issuers: tuple[bytes, ...],
        stamps: StampAuthority | None,
    ) -> None:
        self._key = key
        self._stamps = stamps
        self._digest = _base64(hashlib.sha512(x509.Certificate.load(certificate).dump()).digest())
        self._certificates = "".join(
            f"<ds:X509Certificate>{_base64(one)}</ds:X509Certificate>" for one in (certificate, *issuers)
        )

    def sign(self, xml: bytes, when: datetime, stamped: datetime) -> bytes:
        """An evidence with its signature.

        Args:
            xml: without a signature, its last octets the end tag.
            when, stamped: the signing time and that of the time stamp, aware.
        """
        end = xml.rindex(b"</")
        mark = hashlib.sha256(xml).hexdigest()[:32]
        whole = _base64(hashlib.sha256(c14n(parse_document(xml, len(xml), "the evidence"))).digest())
        filled = {
            "mark": mark,
            "whole": whole,
            "certificates": self._certificates,
            "certificate": self._digest,
            "time": _time(when),
        }
        draft = self._parts(xml, end, {**filled, "properties": "", "value": "", "unsigned": ""})
        properties = _base64(hashlib.sha256(c14n(draft[-1][0][0])).digest())
        draft = self._parts(xml, end, {**filled, "properties": properties, "value": "", "unsigned": ""})
        value = _base64(sign(self._key, c14n(draft[0]), "sha256"))
        unsigned = ""
        if self._stamps is not None:
            draft = self._parts(
                xml, end, {**filled, "properties": properties, "value": value, "unsigned": ""}
            )
            token = self._stamps.stamp(c14n(draft[1]), stamped)
            unsigned = _STAMPED.format(mark=mark, token=_base64(token))
        signature = _SIGNATURE.format(**filled, properties=properties, value=value, unsigned=unsigned)
        return xml[:end] + signature.encode() + xml[end:]

    def _parts(self, xml: bytes, end: int, filled: dict[str, str]) -> list[Any]:
        """The children of the signature, in the document, so that their canonical form is the final one."""
        document = xml[:end] + _SIGNATURE.format(**filled).encode() + xml[end:]
        return list(list(parse_document(document, len(document), "the evidence"))[-1])


def _person(hashed: str, address: str, *, with_identity: bool) -> str:
    identity = ""
    if with_identity:
        digest = hashlib.sha256(hashed.encode()).hexdigest().upper()
        identity = _attribute("naturalperson", "PersonIdentifier", "enp", f"IT/IT/{digest}")
    return f'{identity}<Identifier IdentifierSchemeName="mailto">{escape(address)}</Identifier>'


def _legal(name: str) -> str:
    return _attribute("legalperson", "LegalName", "elp", name)


def _attribute(person: str, name: str, prefix: str, value: str) -> str:
    return (
        f'<tns:Identity><saml:Attribute FriendlyName="{name}" Name="http://eidas.europa.eu/attributes/{person}/{name}"'
        ' NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri"><saml:AttributeValue'
        f' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="{prefix}:{name}Type">{escape(value)}'
        "</saml:AttributeValue></saml:Attribute></tns:Identity>"
    )


def _xml_text(text: str) -> str:
    """Text without what XML can't hold."""
    return "".join(one if one.isprintable() else " " for one in text)


def _time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
