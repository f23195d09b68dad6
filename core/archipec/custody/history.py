"""What was run when, for how long, and with what outcome: the attempts that the ledger has, the latest first."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from archipec.custody.attempts import is_running
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.runs import Attempt
from archipec.custody.outcomes import outcome_words
from archipec.errors import ATTENTION, DONE
from archipec.message import Json

__all__ = ["PastRun", "history"]


class PastRun(NamedTuple):
    """A try of a pipeline by a command.

    Attributes:
        source: its ``where``, empty when the configuration did not tell.
        started, ended: in Unix seconds; ``ended`` is None while it runs, and of one that was killed.
        running: whether it runs now.
        exit_code: None while it runs, and of one that was killed.
        counts: what it did, in numbers: ``stored``, ``failed``, ``left`` and ``bytes`` of an ``archive``, ``checked``,
            ``missing`` and ``altered`` of a ``verify``, ...
        errors: ``{"error": [LINE...], "hint", "exit_code"}`` each.
    """

    pipeline: str
    source: str
    command: str
    started: int
    ended: int | None
    running: bool
    exit_code: int | None
    counts: dict[str, int]
    errors: list[dict[str, Any]]

    @property
    def seconds(self) -> int | None:
        """How long it took, None when it has no end."""
        return None if self.ended is None else max(0, self.ended - self.started)

    @property
    def lines(self) -> list[str]:
        """What went wrong, a line each."""
        return [line for error in self.errors for line in error["error"]]

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than well: what then needs a person is no failure of the run."""
        return not self.running and self.exit_code not in {DONE, ATTENTION}

    @property
    def counts_in_words(self) -> str:
        """What it did, as far as it did something; else empty."""
        found = (outcome_words(what, number) for what, number in self.counts.items() if number)
        return ", ".join(filter(None, found))

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of ``runs --json``."""
        return {
            "pipeline": self.pipeline,
            "source": self.source,
            "command": self.command,
            "started": _iso(self.started),
            "ended": None if self.ended is None else _iso(self.ended),
            "seconds": self.seconds,
            "running": self.running,
            "exit_code": self.exit_code,
            "counts": {**self.counts},
            "error": list(self.lines),
            "hint": next((error["hint"] for error in self.errors if error["hint"]), ""),
        }


def history(
    ledger: Ledger, state: Path, pipelines: Collection[str] = (), since: int = 0, limit: int = -1
) -> list[PastRun]:
    """Return what was run, the latest first.

    Args:
        state: the folder of the ledger.
        pipelines: their names; none for all.
        since: Unix seconds; what began before is left out.
        limit: how many at most; negative for all.
    """
    return [_past(one, state) for one in ledger.runs.attempts(pipelines, since, limit)]


def _past(one: Attempt, state: Path) -> PastRun:
    running = is_running(one, state)
    return PastRun(
        one.pipeline,
        one.source,
        one.command,
        one.started,
        one.ended,
        running,
        one.exit_code,
        one.counts,
        one.errors,
    )


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
