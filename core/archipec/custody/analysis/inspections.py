"""The inspection of a message, made once in a worker for all analyzers that want it."""

from __future__ import annotations

from typing import Final, NamedTuple

from archipec.pec.anchors import Anchors
from archipec.pec.buffer import Octets
from archipec.pec.inspection import Inspection, judge_dissected
from archipec.pec.structure import Structure, parse_structure

__all__ = ["Inspected", "Inspector"]

_MOST: Final = 64  # messages of a request, which the analyzers see one after the other
_MOST_BYTES: Final = 2 << 20


class Inspected(NamedTuple):
    """A message, taken apart and judged."""

    structure: Structure
    inspection: Inspection


class _Recent:
    """What was inspected last, as long as it is small: by the messages themselves, not by what is in them."""

    def __init__(self) -> None:
        self._messages: dict[int, tuple[bytes, Inspected]] = {}
        self._size = 0
        self.users = 0

    def get(self, raw: bytes) -> Inspected | None:
        found = self._messages.get(id(raw))
        return found[1] if found is not None else None

    def put(self, raw: bytes, inspected: Inspected) -> None:
        if len(self._messages) >= _MOST or self._size + len(raw) > _MOST_BYTES:
            self._messages.clear()
            self._size = 0
        self._messages[id(raw)] = raw, inspected  # kept, so that no other message gets its id
        self._size += len(raw)


class Inspector:
    """Inspects messages; all that trust the same share what they found. For one thread.

    Args:
        anchors: whom to trust beyond the roots of PEC.
    """

    def __init__(self, anchors: Anchors) -> None:
        self._anchors = anchors
        shared = next((recent for trusted, recent in _SHARED if trusted == anchors), None)
        if shared is None:
            shared = _Recent()
            _SHARED.append((anchors, shared))
        shared.users += 1
        self._recent = shared

    def inspect(self, raw: Octets) -> Inspected:
        """Take a message apart and judge it; raises nothing."""
        if not isinstance(raw, bytes):
            return self._inspect(raw)
        inspected = self._recent.get(raw)
        if inspected is None:
            inspected = self._inspect(raw)
            if self._recent.users > 1:
                self._recent.put(raw, inspected)
        return inspected

    def _inspect(self, raw: Octets) -> Inspected:
        structure = parse_structure(raw)
        return Inspected(structure, judge_dissected(raw, structure, self._anchors))


_SHARED: Final[list[tuple[Anchors, _Recent]]] = []
