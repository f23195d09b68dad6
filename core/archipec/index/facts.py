"""What a message says about itself, as a person reads it: names and values."""

from __future__ import annotations

from collections.abc import Mapping

from archipec.errors import counted
from archipec.language import N_, _, ngettext
from archipec.message import Json
from archipec.pec.sentences import translated

__all__ = ["fact_rows", "seal_word"]

_LABELS = {
    "file": N_("file"),
    "size": N_("size"),
    "kind": N_("kind"),
    "system": N_("system"),
    "event": N_("event"),
    "status": N_("status"),
    "reason": N_("reason"),
    "signer": N_("signer"),
    "issuer": N_("issuer"),
    "root": N_("root"),
    "signed_at": N_("signed at"),
    "digest": N_("digest"),
}
"""What a fact is called; those with Italian names, of the provider's own words, are called so in every language."""


def seal_word(status: str, number: int = 1) -> str:
    """Return what is said of seals that were judged so."""
    words = {
        "valid": ngettext("valid", "valid", number),
        "altered": ngettext("altered", "altered", number),
        "untrusted": ngettext("untrusted", "untrusted", number),
        "expired": ngettext("expired", "expired", number),
        "unsigned": ngettext("unsigned", "unsigned", number),
        "malformed": ngettext("malformed", "malformed", number),
    }
    return words.get(status, status)


def fact_rows(shape: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Return the facts of a message, (name, value) each; what is empty is left out. The values come from outside.

    Args:
        shape: of `archipec.pec.inspection.describe`, with facts of the caller's.
    """
    rows: list[tuple[str, object]] = []
    recipients, seal, rem = shape["destinatari"], shape["seal"], shape.get("rem")
    assert isinstance(recipients, list) and isinstance(seal, dict)
    for name, value in shape.items():
        label = _(_LABELS.get(name, name))
        if name == "system" and value:
            rows.append((label, str(value).upper()))
        elif name == "reason" and isinstance(rem, dict):
            rows += [(_("event reason"), _meaning(one)) for one in rem["reasons"]]
        elif name == "destinatari":
            rows += [("destinatario", f"{one['address']} ({one['tipo']})") for one in recipients]
            if isinstance(rem, dict) and rem.get("concerned"):
                rows += [(_("concerns"), one) for one in rem["concerned"]]
        elif isinstance(value, str | int):
            rows.append((label, value))
    mended, outside = shape["mended"], shape["outside_seal"]
    assert isinstance(mended, list) and isinstance(outside, list)
    rows += [(_("mended"), one) for one in mended]
    if isinstance(rem, dict) and not rem["verified"] and rem["evidence"]:
        unverified = _("{evidence} (not verified)").format(evidence=", ".join(rem["evidence"]))
        rows.append((_("evidence"), unverified))
    rows.append((_("seal"), seal_word(seal["status"]).upper()))
    rows += [
        (_("outside seal"), f"{one['name'] or one['place']} ({one['type']}, {counted(one['size'], 'byte')})")
        for one in outside
    ]
    rows += [
        (_(_LABELS.get(str(name), str(name))), translated(str(value or "")) if name == "reason" else value)
        for name, value in seal.items()
        if name not in ("status", "basis")
    ]
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def _meaning(reason: Mapping[str, Json]) -> str:
    return f"{reason['code']}: {_(str(reason['meaning']))}" if reason["meaning"] else str(reason["code"])
