"""What a message of certified mail, PEC or REM, is, by its top-level header alone.

Only the header is looked at, never the Subject, the body or a nested message: RFC 6109 marks every system message
with `X-Ricevuta` or `X-Trasporto`, ETSI EN 319 532-3 with `REM-MessageType` and `REM-EventIdentifier`, and a receipt
forged by a third party can only arrive inside an envelope. Whether the provider's seal is valid is another question,
which the header cannot answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from archipec.pec.headers import Header

if TYPE_CHECKING:
    from archipec.pec.buffer import Octets

POSTA_CERTIFICATA: Final = "posta-certificata"
ACCETTAZIONE: Final = "accettazione"
NON_ACCETTAZIONE: Final = "non-accettazione"
PRESA_IN_CARICO: Final = "presa-in-carico"
AVVENUTA_CONSEGNA: Final = "avvenuta-consegna"
ERRORE_CONSEGNA: Final = "errore-consegna"
PREAVVISO_ERRORE_CONSEGNA: Final = "preavviso-errore-consegna"
RILEVAZIONE_VIRUS: Final = "rilevazione-virus"
ANOMALIA: Final = "anomalia"
ORDINARIA: Final = "ordinaria"
UNKNOWN: Final = "unknown"
RELAY_REJECTION: Final = "rem-relay-rejection"
RELAY_TO_NON_REM: Final = "rem-relay-to-non-rem"

PEC: Final = "pec"
REM: Final = "rem"

Stage = Literal["", "acceptance", "progress", "outcome"]


class Kind(NamedTuple):
    """All that differs from kind to kind.

    Attributes:
        name: as it is stored, selected by and printed.
        events: of REM (ETSI EN 319 522-2) whose receipt is of this kind.
        groups: of `GROUPS`, besides ``all``.
        stage: what it tells the sender of: the provider's ``acceptance`` of a message, an ``outcome`` for a recipient,
            or ``progress`` on the way there.
        code: of the document in a conservation package; ``label``: what it is, in Italian.
        word: in the name of an .eml file; ``folder``: of an .eml tree that is laid out by kind.
        export_name: of its file in an export for a court; empty for what no export has by its kind.
        english: another name to select by.
    """

    name: str
    groups: tuple[str, ...]
    events: tuple[str, ...] = ()
    stage: Stage = ""
    code: str = "MSG"
    label: str = "messaggio"
    word: str = "MESSAGGIO"
    folder: str = "ALTRI MESSAGGI"
    export_name: str = ""
    english: str = ""


_RECEIPT_FOLDER, _NOTICE_FOLDER = "RICEVUTE ACCETTAZIONE E CONSEGNA", "AVVISI E MANCATE CONSEGNE"


def _rem(
    name: str,
    event: str,
    document: tuple[str, str],
    word: str,
    *,
    notice: bool = False,
    stage: Stage = "progress",
) -> Kind:
    """The row of a receipt that REM has and PEC has not; ``document`` is its code and its label."""
    return Kind(
        name,
        ("certified", "receipts"),
        (event,),
        stage=stage,
        code=document[0],
        label=document[1],
        word=word,
        folder=_NOTICE_FOLDER if notice else _RECEIPT_FOLDER,
        export_name=word.lower().replace(" ", "-"),
    )


# A kind of message is one row here (RFC 6109 §3; ETSI EN 319 522-2 for events of REM that correspond to no kind of PEC).
# Groups and folders are as the providers' webmails have them.
_TABLE: Final = (
    Kind(
        name=POSTA_CERTIFICATA,
        groups=("certified", "envelopes"),
        code="BUSTA",
        label="busta di trasporto",
        word="PEC",
        export_name="ricevuto",
        folder="POSTA CERTIFICATA",
        english="envelope",
    ),
    Kind(
        name=ACCETTAZIONE,
        groups=("certified", "receipts", "acceptances"),
        events=("SubmissionAcceptance",),
        stage="acceptance",
        code="RAC",
        label="ricevuta di accettazione",
        word="ACCETTAZIONE",
        folder=_RECEIPT_FOLDER,
        export_name="accettazione",
        english="acceptance",
    ),
    Kind(
        name=NON_ACCETTAZIONE,
        groups=("certified", "receipts"),
        events=("SubmissionRejection",),
        stage="acceptance",
        code="RNA",
        label="avviso di non accettazione",
        word="NON ACCETTAZIONE",
        folder=_NOTICE_FOLDER,
        export_name="non-accettazione",
        english="non-acceptance",
    ),
    Kind(
        name=PRESA_IN_CARICO,
        groups=("certified", "receipts"),
        events=("RelayAcceptance",),
        stage="progress",
        code="RPC",
        label="ricevuta di presa in carico",
        word="PRESA IN CARICO",
        folder=_RECEIPT_FOLDER,
        export_name="presa-in-carico",
        english="relay",
    ),
    Kind(
        name=AVVENUTA_CONSEGNA,
        groups=("certified", "receipts", "deliveries"),
        events=("ContentConsignment",),
        stage="outcome",
        code="RDAC",
        label="ricevuta di avvenuta consegna",
        word="CONSEGNA",
        folder=_RECEIPT_FOLDER,
        export_name="consegna",
        english="delivery",
    ),
    Kind(
        name=ERRORE_CONSEGNA,
        groups=("certified", "receipts"),
        events=("RelayFailure", "ContentConsignmentFailure"),
        stage="outcome",
        code="AMC",
        label="avviso di mancata consegna",
        word="MANCATA CONSEGNA",
        folder=_NOTICE_FOLDER,
        export_name="mancata-consegna",
        english="non-delivery",
    ),
    Kind(
        name=PREAVVISO_ERRORE_CONSEGNA,
        groups=("certified", "receipts"),
        stage="outcome",
        code="PMC",
        label="preavviso di mancata consegna",
        word="AVVISO",
        folder=_NOTICE_FOLDER,
        export_name="preavviso-mancata-consegna",
        english="non-delivery-warning",
    ),
    Kind(
        name=RILEVAZIONE_VIRUS,
        groups=("certified", "receipts"),
        code="ARV",
        label="avviso di rilevazione virus",
        word="VIRUS",
        folder=_NOTICE_FOLDER,
        english="virus",
    ),
    Kind(
        name=ANOMALIA,
        groups=("uncertified",),
        events=("ReceivedFromNonERDS",),
        code="ANOM",
        label="busta di anomalia",
        word="ANOMALIA",
        folder="ANOMALIE",
        english="anomaly",
    ),
    _rem(
        RELAY_REJECTION,
        "RelayRejection",
        ("RRG", "rifiuto di inoltro tra gestori REM"),
        "RIFIUTO INOLTRO",
        notice=True,
    ),
    _rem(
        RELAY_TO_NON_REM,
        "RelayToNonERDS",
        ("RIE", "ricevuta REM di inoltro a posta ordinaria"),
        "INOLTRO ESTERNO",
    ),
    _rem(
        "rem-relay-to-non-rem-failure",
        "RelayToNonERDSFailure",
        ("MIE", "avviso REM di mancato inoltro a posta ordinaria"),
        "MANCATO INOLTRO",
        notice=True,
        stage="outcome",
    ),
    _rem(
        "rem-notification-for-acceptance",
        "NotificationForAcceptance",
        ("RNP", "ricevuta REM di notifica per accettazione"),
        "NOTIFICA",
    ),
    _rem(
        "rem-notification-for-acceptance-failure",
        "NotificationForAcceptanceFailure",
        ("MNP", "avviso REM di mancata notifica per accettazione"),
        "MANCATA NOTIFICA",
        notice=True,
    ),
    _rem(
        "rem-consignment-acceptance",
        "ConsignmentAcceptance",
        ("RCA", "ricevuta REM di accettazione del destinatario"),
        "RITIRO ACCETTATO",
    ),
    _rem(
        "rem-consignment-rejection",
        "ConsignmentRejection",
        ("RCR", "avviso REM di rifiuto del destinatario"),
        "RITIRO RIFIUTATO",
        notice=True,
        stage="outcome",
    ),
    _rem(
        "rem-acceptance-rejection-expiry",
        "AcceptanceRejectionExpiry",
        ("RSA", "avviso REM di scadenza del termine per accettare"),
        "RITIRO SCADUTO",
        notice=True,
        stage="outcome",
    ),
    _rem(
        "rem-consignment-notification",
        "ConsignmentNotification",
        ("RNC", "ricevuta REM di notifica di consegna"),
        "AVVISO CONSEGNA",
    ),
    _rem(
        "rem-consignment-notification-failure",
        "ConsignmentNotificationFailure",
        ("MNC", "avviso REM di mancata notifica di consegna"),
        "MANCATO AVVISO",
        notice=True,
    ),
    _rem("rem-content-handover", "ContentHandover", ("RRC", "ricevuta REM di ritiro"), "RITIRO"),
    _rem(
        "rem-content-handover-failure",
        "ContentHandoverFailure",
        ("MRC", "avviso REM di mancato ritiro"),
        "MANCATO RITIRO",
        notice=True,
    ),
    # Copies of sent mail too, which bear no mark of a provider: their folder is not "POSTA ORDINARIA".
    Kind(name=ORDINARIA, groups=("uncertified",), english="ordinary"),
    Kind(name=UNKNOWN, groups=("uncertified",)),
)
_BY_NAME: Final[Mapping[str, Kind]] = {kind.name: kind for kind in _TABLE}

KINDS: Final[tuple[str, ...]] = tuple(_BY_NAME)
"""The name of every kind that this version knows. `kind_of` may answer others: see there."""

_GROUPS = ("all", "envelopes", "receipts", "acceptances", "deliveries", "certified", "uncertified")
GROUPS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        group: frozenset(kind.name for kind in _TABLE if group == "all" or group in kind.groups)
        for group in _GROUPS
    }
)
"""Names for sets of kinds, as the providers group them.

`acceptances` and `deliveries` mean what they say: a refusal or a failure, which someone has to act on, is only in
`receipts`. An anomaly envelope carries ordinary mail and certifies nothing.
"""

OTHER_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {kind.english: kind.name for kind in _TABLE if kind.english}
    | {
        "tutte": "all",
        "buste": "envelopes",
        "ricevute": "receipts",
        "accettazioni": "acceptances",
        "consegne": "deliveries",
        "certificate": "certified",
        "non-certificate": "uncertified",
    }
)
"""Kinds and groups by names of the other language: English ones of `KINDS`, Italian ones of `GROUPS`."""

ACCEPTANCES: Final = frozenset(kind.name for kind in _TABLE if kind.stage == "acceptance")
"""What tells a sender whether the provider took the message."""
OUTCOMES: Final = frozenset(kind.name for kind in _TABLE if kind.stage == "outcome")
"""What tells a sender how it ended for a recipient."""
FAILURES: Final = OUTCOMES - {AVVENUTA_CONSEGNA, PREAVVISO_ERRORE_CONSEGNA}
"""What tells a sender that it ended without delivery."""
PROGRESS: Final = frozenset(kind.name for kind in _TABLE if kind.stage == "progress")
"""What tells between the two; of PEC it goes from provider to provider alone, and a mailbox has it by mistake."""

UNSEALED: Final = frozenset({ORDINARIA, UNKNOWN})
"""What no provider made, by its header."""

MAX_KIND: Final = 40
"""Characters of the longest kind."""

_REM_ONLY = "rem-"  # begins the kinds that only REM has
_OF_PEC = frozenset(kind for kind in KINDS if not kind.startswith(_REM_ONLY))
_BY_TRASPORTO = {b"posta-certificata": POSTA_CERTIFICATA, b"errore": ANOMALIA}
_BY_RICEVUTA = {kind.encode("ascii"): kind for kind in KINDS if kind in GROUPS["receipts"] & _OF_PEC}
_BY_TIPO = {kind.encode("ascii"): kind for kind in KINDS if kind in GROUPS["certified"] & _OF_PEC}
_BY_EVENT = {event.lower(): kind.name for kind in _TABLE for event in kind.events}

_VALUE = re.compile(rb"(?:[ \t]|\r?\n[ \t])*([^\r\n]*)")
# Those of TS 102 640, which REM grew out of, begin with X-.
_REM_MARK = re.compile(
    rb"\n(?:(REM-MessageType|X-REM-Msg-Type)|(REM-EventIdentifier|X-REM-Event|X-REM-Evidence-Type))[ \t]*:"
    + _VALUE.pattern,
    re.IGNORECASE,
)
_ANY_FIELD = re.compile(rb"\n[!-9;-~]+[ \t]*:")
_NOT_TOKEN = re.compile(r"[^a-z0-9._-]+")
_NEW_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def known_kind(name: str) -> Kind:
    """The row of a kind; one that this version does not know has what `unknown` has."""
    return _BY_NAME.get(name) or _BY_NAME[UNKNOWN]


def kind_of(head: Octets) -> str:
    """The kind of a message.

    `ordinaria` is a message without a header field of PEC or REM that says its kind, `unknown` one without any header
    field. A value that the standard does not have is given back as it stands, in lower case, every run of characters
    other than letters, digits, `.`, `_` and `-` turned into one `-`, cut to `MAX_KIND` characters; if that is empty or
    the name of a kind which this header does not mean (`X-Trasporto: accettazione`), it begins with `x-`. An event or a
    type of message of REM that is not in the table is given back alike, after `rem-`.

    Where both headers of PEC are present the message is an envelope: only a provider writes `X-Trasporto`, and whatever
    a third party sends travels in one. Both come before those of REM, which a provider of PEC may carry on from what
    it forwards. Of a repeated header the first counts.

    Args:
        head: a message, its beginning, or its header block; any bytes.

    Returns:
        One of `KINDS` or such a token; never empty, always printable ASCII.
    """
    return kind_and_system(head)[0]


def kind_and_system(head: Octets) -> tuple[str, str]:
    """The kind of a message, as `kind_of`, and the system that says so: `PEC`, `REM`, or nothing."""
    return marked_kind(Header.of(head))


def marked_kind(header: Header) -> tuple[str, str]:
    """As `kind_and_system`, of a header that is cut out already."""
    for name, known in (("X-Trasporto", _BY_TRASPORTO), ("X-Ricevuta", _BY_RICEVUTA)):
        start = header.find(name)
        if start >= 0 and (value := _VALUE.match(header.block, start)) is not None:
            return _named(value[1], known), PEC
    message_type, event = b"", b""
    is_rem = False
    for match in _REM_MARK.finditer(header.block) if b"rem-" in header.folded else ():
        is_rem = True
        message_type = message_type or (match[3] if match[1] else b"")
        event = event or (match[3] if match[2] else b"")
    if is_rem:
        return kind_of_event(_last(event), _last(message_type)), REM
    return (ORDINARIA if _ANY_FIELD.search(header.block) else UNKNOWN), ""


def kind_of_event(event: str, message_type: str) -> str:
    """The kind of a message of REM.

    Args:
        event: the last part of the identifier of an event (ETSI EN 319 522-2), `RelayRejection`; empty for none.
        message_type: likewise, `dispatch` or `receipt`.
    """
    kind = _BY_EVENT.get(event.lower())
    if message_type.lower() == "dispatch":
        return ANOMALIA if kind == ANOMALIA else POSTA_CERTIFICATA
    if kind is not None and message_type.lower() == "receipt":
        return kind
    token = _token(_NEW_WORD.sub("-", event or message_type).lower()) or "empty"
    name = (_REM_ONLY + token)[:MAX_KIND]
    return f"x-{name}"[:MAX_KIND] if name in KINDS else name


def kind_of_tipo(tipo: str) -> str:
    """The kind that certification data states; a value that the standard does not have as `kind_of` gives it back."""
    return _named(tipo.encode("ascii", "replace"), _BY_TIPO)


def in_group(kind: str, group: str) -> bool:
    """Whether a kind belongs to a group of `GROUPS`.

    A kind that this version does not know carries a PEC header: it is in `all` and in `certified`, so that nothing
    new falls out of an archive, and in no narrower group.

    Raises:
        KeyError: there is no such group.
    """
    members = GROUPS[group]
    return kind in members or (kind not in KINDS and group in ("all", "certified"))


def _last(value: bytes) -> str:
    """The last part of a URI."""
    return value[: 16 * MAX_KIND].strip().rpartition(b"/")[2].decode("ascii", "replace")


def _token(text: str) -> str:
    return _NOT_TOKEN.sub("-", text).strip("-")


def _named(value: bytes, known: Mapping[bytes, str]) -> str:
    kind = known.get(value)
    if kind is not None:
        return kind
    value = value[: 4 * MAX_KIND].strip().lower()
    kind = known.get(value)
    if kind is not None:
        return kind
    token = _token(value.decode("ascii", "replace"))
    if not token or token in KINDS:
        token = f"x-{token or 'empty'}"
    return token[:MAX_KIND]
