"""The words of certified mail in a document: kinds, outcomes, verdicts on seals, as providers and the law call them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from archipec.language import N_, _, current
from archipec.pec import kind as kinds
from archipec.pec.transactions import ATTENTION, Outcome
from archipec.report.pdf.document import Tint, Value, tinted

__all__ = [
    "kind_name",
    "outcome",
    "outcome_name",
    "recipient_type",
    "seal",
    "seal_meaning",
    "seal_name",
    "seal_tint",
    "system_name",
    "with_type",
]

_KINDS: Final[Mapping[str, str]] = {
    kinds.POSTA_CERTIFICATA: N_("transport envelope"),
    kinds.ACCETTAZIONE: N_("acceptance receipt"),
    kinds.NON_ACCETTAZIONE: N_("notice of non-acceptance"),
    kinds.PRESA_IN_CARICO: N_("take-charge receipt"),
    kinds.AVVENUTA_CONSEGNA: N_("delivery receipt"),
    kinds.ERRORE_CONSEGNA: N_("notice of non-delivery"),
    kinds.PREAVVISO_ERRORE_CONSEGNA: N_("notice of non-delivery in time"),
    kinds.RILEVAZIONE_VIRUS: N_("virus detection notice"),
    kinds.ANOMALIA: N_("anomaly envelope"),
    kinds.ORDINARIA: N_("message without a provider's seal"),
    kinds.UNKNOWN: N_("message of unknown kind"),
}

_OUTCOMES: Final[Mapping[Outcome, str]] = {
    Outcome.REFUSED: N_("not accepted by the sender's provider"),
    Outcome.FAILED: N_("delivery failed"),
    Outcome.VIRUS: N_("not delivered because of a virus"),
    Outcome.TIMED_OUT: N_("not delivered within 24 hours"),
    Outcome.UNPROVEN: N_("not proven by a valid seal"),
    Outcome.MISSING: N_("no receipt in the archive"),
    Outcome.WAITING: N_("receipt not there yet"),
    Outcome.DELIVERED: N_("delivered to the mailbox"),
    Outcome.ORDINARY: N_("accepted; the mailbox is not certified, so there is no delivery receipt"),
    Outcome.RECEIVED: N_("received in the mailbox"),
}

_SEALS: Final[Mapping[str, tuple[str, str, Tint]]] = {
    "valid": (
        N_("seal valid"),
        N_(
            "The message is unchanged since its provider sealed it, and the seal's certificate was valid then."
        ),
        "good",
    ),
    "altered": (
        N_("seal altered"),
        N_("The message, or its seal, was changed after the provider had sealed it: it proves nothing."),
        "bad",
    ),
    "untrusted": (
        N_("seal not trusted"),
        N_("The seal fits the message, but nothing proves that a certified provider made it."),
        "bad",
    ),
    "expired": (
        N_("sealed outside the validity of the certificate"),
        N_("The seal fits the message, but its certificate was not valid at the time of sealing."),
        "bad",
    ),
    "unsigned": (
        N_("no seal"),
        N_("The message bears no provider's seal: it is ordinary mail, or the copy that the sender kept."),
        "plain",
    ),
    "malformed": (N_("seal unreadable"), N_("The seal can't be read, so it proves nothing."), "bad"),
}

_TYPES: Final[Mapping[str, str]] = {
    "certificato": N_("certified mailbox"),
    "esterno": N_("mailbox that is not certified"),
}


def kind_name(kind: str) -> str:
    """Return what a message of a kind is called."""
    if kind in _KINDS:
        return _(_KINDS[kind])
    known = kinds.known_kind(kind)
    return known.label if current() == "it" else known.english or kind


def system_name(system: str) -> str:
    """Return the name of a system of certified mail, empty for none."""
    return {
        kinds.PEC: _("certified e-mail (PEC)"),
        kinds.REM: _("registered e-mail (REM)"),
    }.get(system, "")


def outcome_name(one: Outcome) -> str:
    """Return the name of what became of a sending."""
    return _(_OUTCOMES[one])


def outcome(one: Outcome) -> Value:
    """Return the same, tinted."""
    tint: Tint = (
        "bad" if one in ATTENTION else "wait" if one in (Outcome.WAITING, Outcome.ORDINARY) else "good"
    )
    return tinted(outcome_name(one), tint)


def seal_name(status: str) -> str:
    """Return the name of a verdict on a seal."""
    return _(_SEALS[status][0]) if status in _SEALS else status


def seal_tint(status: str) -> Tint:
    """Return how a verdict looks."""
    return _SEALS[status][2] if status in _SEALS else "plain"


def seal(status: str) -> Value:
    """Return the verdict on a seal, tinted."""
    return tinted(seal_name(status), seal_tint(status))


def seal_meaning(status: str) -> str:
    """Return what that verdict means, a sentence."""
    return _(_SEALS[status][1]) if status in _SEALS else ""


def recipient_type(tipo: str) -> str:
    """Return what kind of mailbox a recipient has, by the certification data; empty where they do not say."""
    return _(_TYPES[tipo]) if tipo in _TYPES else tipo


def with_type(address: str, tipo: str) -> str:
    """Return an address with the kind of its mailbox."""
    return f"{address} ({recipient_type(tipo)})" if tipo else address
