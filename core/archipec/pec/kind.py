"""What a PEC message is, told from its top-level header alone.

Only the header is looked at, never the Subject, the body or a nested message: RFC 6109 marks every system message
with `X-Ricevuta` or `X-Trasporto`, and a receipt forged by a third party can only arrive inside an envelope. Whether
the provider's seal is valid is another question, which the header cannot answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from archipec.pec.headers import header_block

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

Stage = Literal["", "acceptance", "outcome"]


class Kind(NamedTuple):
    """All that differs from kind to kind.

    Attributes:
        name: as it is stored, selected by and printed.
        groups: of `GROUPS`, besides ``all``.
        stage: what it tells the sender of: the provider's ``acceptance`` of a message, or an ``outcome`` for a recipient.
        code: of the document in a conservation package; ``label``: what it is, in Italian.
        word: in the name of an .eml file; ``folder``: of an .eml tree that is laid out by kind.
        export_name: of its file in an export for a court; empty for what no export has as a receipt.
    """

    name: str
    groups: tuple[str, ...]
    stage: Stage = ""
    code: str = "MSG"
    label: str = "messaggio"
    word: str = "MESSAGGIO"
    folder: str = "ALTRI MESSAGGI"
    export_name: str = ""


_RECEIPT_FOLDER, _NOTICE_FOLDER = "RICEVUTE ACCETTAZIONE E CONSEGNA", "AVVISI E MANCATE CONSEGNE"

# A kind of PEC message is one row here (RFC 6109 §3). Groups and folders are as the providers' webmails have them.
_TABLE: Final = (
    Kind(
        name=POSTA_CERTIFICATA,
        groups=("certified", "envelopes"),
        code="BUSTA",
        label="busta di trasporto",
        word="PEC",
        folder="POSTA CERTIFICATA",
    ),
    Kind(
        name=ACCETTAZIONE,
        groups=("certified", "receipts", "acceptances"),
        stage="acceptance",
        code="RAC",
        label="ricevuta di accettazione",
        word="ACCETTAZIONE",
        folder=_RECEIPT_FOLDER,
        export_name="accettazione",
    ),
    Kind(
        name=NON_ACCETTAZIONE,
        groups=("certified", "receipts"),
        stage="acceptance",
        code="RNA",
        label="avviso di non accettazione",
        word="NON ACCETTAZIONE",
        folder=_NOTICE_FOLDER,
        export_name="non-accettazione",
    ),
    Kind(
        name=PRESA_IN_CARICO,
        groups=("certified", "receipts"),
        code="RPC",
        label="ricevuta di presa in carico",
        word="PRESA IN CARICO",
        folder=_RECEIPT_FOLDER,
    ),
    Kind(
        name=AVVENUTA_CONSEGNA,
        groups=("certified", "receipts", "deliveries"),
        stage="outcome",
        code="RDAC",
        label="ricevuta di avvenuta consegna",
        word="CONSEGNA",
        folder=_RECEIPT_FOLDER,
        export_name="consegna",
    ),
    Kind(
        name=ERRORE_CONSEGNA,
        groups=("certified", "receipts"),
        stage="outcome",
        code="AMC",
        label="avviso di mancata consegna",
        word="MANCATA CONSEGNA",
        folder=_NOTICE_FOLDER,
        export_name="mancata-consegna",
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
    ),
    Kind(
        name=RILEVAZIONE_VIRUS,
        groups=("certified", "receipts"),
        code="ARV",
        label="avviso di rilevazione virus",
        word="VIRUS",
        folder=_NOTICE_FOLDER,
    ),
    Kind(
        name=ANOMALIA,
        groups=("uncertified",),
        code="ANOM",
        label="busta di anomalia",
        word="ANOMALIA",
        folder="ANOMALIE",
    ),
    # Copies of sent mail too, which bear no mark of a provider: their folder is not "POSTA ORDINARIA".
    Kind(name=ORDINARIA, groups=("uncertified",)),
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

ACCEPTANCES: Final = frozenset(kind.name for kind in _TABLE if kind.stage == "acceptance")
"""What tells a sender whether the provider took the message."""
OUTCOMES: Final = frozenset(kind.name for kind in _TABLE if kind.stage == "outcome")
"""What tells a sender how it ended for a recipient."""

MAX_KIND: Final = 40
"""Characters of the longest kind."""

_BY_TRASPORTO = {b"posta-certificata": POSTA_CERTIFICATA, b"errore": ANOMALIA}
_BY_RICEVUTA = {kind.encode("ascii"): kind for kind in KINDS if kind in GROUPS["receipts"]}
_BY_TIPO = {kind.encode("ascii"): kind for kind in KINDS if kind in GROUPS["certified"]}

_PEC_FIELD = re.compile(rb"\nX-(Trasporto|Ricevuta)[ \t]*:(?:[ \t]|\r?\n[ \t])*([^\r\n]*)", re.IGNORECASE)
_ANY_FIELD = re.compile(rb"\n[!-9;-~]+[ \t]*:")
_NOT_TOKEN = re.compile(r"[^a-z0-9._-]+")


def known_kind(name: str) -> Kind:
    """The row of a kind; one that this version does not know has what `unknown` has."""
    return _BY_NAME.get(name) or _BY_NAME[UNKNOWN]


def kind_of(head: Octets) -> str:
    """The kind of a message.

    `ordinaria` is a message without a PEC header, `unknown` one without any header field. A value that the standard
    does not have is given back as it stands, in lower case, every run of characters other than letters, digits,
    `.`, `_` and `-` turned into one `-`, cut to `MAX_KIND` characters; if that is empty or the name of a kind which
    this header does not mean (`X-Trasporto: accettazione`), it begins with `x-`.

    Where both headers are present the message is an envelope: only a provider writes `X-Trasporto`, and whatever a
    third party sends travels in one. Of a repeated header the first counts.

    Args:
        head: a message, its beginning, or its header block; any bytes.

    Returns:
        One of `KINDS` or such a token; never empty, always printable ASCII.
    """
    block = b"\n" + header_block(head)
    ricevuta: bytes | None = None
    for match in _PEC_FIELD.finditer(block):
        if match[1][0] in b"Tt":
            return _named(match[2], _BY_TRASPORTO)
        if ricevuta is None:
            ricevuta = match[2]
    if ricevuta is not None:
        return _named(ricevuta, _BY_RICEVUTA)
    return ORDINARIA if _ANY_FIELD.search(block) else UNKNOWN


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


def _named(value: bytes, known: Mapping[bytes, str]) -> str:
    value = value[: 4 * MAX_KIND].strip().lower()
    kind = known.get(value)
    if kind is not None:
        return kind
    token = _NOT_TOKEN.sub("-", value.decode("ascii", "replace")).strip("-")
    if not token or token in KINDS:
        token = f"x-{token or 'empty'}"
    return token[:MAX_KIND]
