"""What the author of a conservation provider writes, and what it is given.

A provider says how a package is deposited and how its outcome is asked for. Everything else is shared: which
messages belong together, the durable outbox, the package and its index, the proof. ``conservation_sink(MyProvider)``
(`archipec.conservation.sink`) makes a sink of it, which ``archipec_sinks()`` yields. Where packages are files put
into a folder (a disk, SFTP, FTPS, WebDAV), `archipec.conservation.dropfolder` is the whole provider but for the file operations.

The host decides what is proven, never the provider: a message counts as conserved only when a positive report is kept
byte for byte, names what was deposited, and states the SHA-256 that the outbox has. A provider therefore passes
on what a report *says*, and must not fill in what it does not say.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

from archipec.contract import Context, Option

if TYPE_CHECKING:
    from archipec.conservation.exchange import (
        Conserved,
        Document,
        Facts,
        Limits,
        Outcome,
        Package,
        PackageFile,
        Partial,
        Pending,
        Rejected,
        Report,
        Ticket,
        Unit,
    )
    from archipec.conservation.terms import Terms

__all__ = [
    "ConservationProvider",
    "Conserved",
    "Document",
    "Facts",
    "Limits",
    "Outcome",
    "Package",
    "PackageFile",
    "Partial",
    "Pending",
    "Rejected",
    "Report",
    "SupportsValidation",
    "Terms",
    "Ticket",
    "Unit",
]


def __getattr__(name: str) -> object:
    # Every start imports the providers' modules, and hardly any needs what travels: it costs some milliseconds.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = "terms" if name == "Terms" else "exchange"
    return getattr(import_module(f"archipec.conservation.{home}"), name)


class ConservationProvider(Protocol):
    """A provider at work. Subclass it: what is not abstract has a sensible default.

    It lives in one thread, from ``open`` to the end of its context, and is opened only when there is something to
    deposit or to ask: messages get into the outbox while the provider is down. As everywhere in archipec it neither
    sleeps, retries, prints, nor logs a secret; it raises errors of `archipec.errors`, whose scope says how far they
    reach: MESSAGE leaves this package for the next run, wider ones end the provider's work for this run.

    What an answer says is hostile input: bounded in size, XML without entities, and an answer that can't be
    understood (cut short, an HTML page of some proxy) is a TransientError, never an outcome.

    Attributes:
        name: in configuration ``type = "conservation-<name>"``, in URLs ``conservation+<name>:``.
        summary: one line for ``archipec plugins list``.
        evidence: on what the claim stands that this works: "run against the service on 2026-11-20", or
            "not run against the real service: made from its published schemas". Shown to the user.
        options: its settings. Those of every conservation sink (`archipec.conservation.sink`) are added.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    evidence: ClassVar[str]
    options: ClassVar[tuple[Option, ...]] = ()

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Any:
        """Make the configuration from the values of ``options``, converted, every one present. No I/O.

        Raises:
            ConfigError: with all problems.
        """
        return dict(values)

    @classmethod
    @abstractmethod
    def where(cls, config: Any) -> str:
        """Return the canonical URL, without secrets: the identity of this archive."""

    @classmethod
    def limits(cls, config: Any) -> Limits:  # noqa: ARG003
        """Return what one package may hold."""
        from archipec.conservation.exchange import Limits

        return Limits()

    @classmethod
    def terms(cls, config: Any) -> Terms:  # noqa: ARG003
        """Return the fixed words that this provider wants in AgID metadata."""
        from archipec.conservation.terms import Terms

        return Terms()

    @classmethod
    @abstractmethod
    def open(cls, config: Any, context: Context) -> AbstractContextManager[Self]:
        """Connect; I/O starts here. Raises AuthError when the login is refused."""

    @abstractmethod
    def deposit(self, package: Package) -> Ticket | Conserved | Rejected | Partial:
        """Deposit a package: a ticket when the outcome comes later, else the outcome.

        Called once for a package unless ``lookup`` said that it is safe to call it again.

        Raises:
            TransientError: it did not arrive, or it is not known whether it did; ``lookup`` is asked next time.
        """

    @abstractmethod
    def poll(self, package: Package, ticket: Ticket) -> Outcome:
        """Ask what became of a deposited package. Idempotent; called once a run until all is decided and proven.

        Args:
            ticket: an empty one when ``deposit`` gave an outcome at once, of which something is not proven.
        """

    @abstractmethod
    def lookup(self, package: Package) -> Ticket | Outcome | None:
        """Find out about a deposit whose answer was lost: the connection or this machine broke down meanwhile.

        Returns:
            what ``deposit`` would have returned, when the package is there; None when ``deposit`` may be
            called: it surely is not there, or depositing it again does no harm because the provider recognises the
            package and answers as it did the first time. ``Pending`` when the user has to find out.

        Raises:
            TransientError: it can't be found out now.
        """


@runtime_checkable
class SupportsValidation(Protocol):
    """A provider that can check a package without keeping it (option ``dry_run`` of its sink)."""

    def validate(self, package: Package) -> Rejected | None:
        """Have a package checked; None means that it would be accepted. Nothing is kept."""
        ...


@runtime_checkable
class SupportsRehearsal(Protocol):
    """`SupportsValidation` by its former name, understood until version 0.2."""

    def rehearse(self, package: Package) -> Rejected | None:
        """As `SupportsValidation.validate`."""
        ...
