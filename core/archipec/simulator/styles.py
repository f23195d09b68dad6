"""How the providers' engines write a PEC message: their differences, as data.

The quirks were seen on real sealed messages of 2014 to 2026; names, domains and addresses are invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

_ARUBA_PREAMBLE_2014: Final = "This is an S/MIME signed message"
_ARUBA_PREAMBLE_2026: Final = "This is a S/MIME signed message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """One engine's way of writing.

    Attributes:
        name: for choosing it and for test reports.
        organization: the provider's descriptive name (`gestore-emittente`, O and CN of the certificate).
        domain: the domain of `posta-certificata@`, which is not the domain of the mailboxes.
        mailboxes: a domain of mailboxes that this provider serves.
        sent_folder: the IMAP folder where clients put the copies of what they sent.
        ids: how PEC identifiers are built; see `identifiers`.
        protocol: the outer `protocol` parameter and the type of the signature part.
        micalg: the outer `micalg` parameter exactly as written, quotes included.
        digest: of the seal.
        certificate_digest: of the authority's signature on the provider's certificate.
        key_bits: of the provider's key.
        signed_attribute: the attribute after contentType, signingTime and messageDigest.
        signature_name: `smime.p7s` as written, quotes included.
        signature_smime_type: whether the signature part says `smime-type=signed-data`.
        preamble: what stands before the first boundary.
        preamble_on: where: every message, or only envelopes and acceptances.
        daticert_first: whether `daticert.xml` precedes `postacert.eml`; RFC 6109 §4.3 leaves it open.
        daticert: header lines of that part.
        daticert_encoding: its transfer encoding.
        daticert_tail: what follows the root element.
        postacert: header lines of that part.
        tipo_ricevuta: spelling of `X-TipoRicevuta` on the envelope; None = the engine leaves it out.
        sender: whether envelopes repeat From as Sender.
        html: whether the text for people has an HTML alternative.
        english: whether it is also in English.
        broken_accents: whether accented letters of the text part were lost to U+FFFD.
        binary: whether the multiparts declare `Content-Transfer-Encoding: binary`.
        empty_reply: whether acceptances leave `risposte` empty.
        rem_subject: whether acceptances and deliveries carry `X-REM-Subject`.
        notify_rcpt: whether the mailbox server prepends `X-Lmtp-Aru-Notify-Rcpt`.
        attachment_flag: whether envelopes carry `X-Attachment: yes`.
    """

    name: str
    organization: str
    domain: str
    mailboxes: str
    sent_folder: str
    ids: Literal["opec", "jpec", "hex"]
    protocol: str
    micalg: str
    digest: Literal["sha1", "sha256"]
    certificate_digest: Literal["sha1", "sha256"] = "sha256"
    key_bits: int = 2048
    signed_attribute: Literal["capabilities", "algorithm-protection", "none"] = "none"
    signature_name: str
    signature_smime_type: bool = False
    preamble: str = ""
    preamble_on: Literal["all", "envelope-and-acceptance"] = "all"
    daticert_first: bool = True
    daticert: tuple[str, ...]
    daticert_encoding: Literal["base64", "quoted-printable"] = "base64"
    daticert_tail: str = "\n"
    postacert: tuple[str, ...]
    tipo_ricevuta: str | None = "X-TipoRicevuta"
    sender: bool = True
    html: bool = True
    english: bool = False
    broken_accents: bool = False
    binary: bool = False
    empty_reply: bool = False
    rem_subject: bool = False
    notify_rcpt: bool = False
    attachment_flag: bool = False


_INLINE_DATICERT = (
    'Content-Type: application/xml; name="daticert.xml"',
    'Content-Disposition: inline; filename="daticert.xml"',
    "Content-Transfer-Encoding: base64",
)
_INLINE_POSTACERT = (
    'Content-Type: message/rfc822; name="postacert.eml"',
    'Content-Disposition: inline; filename="postacert.eml"',
    "Content-Transfer-Encoding: 7bit",
)

ARUBA_2014: Final = Style(
    name="aruba-2014",
    organization="Esempio PEC S.p.A.",
    domain="pec.example.it",
    mailboxes="posta.example.it",
    sent_folder="INBOX.Inviata",
    ids="opec",
    protocol="application/x-pkcs7-signature",
    micalg="sha1",
    digest="sha1",
    certificate_digest="sha1",
    key_bits=1024,
    signed_attribute="capabilities",
    signature_name='"smime.p7s"',
    preamble=_ARUBA_PREAMBLE_2014,
    daticert=_INLINE_DATICERT,
    postacert=_INLINE_POSTACERT,
    tipo_ricevuta="X-Tiporicevuta",
    html=False,
    binary=True,
)
"""Before AgID: SHA-1 throughout, RSA-1024, a text part only."""

ARUBA_2018: Final = Style(
    name="aruba-2018",
    organization="Esempio PEC S.p.A.",
    domain="pec.example.it",
    mailboxes="posta.example.it",
    sent_folder="INBOX.Inviata",
    ids="opec",
    protocol="application/x-pkcs7-signature",
    micalg='"sha1"',
    digest="sha1",
    signed_attribute="capabilities",
    signature_name='"smime.p7s"',
    preamble=_ARUBA_PREAMBLE_2014,
    daticert=_INLINE_DATICERT,
    postacert=_INLINE_POSTACERT,
    tipo_ricevuta="X-Tiporicevuta",
    binary=True,
    empty_reply=True,
)
"""The engine of most PEC until 2024: quoted `"sha1"`, `x-pkcs7`, `X-Tiporicevuta` on the envelope."""

ARUBA_2026: Final = Style(
    name="aruba-2026",
    organization="Esempio PEC S.p.A.",
    domain="pec.example.it",
    mailboxes="posta.example.it",
    sent_folder="INBOX.Inviata",
    ids="jpec",
    protocol="application/pkcs7-signature",
    micalg="sha-256",
    digest="sha256",
    signed_attribute="algorithm-protection",
    signature_name="smime.p7s",
    preamble=_ARUBA_PREAMBLE_2026,
    preamble_on="envelope-and-acceptance",
    daticert=_INLINE_DATICERT,
    postacert=(
        "Content-Type: message/rfc822; name=postacert.eml",
        "Content-Disposition: inline; filename=postacert.eml",
        "Content-Transfer-Encoding: 7bit",
    ),
    sender=False,
    english=True,
    broken_accents=True,
    rem_subject=True,
    notify_rcpt=True,
    attachment_flag=True,
)
"""The engine of the REM years: SHA-256, no Sender, two languages, `X-REM-Subject`."""

LEGALMAIL_2018: Final = Style(
    name="legalmail-2018",
    organization="Posta Legale Esempio S.p.A.",
    domain="legalmail.example",
    mailboxes="avvocati.example",
    sent_folder="INBOX/Spedite",
    ids="hex",
    protocol="application/pkcs7-signature",
    micalg="sha-1",
    digest="sha1",
    signature_name="smime.p7s",
    signature_smime_type=True,
    daticert_first=False,
    daticert=(
        "Content-Type: application/xml; charset=UTF-8; name=daticert.xml",
        "Content-Transfer-Encoding: quoted-printable",
        "Content-Disposition: attachment; filename=daticert.xml",
    ),
    daticert_encoding="quoted-printable",
    postacert=(
        "Content-Type: message/rfc822; name=postacert.eml",
        "Content-Disposition: attachment; filename=postacert.eml",
    ),
)
"""`daticert.xml` last and quoted-printable, parts attached, no preamble, hexadecimal identifiers."""

NAMIRIAL_2024: Final = Style(
    name="namirial-2024",
    organization="Sicurezza Esempio S.r.l.",
    domain="sicurezzapostale.example",
    mailboxes="imprese.example",
    sent_folder="INBOX.Sent",
    ids="opec",
    protocol="application/x-pkcs7-signature",
    micalg='"sha1"',
    digest="sha1",
    signed_attribute="capabilities",
    signature_name='"smime.p7s"',
    preamble=_ARUBA_PREAMBLE_2014,
    daticert=_INLINE_DATICERT,
    daticert_tail="\n\r\n",
    postacert=_INLINE_POSTACERT,
    tipo_ricevuta=None,
    binary=True,
)
"""The same engine as Aruba's older one elsewhere: no `X-TipoRicevuta`, bytes after the root of `daticert.xml`."""

STYLES: Final[tuple[Style, ...]] = (ARUBA_2014, ARUBA_2018, ARUBA_2026, LEGALMAIL_2018, NAMIRIAL_2024)
"""Every style, oldest first."""
