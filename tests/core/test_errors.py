"""`archipec.errors`: kinds, scopes, exit codes."""

from __future__ import annotations

import errno
import inspect
import math
import os
import re
from pathlib import Path

import pytest

from archipec import errors
from archipec.errors import (
    AlreadyGone,
    ArchipecError,
    AuthError,
    ConfigError,
    Incomplete,
    IntegrityError,
    Interrupted,
    MissingCopy,
    NoRoom,
    PermanentError,
    PluginBug,
    Refused,
    Scope,
    TransientError,
    UnfitRecord,
    Unsupported,
    counted,
    exit_code,
    from_os_error,
)

CODES = {
    ArchipecError: 4, ConfigError: 4, AuthError: 6, TransientError: 5, PermanentError: 4, Unsupported: 4,
    IntegrityError: 7, MissingCopy: 7, Refused: 8, Interrupted: 130, PluginBug: 1,
    NoRoom: 5, UnfitRecord: 7, Incomplete: 3, AlreadyGone: 3,
}  # fmt: skip


def test_every_error_has_the_exit_code_of_the_design() -> None:
    classes = {
        one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, ArchipecError)
    }
    assert {one: one.exit_code for one in classes} == CODES
    assert {one.__name__ for one in classes} <= set(errors.__all__)


@pytest.mark.parametrize(
    ("made", "scope"),
    [
        (ConfigError("x"), Scope.RUN),
        (Interrupted("x"), Scope.RUN),
        (AuthError("x"), Scope.ENDPOINT),
        (TransientError("x"), Scope.ENDPOINT),
        (IntegrityError("x"), Scope.MESSAGE),
        (MissingCopy("x"), Scope.MESSAGE),
        (PermanentError("x", scope=Scope.FOLDER), Scope.FOLDER),
        (TransientError("x", scope=Scope.MESSAGE), Scope.MESSAGE),
    ],
)
def test_scopes(made: ArchipecError, scope: Scope) -> None:
    assert made.scope is scope


def test_scopes_widen() -> None:
    assert Scope.MESSAGE < Scope.FOLDER < Scope.ENDPOINT < Scope.RUN


def test_texts() -> None:
    made = TransientError("the server is away", hint="wait", retry_after=3)
    assert (str(made), made.message, made.hint, made.retry_after) == ("the server is away",) * 2 + ("wait", 3)


def test_a_configuration_error_keeps_every_problem() -> None:
    assert ConfigError("one").problems == ("one",)
    made = ConfigError(["one", "two"], hint="way out")
    assert (made.problems, str(made), made.hint) == (("one", "two"), "one; two", "way out")


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], 0),
        ([0], 0),
        ([0, 3], 3),
        ([3, 5], 5),
        ([5, 4, 3], 4),
        ([4, 8], 8),
        ([8, 6], 6),
        ([6, 7, 4], 7),
        ([7, 1], 1),
    ],
)
def test_several_outcomes(codes: list[int], expected: int) -> None:
    assert exit_code(codes) == exit_code(reversed(codes)) == expected


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ENODEV])
def test_a_disk_that_is_full_or_away_is_for_later(number: int) -> None:
    made = from_os_error(OSError(number, os.strerror(number)), "/archive")
    assert isinstance(made, TransientError)
    assert made.retry_after == math.inf
    assert "/archive" in made.message


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG])
def test_other_obstacles_need_a_change(number: int) -> None:
    made = from_os_error(OSError(number, os.strerror(number)), "/archive")
    assert isinstance(made, PermanentError)
    assert made.message == f"/archive: {os.strerror(number).lower()}"


def test_an_os_error_without_a_number() -> None:
    assert from_os_error(OSError("Odd Thing"), "x").message == "x: odd thing"


@pytest.mark.parametrize(
    ("number", "thing", "text"),
    [
        (0, "message", "0 messages"),
        (1, "message", "1 message"),
        (2500, "copy", "2,500 copies"),
        (1, "copy", "1 copy"),
        (2, "day", "2 days"),
    ],
)
def test_one_thing_is_no_plural(number: int, thing: str, text: str) -> None:
    assert counted(number, thing) == text


def test_no_message_speaks_of_1_messages() -> None:
    """A number that isn't a constant goes through `counted` or `ngettext`, where its noun follows at once."""
    written = re.compile(
        r"(?<!of )(?:\{(?!_?[A-Z_]+\})[^{}]*\}|%d) (?:messages|copies|files|folders|packages|others|days)\b"
    )
    constant = re.compile(r"\b\w+=_?[A-Z][A-Z_]+\b")
    plural = '"{number} '  # the second sentence of ngettext
    root = Path(__file__).parents[2]
    found = [
        f"{path.name}: {line.strip()}"
        for folder in ("core", "plugins")
        for path in (root / folder).rglob("*.py")
        if "testing" not in path.parts
        for line in path.read_text("utf-8").splitlines()
        if written.search(line) and not constant.search(line) and not line.strip().startswith(("#", plural))
    ]
    assert not found, "\n".join(found)
