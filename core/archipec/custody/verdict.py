"""The verdict on a message, as it travels from the worker that gave it into the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple, Self

from archipec.message import Json
from archipec.pec.headers import identifier
from archipec.pec.kind import REM

__all__ = ["IDENTIFIERS", "Verdict"]

IDENTIFIERS = ("tipo", "identificativo", "msgid", "riferimento", "message_id")
"""What of the record is kept by itself too, to find messages by."""


class Verdict(NamedTuple):
    """What a message says about itself, and whether its seal holds.

    Everything is made ready to be stored where the message is judged: whoever records it also has a download to go on with.

    Attributes:
        status: of the seal.
        kind: what the message is, by its certification data where the seal is valid.
        certified: the certified date in Unix seconds, None unless the seal is valid.
        identifiers: the values of `IDENTIFIERS`, as `archipec.pec.headers.identifier` writes them.
        record: the JSON object of ``inspect``, without the file, as text.
    """

    status: str
    kind: str
    certified: int | None
    identifiers: tuple[str | None, ...]
    record: str

    @classmethod
    def of(cls, status: str, kind: str, certified: int | None, record: Mapping[str, Json]) -> Self:
        """Return the verdict with its record made ready."""
        said = {name: record.get(name) for name in IDENTIFIERS}
        if record.get("system") == REM:  # which has no name of its own for what a message is
            said["tipo"] = kind
        identifiers = tuple(identifier(one if isinstance(one, str) else None) for one in said.values())
        return cls(status, kind, certified, identifiers, json.dumps(record))
