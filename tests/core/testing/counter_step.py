"""A correct post-step: remembers which messages it saw, as a notification would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from archipec.contract import ContentKey, Context, Option, PostStep, PostStepType, RunView
from archipec.errors import ConfigError, TransientError
from archipec.hookspecs import hookimpl

SEEN: dict[str, dict[ContentKey, int]] = {}
"""What was counted, by name of the counter: the bytes of each message."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the step."""

    counter: str


OPTIONS = (Option(name="counter", help="name of the counter", required=True),)


def parse(values: Mapping[str, Any]) -> Config:
    """Make the configuration, naming every problem."""
    problems = [f'"counter" must have no {sign!r}' for sign in "/:" if sign in values["counter"]]
    if problems:
        raise ConfigError(problems)
    return Config(counter=values["counter"])


def where(config: Config) -> str:
    """Return the identity."""
    return f"count:{config.counter}"


class CounterStep:
    """Counts the messages of each run."""

    def __init__(self, seen: dict[ContentKey, int]) -> None:
        self.seen = seen

    def run(self, run: RunView) -> None:
        """Count each message once."""
        for key in run.stored():
            with run.read(key) as copy:
                self.seen[key] = len(copy.read())


@contextmanager
def open_step(config: Config, _context: Context) -> Iterator[PostStep]:
    """Take the counter."""
    if config.counter not in SEEN:
        raise TransientError(f"no counter {config.counter}")
    yield CounterStep(SEEN[config.counter])


COUNTER_STEP = PostStepType(
    api=1,
    name="count",
    summary="counts messages",
    schemes=("count",),
    options=OPTIONS,
    parse=parse,
    where=where,
    open=open_step,
)


@hookimpl
def archipec_poststeps() -> Iterator[PostStepType[Config]]:
    """Yield the record."""
    yield COUNTER_STEP
