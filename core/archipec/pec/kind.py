"""What a PEC message is, told from its top-level header alone.

Only the header is looked at, never the Subject, the body or a nested message: RFC 6109 marks every system message
with `X-Ricevuta` or `X-Trasporto`, and a receipt forged by a third party can only arrive inside an envelope. Whether
the provider's seal is valid is another question, which the header cannot answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

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

KINDS: Final[tuple[str, ...]] = (
    POSTA_CERTIFICATA,
    ACCETTAZIONE,
    NON_ACCETTAZIONE,
    PRESA_IN_CARICO,
    AVVENUTA_CONSEGNA,
    ERRORE_CONSEGNA,
    PREAVVISO_ERRORE_CONSEGNA,
    RILEVAZIONE_VIRUS,
    ANOMALIA,
    ORDINARIA,
    UNKNOWN,
)
"""Every kind that this version knows. `kind_of` may answer others: see there."""

_RECEIPTS = (
    ACCETTAZIONE,
    NON_ACCETTAZIONE,
    PRESA_IN_CARICO,
    AVVENUTA_CONSEGNA,
    ERRORE_CONSEGNA,
    PREAVVISO_ERRORE_CONSEGNA,
    RILEVAZIONE_VIRUS,
)

GROUPS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "all": frozenset(KINDS),
        "envelopes": frozenset({POSTA_CERTIFICATA}),
        "receipts": frozenset(_RECEIPTS),
        "acceptances": frozenset({ACCETTAZIONE}),
        "deliveries": frozenset({AVVENUTA_CONSEGNA}),
        "certified": frozenset({POSTA_CERTIFICATA, *_RECEIPTS}),
        "uncertified": frozenset({ANOMALIA, ORDINARIA, UNKNOWN}),
    }
)
"""Names for sets of kinds, as the providers group them.

`acceptances` and `deliveries` mean what they say: a refusal or a failure, which someone has to act on, is only in
`receipts`. An anomaly envelope carries ordinary mail and certifies nothing.
"""

MAX_KIND: Final = 40
"""Characters of the longest kind."""

_BY_TRASPORTO = {b"posta-certificata": POSTA_CERTIFICATA, b"errore": ANOMALIA}
_BY_TIPO = {kind.encode("ascii"): kind for kind in (POSTA_CERTIFICATA, *_RECEIPTS)}
_BY_RICEVUTA = {kind.encode("ascii"): kind for kind in _RECEIPTS}

_PEC_FIELD = re.compile(rb"\nX-(Trasporto|Ricevuta)[ \t]*:(?:[ \t]|\r?\n[ \t])*([^\r\n]*)", re.IGNORECASE)
_ANY_FIELD = re.compile(rb"\n[!-9;-~]+[ \t]*:")
_NOT_TOKEN = re.compile(r"[^a-z0-9._-]+")


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
