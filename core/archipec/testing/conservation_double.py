"""A conservation provider to test against: it decides from the bytes received, and misbehaves as a test wants it to.

The protocol is the author's: their double takes apart what arrives, hands it over, and puts the answer into the words of the
service::

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            package, documents = ...  # from the bytes received, by code of its own
            answer = service.deposit(package, documents, render)
            if answer is None:
                self.close_connection = True  # the connection breaks
            else:
                self.reply(200, answer)

``render`` makes the service's answer, bytes, of a `Statement`.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

HTML_PAGE: Final = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><hr></body></html>"
_STRANGER: Final = "00000000-0000-4000-8000-000000000000"


class Misbehaviour(enum.Enum):
    """What a service may do to its clients."""

    LATE = "the report is long in coming"
    NEGATIVE = "the package is rejected"
    PARTIAL = "one document is rejected, the others are conserved"
    LOST_BEFORE_SAVE = "the connection breaks before anything is kept"
    LOST_AFTER_SAVE = "the connection breaks after everything is kept"
    WRONG_HASH = "the report states other hashes than those of what was sent"
    UNKNOWN_PACKAGE = "the report is about a package that was never sent"
    TRUNCATED = "the answer is cut short"
    HTML = "a web page of some proxy comes instead of the answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What the service is to say.

    Attributes:
        about: the package's id.
        state: ``taken`` (a deposit that is decided later), ``pending``, ``conserved``, ``rejected``, ``partial``, or
            ``unknown`` (no such package was deposited).
        conserved: SHA-256 in hexadecimal by document, as computed from what was received.
        rejected: the reason by document.
        duplicate: this package was deposited before; the rest is what was said then.
    """

    about: str
    state: str
    conserved: Mapping[str, str] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)
    duplicate: bool = False


Render: TypeAlias = Callable[[Statement], bytes]


class ScriptedService:
    """The decisions of a provider.

    Args:
        at_once: the answer to a deposit is its report; else the report is asked for later.
        recognises: a package that is deposited again is recognised by its id, and not kept twice.
        work: does what the service does in its own time (looks into its drop folder); called between runs.

    Attributes:
        misbehaviour: what it does wrong until the test changes it, None for nothing.
        kept: by package, the SHA-256 of each document as received.
        doubled: packages that were kept twice.
        hashes: SHA-256 of everything received and kept, one for each time.
    """

    def __init__(
        self, *, at_once: bool = False, recognises: bool = False, work: Callable[[], None] = lambda: None
    ) -> None:
        self.at_once = at_once
        self.recognises = recognises
        self.work = work
        self.misbehaviour: Misbehaviour | None = None
        self.kept: dict[str, dict[str, str]] = {}
        self.doubled: set[str] = set()
        self.hashes: list[str] = []

    def deposit(self, package: str, documents: Mapping[str, bytes], render: Render) -> bytes | None:
        """Take a package; return the bytes of the answer, None when the connection breaks instead."""
        if self.misbehaviour is Misbehaviour.LOST_BEFORE_SAVE:
            return None
        again = package in self.kept
        received = {name: hashlib.sha256(content).hexdigest() for name, content in documents.items()}
        if not again or not self.recognises:
            self.hashes += received.values()
        if again and not self.recognises:
            self.doubled.add(package)
        self.kept.setdefault(package, received)
        if self.misbehaviour is Misbehaviour.LOST_AFTER_SAVE:
            return None
        if self.at_once:
            return self._spoilt(self._verdict(package, duplicate=again), render)
        return self._spoilt(Statement(about=package, state="taken", duplicate=again), render)

    def validate(self, render: Render) -> bytes | None:
        """Say that a package would be accepted, without keeping it."""
        return self._spoilt(Statement(about="", state="conserved"), render)

    rehearse = validate  # its former name, until version 0.2

    def ask(self, package: str, render: Render) -> bytes | None:
        """Say what became of a package; as `deposit`."""
        if self.misbehaviour in (Misbehaviour.LOST_BEFORE_SAVE, Misbehaviour.LOST_AFTER_SAVE):
            return None
        if package not in self.kept:
            return self._spoilt(Statement(about=package, state="unknown"), render)
        return self._spoilt(self._verdict(package), render)

    def _verdict(self, package: str, *, duplicate: bool = False) -> Statement:
        held = self.kept[package]
        about, state, conserved = package, "conserved", dict(held)
        rejected: dict[str, str] = {}
        if self.misbehaviour is Misbehaviour.LATE:
            state, conserved = "pending", {}
        elif self.misbehaviour is Misbehaviour.NEGATIVE:
            state, conserved = "rejected", {}
            rejected = dict.fromkeys(held, "FIRMA-003 controllo non superato")
        elif self.misbehaviour is Misbehaviour.PARTIAL and len(held) > 1:
            state, first = "partial", min(held)
            del conserved[first]
            rejected = {first: "FORMATO-001 formato non riconosciuto"}
        elif self.misbehaviour is Misbehaviour.WRONG_HASH:
            conserved = {name: hashlib.sha256(digest.encode()).hexdigest() for name, digest in held.items()}
        elif self.misbehaviour is Misbehaviour.UNKNOWN_PACKAGE:
            about = _STRANGER
        return Statement(
            about=about, state=state, conserved=conserved, rejected=rejected, duplicate=duplicate
        )

    def _spoilt(self, statement: Statement, render: Render) -> bytes:
        answer = render(statement)
        if self.misbehaviour is Misbehaviour.TRUNCATED:
            return answer[: len(answer) // 2]
        if self.misbehaviour is Misbehaviour.HTML:
            return HTML_PAGE
        return answer
