"""What whoever wants something found out of every stored message writes: see `archipec.custody.analysis`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from archipec.message import Json
from archipec.pec.buffer import Octets

if TYPE_CHECKING:  # a worker needs nothing of the ledger
    from archipec.custody.ledger import Copy

__all__ = ["Analysis", "Analyze", "Analyzer", "Answer"]

Analyze: TypeAlias = Callable[[Octets], Json]
"""What a factory makes. It may raise what it likes, take for ever or end the process: that is the message's fault."""
Answer: TypeAlias = tuple[int, Any]
"""(content number, what the analyzer answered; None for a message that it failed at)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyzer:
    """What runs in the workers; picklable.

    Attributes:
        factory: ``module:function``, called once in each worker with the settings; it returns an `Analyze`. All that the
            analyzer needs is imported by then, so that no message is blamed for what is missing.
        settings: picklable.
        seconds: for one message.
        memory: bytes of address space for it in a worker, beside what other analyzers have. (Where the system has
            such a limit: Windows has none.)
        largest: bytes of an answer as JSON; a larger one counts as a failure.
        careful: settings with which a message that it failed at is tried once more; None where that is of no use.
    """

    factory: str
    settings: object = None
    seconds: int = 30
    memory: int = 1 << 30
    largest: int = 4 << 20
    careful: object = None


class Analysis(ABC):
    """Something that is found out of every message, and kept.

    Attributes:
        undone: how an error begins when there is no worker: "the seals can't be judged".
    """

    undone: str

    @abstractmethod
    def prepare(self) -> Analyzer:
        """Return what is to run. Called before the first message is sent to a worker, by any thread, maybe twice.

        Raises:
            ArchipecError: it can't be done in this run; it is then asked nothing more.
        """

    @abstractmethod
    def record(self, answers: Sequence[Answer]) -> None:
        """Keep answers, some hundreds at a time. Called by threads of the pool, one at a time.

        Raises:
            ArchipecError: it can't; the analysis gets no more answers in this run.
        """

    def lacking(self, sink: int, after: int, limit: int) -> list[Copy]:  # noqa: ARG002 - of who has some
        """Return copies that a sink holds of contents without an answer, by content number, those after ``after``.

        Called before each pass over the archives, also in a run that finds nothing new: so it is quick to say "none".
        """
        return []
