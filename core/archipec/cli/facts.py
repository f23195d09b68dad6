"""What a message says about itself: the table of ``inspect`` and ``show``."""

from __future__ import annotations

from collections.abc import Mapping

from archipec.index.facts import fact_rows
from archipec.message import Json
from archipec.terminal import printable

__all__ = ["facts_table"]


def facts_table(shape: Mapping[str, Json]) -> str:
    """Return the facts of a message for a person to read, a line each (`fact_rows`)."""
    return "\n".join(f"{name:<15}{printable(value)}" for name, value in fact_rows(shape))
