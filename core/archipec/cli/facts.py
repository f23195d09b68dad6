"""What a message says about itself: the table of ``inspect`` and ``show``."""

from __future__ import annotations

from collections.abc import Mapping

from archipec.index.facts import fact_rows, seal_word
from archipec.language import written
from archipec.message import Json
from archipec.terminal import printable

__all__ = ["facts_table", "seals_text"]


def seals_text(seals: Mapping[str, int]) -> str:
    """Return how many seals were judged how, in one line."""
    return ", ".join(
        f"{written(number)} {seal_word(status, number)}" for status, number in sorted(seals.items())
    )


def facts_table(shape: Mapping[str, Json]) -> str:
    """Return the facts of a message for a person to read, a line each (`fact_rows`)."""
    return "\n".join(f"{name:<15}{printable(value)}" for name, value in fact_rows(shape))
