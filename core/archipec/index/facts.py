"""What a message says about itself, as a person reads it: names and values."""

from __future__ import annotations

from collections.abc import Mapping

from archipec.message import Json

__all__ = ["fact_rows"]


def fact_rows(shape: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Return the facts of a message, (name, value) each; what is empty is left out. The values come from outside.

    Args:
        shape: of `archipec.pec.inspection.describe`, with facts of the caller's.
    """
    rows: list[tuple[str, object]] = []
    recipients, seal, rem = shape["destinatari"], shape["seal"], shape.get("rem")
    assert isinstance(recipients, list) and isinstance(seal, dict)
    for name, value in shape.items():
        if name == "system" and value:
            rows.append((name, str(value).upper()))
        elif name == "reason" and isinstance(rem, dict):
            rows += [("event reason", _meaning(one)) for one in rem["reasons"]]
        elif name == "destinatari":
            rows += [("destinatario", f"{one['address']} ({one['tipo']})") for one in recipients]
            if isinstance(rem, dict) and rem.get("concerned"):
                rows += [("concerns", one) for one in rem["concerned"]]
        elif isinstance(value, str | int):
            rows.append((name, value))
    mended, outside = shape["mended"], shape["outside_seal"]
    assert isinstance(mended, list) and isinstance(outside, list)
    rows += [("mended", one) for one in mended]
    if isinstance(rem, dict) and not rem["verified"] and rem["evidence"]:
        rows.append(("evidence", f"{', '.join(rem['evidence'])} (not verified)"))
    rows.append(("seal", str(seal["status"]).upper()))
    rows += [
        ("outside seal", f"{one['name'] or one['place']} ({one['type']}, {one['size']} bytes)")
        for one in outside
    ]
    rows += [
        (name.replace("_", " "), value) for name, value in seal.items() if name not in ("status", "basis")
    ]
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def _meaning(reason: Mapping[str, Json]) -> str:
    return f"{reason['code']}: {reason['meaning']}" if reason["meaning"] else str(reason["code"])
