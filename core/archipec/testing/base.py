"""What all conformance classes share: the plugin under test, the rules for errors, cases that don't apply."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, NoReturn, TypeVar, cast

import pytest

from archipec.contract import Context
from archipec.errors import ArchipecError
from archipec.testing.factories import PluginRecord, make_root

T = TypeVar("T")


class NotApplicable(Exception):
    """A case found nothing to test."""


class Conformance:
    """Base of the conformance classes.

    Attributes:
        expected_skips: cases that have nothing to test in this plugin, each with the reason.
    """

    expected_skips: ClassVar[Mapping[str, str]] = {}

    _case: str
    _declared: str | None

    @pytest.fixture(autouse=True)
    def _expect_skip(self, request: pytest.FixtureRequest) -> None:
        self._case = getattr(request.node, "originalname", request.node.name)
        self._declared = self.expected_skips.get(request.node.name) or self.expected_skips.get(self._case)
        if self._declared:
            reason = (
                f"expected_skips names this case ({self._declared}), yet it applies and passes: take it out"
            )
            request.applymarker(pytest.mark.xfail(raises=NotApplicable, strict=True, reason=reason))

    def not_applicable(self, why: str) -> NoReturn:
        """End a case that has nothing to test: a skip when it is declared, else a failure."""
        if self._declared:
            pytest.skip(self._declared)
        raise NotApplicable(
            f'nothing to test here: {why}; if it is meant, expected_skips["{self._case}"] says why'
        )

    def test_expected_skips_name_cases_and_reasons(self) -> None:
        """Rule: every expected skip names a case of this class and says why."""
        for name, reason in self.expected_skips.items():
            assert hasattr(self, name.partition("[")[0]), (
                f"expected_skips names no case of this class: {name}"
            )
            assert reason.strip(), f"expected_skips gives no reason for {name}"


@contextmanager
def only_archipec_errors() -> Iterator[None]:
    """Fail when anything but an error of `archipec.errors` comes out of a plugin."""
    try:
        yield
    except (ArchipecError, AssertionError, NotApplicable):
        raise
    except (Exception, SystemExit) as error:
        raise AssertionError(
            "what goes wrong must be said by an error of archipec.errors,"
            f" not by {type(error).__name__}: {error}"
        ) from error


@contextmanager
def must_raise(error: type[Exception] | tuple[type[Exception], ...], rule: str) -> Iterator[None]:
    """Fail with ``rule`` unless the block raises this error."""
    try:
        yield
    except error:
        return
    raise AssertionError(rule)


@contextmanager
def must_not_raise(rule: str) -> Iterator[None]:
    """Fail with ``rule`` when the block raises an error of `archipec.errors`, which isn't always wrong."""
    try:
        yield
    except ArchipecError as error:
        raise AssertionError(f"{rule}: it raised {type(error).__name__}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class UnderTest(Generic[T]):
    """A source, sink or post-step under test: its record, a configuration and a context."""

    record: PluginRecord
    config: Any
    context: Context

    @property
    def root(self) -> Path | None:
        """The directory of a sink, made as the host makes it."""
        return make_root(self.record, self.config)

    @contextmanager
    def open(self, *, cancelled: Callable[[], bool] | None = None) -> Iterator[T]:
        """Open it; whatever leaves the block that isn't an error of the tree fails the case."""
        context = self.context if cancelled is None else replace(self.context, cancelled=cancelled)
        make_root(self.record, self.config)
        with only_archipec_errors(), self.record.open(self.config, context) as opened:
            yield cast("T", opened)


def tree_of(directory: Path, *, but: Path | None = None) -> dict[str, bytes | None]:
    """Return every path below a directory with its content, None for what is no file; ``but`` is left out."""
    found: dict[str, bytes | None] = {}
    for path in sorted(directory.rglob("*")):
        if but is not None and (path == but or but in path.parents):
            continue
        name = path.relative_to(directory).as_posix()
        found[name] = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    return found


def difference(found: bytes, expected: bytes) -> str:
    """Say where two messages begin to differ; an empty string when they are equal.

    Assert ``not difference(...)`` rather than equality: pytest would compare megabytes line by line to explain it.
    """
    if found == expected:
        return ""
    shorter = min(len(found), len(expected))
    at = next((n for n in range(shorter) if found[n] != expected[n]), shorter)
    around = slice(max(0, at - 10), at + 20)
    sizes = "" if len(found) == len(expected) else f", {len(found)} bytes instead of {len(expected)}"
    return f"from byte {at} on it is …{found[around]!r}… instead of …{expected[around]!r}…{sizes}"
