"""The verdict on a message, as it travels from the worker that gave it into the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a message says about itself, and whether its seal holds.

    Attributes:
        status: of the seal.
        kind: what the message is, by its certification data where the seal is valid.
        certified: the certified date in Unix seconds, None unless the seal is valid.
        record: the JSON object of ``inspect``, without the file.
    """

    status: str
    kind: str
    certified: int | None
    record: dict[str, Any]
