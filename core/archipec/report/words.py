"""What the facts of a report are called for people: families of messages, outcomes, verdicts on seals."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from archipec.language import N_, _, pgettext
from archipec.pec.transactions import ATTENTION, Outcome
from archipec.report.charts import Series
from archipec.report.facts import Family

__all__ = [
    "FAMILY_COLOURS",
    "SEAL_COLOURS",
    "family_series",
    "outcome_colour",
    "outcome_label",
    "seal_label",
]

_FAMILIES: Final[Mapping[Family, str]] = MappingProxyType(
    {
        Family.CERTIFIED: N_("certified mail received"),
        Family.RECEIPTS: N_("receipts"),
        Family.NOTICES: N_("refusals, failures, anomalies"),
        Family.ORDINARY: N_("ordinary mail and copies of what was sent"),
    }
)
FAMILY_COLOURS: Final[Mapping[Family, str]] = MappingProxyType(
    {Family.CERTIFIED: "blue", Family.RECEIPTS: "sky", Family.NOTICES: "red", Family.ORDINARY: "grey"}
)
_OUTCOMES: Final[Mapping[Outcome, str]] = MappingProxyType(
    {
        Outcome.DELIVERED: N_("delivered to every certified recipient", "sending"),
        Outcome.ORDINARY: N_("accepted, to ordinary mailboxes: no legal delivery", "sending"),
        Outcome.WAITING: N_("waiting for receipts", "sending"),
        Outcome.MISSING: N_("a receipt is missing", "sending"),
        Outcome.UNPROVEN: N_("not proven: no receipt with a valid seal", "sending"),
        Outcome.TIMED_OUT: N_("not delivered in time", "sending"),
        Outcome.VIRUS: N_("stopped because of a virus", "sending"),
        Outcome.FAILED: N_("not delivered", "sending"),
        Outcome.REFUSED: N_("refused by the provider", "sending"),
        Outcome.RECEIVED: N_("received", "sending"),
    }
)
_SEALS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "valid": N_("valid", "seal"),
        "unsigned": N_("no seal: ordinary mail, copies of what was sent", "seal"),
        "untrusted": N_("sealed by an authority that is not trusted", "seal"),
        "expired": N_("the provider's certificate had expired", "seal"),
        "altered": N_("altered since it was sealed", "seal"),
        "malformed": N_("can't be read", "seal"),
        "": N_("not judged yet", "seal"),
    }
)
SEAL_COLOURS: Final[Mapping[str, str]] = MappingProxyType(
    {"valid": "green", "unsigned": "grey", "untrusted": "amber", "expired": "amber", "": "grey"}
)
"""By the verdict on a seal; what is not in it is red."""


def family_series() -> dict[Family, Series]:
    """Return the families, in the order in which they are stacked, as series of a chart."""
    return {family: Series(_(_FAMILIES[family]), FAMILY_COLOURS[family]) for family in Family}


def outcome_label(outcome: Outcome) -> str:
    """Return what became of a sending, for people."""
    return pgettext("sending", _OUTCOMES[outcome])


def outcome_colour(outcome: Outcome) -> str:
    """Return the colour of an outcome: red where somebody has to look at it."""
    if outcome in ATTENTION:
        return "red"
    return {Outcome.WAITING: "amber", Outcome.ORDINARY: "grey"}.get(outcome, "green")


def seal_label(status: str) -> str:
    """Return the verdict on a seal, for people."""
    return pgettext("seal", _SEALS[status]) if status in _SEALS else status
