"""Makes a conformance class for a wrong plugin and remembers which of its cases must fail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A wrong plugin.

    Attributes:
        cases: the conformance class that tests it.
        fails: the cases that must fail, and no others.
        says: words of the rule that is broken, in the message of each of these.
    """

    cases: type[Any]
    fails: frozenset[str]
    says: str


def wrong(
    name: str,
    base: type[Any],
    fixtures: dict[str, Any],
    *,
    fails: str | Sequence[str],
    says: str,
    **attributes: Any,
) -> Wrong:
    """Return a wrong plugin.

    Args:
        name: of the conformance class.
        base: the conformance class of the correct plugin.
        fixtures: the values of fixtures that differ from those of ``base``.
        fails: the case or cases that must fail.
        attributes: class attributes that differ.
    """
    body: dict[str, Any] = {"many": 20, "big": 200_000, "test_import_is_cheap_and_silent": None}
    body |= {fixture: _fixture(fixture, value) for fixture, value in fixtures.items()} | attributes
    cases = type(f"Test{name}", (base,), body)
    return Wrong(cases=cases, fails=frozenset([fails] if isinstance(fails, str) else fails), says=says)


def _fixture(name: str, value: Any) -> Any:
    def give(self: object) -> Any:
        return value

    return pytest.fixture(name=name)(give)
