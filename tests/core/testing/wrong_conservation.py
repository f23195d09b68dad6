"""Conservation providers with a mistake in each method, and the cases of the kit that must find out.

Run by ``test_kit.py``.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Self

from archipec.conservation.provider import (
    ConservationProvider,
    Conserved,
    Limits,
    Outcome,
    Package,
    Partial,
    Pending,
    Rejected,
    Ticket,
)
from archipec.contract import Context, Option
from archipec.errors import TransientError

from . import test_conservation_reference
from .memory_provider import MemoryProvider
from .wrong import Wrong, wrong

WRONG: dict[str, Wrong] = {}


def broken(*fails: str, says: str) -> Callable[[type[ConservationProvider]], type[ConservationProvider]]:
    """Register a broken provider."""

    def register(provider: type[ConservationProvider]) -> type[ConservationProvider]:
        base = test_conservation_reference.TestMemoryProvider
        WRONG[provider.__name__] = wrong(
            provider.__name__, base, {"provider": provider}, fails=fails, says=says
        )
        return provider

    return register


@broken("test_says_on_what_it_stands", says="evidence must be one line")
class HidesItsEvidence(MemoryProvider):
    """Says nothing."""

    evidence: ClassVar[str] = ""


@broken("test_limits_and_terms", says="limits must be above zero|a package has one document")
class TakesNothing(MemoryProvider):
    """Has no room for a document."""

    @classmethod
    def limits(cls, config: Any) -> Limits:
        """Forget that zero is not "any number"."""
        return Limits(documents=0)


@broken("test_leaves_shared_options_alone", says="of every conservation sink")
class TakesASharedName(MemoryProvider):
    """Has an outbox of its own."""

    options: ClassVar[tuple[Option, ...]] = (*MemoryProvider.options, Option(name="outbox", help="a box"))


@broken("test_the_exact_bytes_arrive_and_are_proven", says="byte for byte")
class TidiesUp(MemoryProvider):
    """Makes line ends what it thinks they should be."""

    def encoded(self, raw: bytes) -> str:
        """Do harm."""
        return base64.b64encode(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")).decode()


@broken("test_other_hashes", says="nothing may be decided by an answer that proves nothing")
class VouchesForHashes(MemoryProvider):
    """Fills the report in with what it knows itself."""

    def outcome(self, package: Package, answer: bytes) -> Outcome:
        """Do harm."""
        found = super().outcome(package, answer)
        if isinstance(found, Conserved):
            hashes = {one.id: one.key.sha256 for one in package.documents}
            return Conserved(report=replace(found.report, documents=hashes))
        return found


@broken("test_a_report_about_something_else", says="nothing may be decided by an answer that proves nothing")
class TakesAnyReport(MemoryProvider):
    """Thinks that whatever comes must be about what it sent."""

    def outcome(self, package: Package, answer: bytes) -> Outcome:
        """Do harm."""
        found = super().outcome(package, answer)
        if isinstance(found, Conserved):
            return Conserved(report=replace(found.report, about=package.id))
        return found


@broken("test_a_late_report", says="nothing is decided before the report comes")
class CannotWait(MemoryProvider):
    """Takes no answer for a refusal."""

    def outcome(self, package: Package, answer: bytes) -> Outcome:
        """Do harm."""
        found = super().outcome(package, answer)
        return Rejected(reason="nothing came") if isinstance(found, Pending) else found


@broken("test_a_rejection", says="a rejection must say why")
class KeepsTheReasonToItself(MemoryProvider):
    """Says only that it was refused."""

    def outcome(self, package: Package, answer: bytes) -> Outcome:
        """Do harm."""
        found = super().outcome(package, answer)
        return replace(found, reason="no") if isinstance(found, Rejected) else found


@broken("test_a_partial_outcome", says="each by itself")
class AllOrNothing(MemoryProvider):
    """Takes a partial outcome for a good one."""

    def outcome(self, package: Package, answer: bytes) -> Outcome:
        """Do harm."""
        found = super().outcome(package, answer)
        return Conserved(report=found.report) if isinstance(found, Partial) else found


@broken("test_an_answer_cut_short", says="must be said by an error of archipec.errors|proves nothing")
class ReadsCarelessly(MemoryProvider):
    """Never thinks of half an answer."""

    def said(self, answer: bytes) -> dict[str, Any]:
        """Do harm."""
        import json

        found: dict[str, Any] = json.loads(answer)
        return found


@broken("test_a_web_page_for_an_answer", says="nothing may be decided by an answer that proves nothing")
class RefusedByAProxy(MemoryProvider):
    """Takes what it does not understand for a refusal."""

    def poll(self, package: Package, ticket: Ticket) -> Outcome:
        """Do harm."""
        try:
            return super().poll(package, ticket)
        except TransientError:
            return Rejected(reason="an odd answer")

    def deposit(self, package: Package) -> Ticket | Conserved | Rejected | Partial:
        """Do harm."""
        try:
            return super().deposit(package)
        except TransientError:
            return Rejected(reason="an odd answer")


@broken(
    "test_the_connection_breaks_after_everything_is_kept",
    "test_a_power_cut_after_the_deposit",
    says="kept twice by the service",
)
class NeverLooks(MemoryProvider):
    """Deposits again whatever happened, though its service keeps everything it gets."""

    def lookup(self, package: Package) -> Ticket | Outcome | None:
        """Do harm."""
        return None


@broken("test_the_connection_breaks_before_anything_is_kept", says="everything must be conserved")
class AlwaysFinds(MemoryProvider):
    """Believes that a deposit always arrives."""

    def lookup(self, package: Package) -> Ticket | Outcome | None:
        """Do harm."""
        return Ticket()


@broken("test_asking_again_changes_nothing", says="once|twice|asking must send nothing")
class DepositsWhenAsked(MemoryProvider):
    """Waits by sending once more."""

    def poll(self, package: Package, ticket: Ticket) -> Outcome:
        """Do harm."""
        super().deposit(package)
        return super().poll(package, ticket)


@broken("test_a_rehearsal_keeps_nothing", says="a rehearsal must keep nothing")
class RehearsesInEarnest(MemoryProvider):
    """Has no other way to find out."""

    def validate(self, package: Package) -> Rejected | None:
        """Do harm."""
        self.deposit(package)
        return None


@broken("test_trouble_shows_no_secret", says="a secret was shown")
class ComplainsLoudly(MemoryProvider):
    """Logs the login when something breaks."""

    def call(self, request: Mapping[str, Any]) -> bytes:
        """Do harm."""
        try:
            return super().call(request)
        except TransientError:
            logging.getLogger("memory").debug("login %s", self._config["password"].reveal())
            raise


@broken("test_where_tells_places_apart", says="where must tell two places apart")
class OneForAll(MemoryProvider):
    """Has one identity for every login."""

    @classmethod
    def where(cls, config: Any) -> str:
        """Do harm."""
        return f"conservation+memory://{config['host']}"


@broken("test_parse_reports_every_problem_at_once", says="every problem at once")
class OneProblemAtATime(MemoryProvider):
    """Stops at the first."""

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Any:
        """Do harm."""
        for name in ("host", "user"):
            if " " in values[name]:
                super().parse({**values, **{other: "x" for other in ("host", "user") if other != name}})
        return super().parse(values)


@broken("test_a_place_that_cannot_be_used", says="must be said by an error of archipec.errors")
class OpensCarelessly(MemoryProvider):
    """Lets what breaks break."""

    @classmethod
    @contextmanager
    def open(cls, config: Any, context: Context) -> Iterator[Self]:
        """Do harm."""
        if config["host"] == "nobody":
            raise OSError("no route")
        with super().open(config, context) as opened:
            yield opened


globals().update({each.cases.__name__: each.cases for each in WRONG.values()})
