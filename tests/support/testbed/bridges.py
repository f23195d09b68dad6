"""Lets the conformance kit script the doubles that run as programs of their own, behind real servers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from archipec.testing import Misbehaviour, ScriptedService

from .doubles import Conservator, SacerDouble
from .process import ServerProcess

__all__ = ["DropService", "SacerService"]

_FAULTS = {
    Misbehaviour.LATE: "late",
    Misbehaviour.NEGATIVE: "negative",
    Misbehaviour.PARTIAL: "partial",
    Misbehaviour.LOST_BEFORE_SAVE: "lost-before-save",
    Misbehaviour.LOST_AFTER_SAVE: "lost-after-save",
    Misbehaviour.WRONG_HASH: "wrong-hash",
    Misbehaviour.UNKNOWN_PACKAGE: "unknown-package",
    Misbehaviour.TRUNCATED: "truncated",
    Misbehaviour.HTML: "html",
}


class _Remote(ScriptedService):
    """A service whose decisions are made, and whose records are kept, by another program."""

    _misbehaviour: Misbehaviour | None = None

    def __init__(self) -> None:
        """Take nothing from `ScriptedService` but its shape."""

    @property
    def misbehaviour(self) -> Misbehaviour | None:
        return self._misbehaviour

    @misbehaviour.setter
    def misbehaviour(self, misbehaviour: Misbehaviour | None) -> None:
        self._misbehaviour = misbehaviour
        self.script(misbehaviour)

    @property
    def kept(self) -> dict[str, dict[str, str]]:  # type: ignore[override]
        return {str(number): documents for number, (_, documents) in enumerate(self.records())}

    @property
    def doubled(self) -> set[str]:  # type: ignore[override]
        return {name for name, times in Counter(name for name, _ in self.records()).items() if times > 1}

    @property
    def hashes(self) -> list[str]:  # type: ignore[override]
        return [digest for _, documents in self.records() for digest in documents.values()]

    def script(self, misbehaviour: Misbehaviour | None) -> None:
        raise NotImplementedError

    def records(self) -> list[tuple[str, dict[str, str]]]:
        """Return what was kept, by package and document, one entry each time."""
        raise NotImplementedError


class SacerService(_Remote):
    """The double of SACER."""

    def __init__(self, double: SacerDouble) -> None:
        self._double = double

    def work(self) -> None:
        """Do nothing: it decides at once."""

    def script(self, misbehaviour: Misbehaviour | None) -> None:
        self._double.faults(*([f"*{_FAULTS[misbehaviour]}"] if misbehaviour else []))

    def records(self) -> list[tuple[str, dict[str, str]]]:
        saved = {tuple(unit["key"]): _hashes(unit["documents"]) for unit in self._double.saved()}
        keys = [tuple(request["key"]) for request in self._double.requests() if request["saved"]]
        return [("/".join(key), saved[key]) for key in keys]


class DropService(_Remote):
    """The double of a provider with a drop folder, and the server in front of it."""

    def __init__(self, double: Conservator, server: ServerProcess) -> None:
        self._double = double
        self._server = server
        self._stopped = False

    def work(self) -> None:
        """Look into the folder."""
        self._double.look()

    def script(self, misbehaviour: Misbehaviour | None) -> None:
        # What is lost on the way to a drop folder, the server has lost.
        if self._stopped:
            self._server.start()
        self._stopped = misbehaviour is Misbehaviour.LOST_BEFORE_SAVE
        if self._stopped:
            self._server.stop()
        self._double.hold(back=misbehaviour is not None)
        self._double.faults(*([f"*{_FAULTS[misbehaviour]}"] if misbehaviour and not self._stopped else []))

    def records(self) -> list[tuple[str, dict[str, str]]]:
        self.work()
        return [(taken["id"], _hashes(taken["documents"])) for taken in self._double.taken()]


def _hashes(documents: list[dict[str, Any]]) -> dict[str, str]:
    return {document.get("id") or document["document"]: document["sha256"] for document in documents}
