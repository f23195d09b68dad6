"""The primary password: asked for on the terminal, or read from a file descriptor; never an argument."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import click

from archipec.errors import AuthError, ConfigError
from archipec.language import _

__all__ = ["asking", "password_option"]

_MOST = 4096  # bytes
F = TypeVar("F", bound=Callable[..., Any])


def password_option(function: F) -> F:
    """Add ``--password-fd``, as `password_fd`."""
    return click.option(
        "--password-fd",
        type=click.IntRange(min=0),
        metavar="N",
        help="Read the primary password, one line, from this file descriptor (0 is stdin).",
    )(function)


def asking(profile: Path, descriptor: int | None) -> Callable[[], str]:
    """Return what asks for the primary password of a profile when it turns out to be needed.

    What is returned raises AuthError without a terminal to ask on, and ConfigError when the descriptor can't be read.
    """

    def ask() -> str:
        if descriptor is not None:
            return _read_line(descriptor)
        if not sys.stdin.isatty():
            raise AuthError(
                _("{profile} has a primary password").format(profile=profile),
                hint=_("run it on a terminal, or give it with --password-fd"),
            )
        return str(
            click.prompt(
                _("Primary password of {profile}").format(profile=profile), hide_input=True, err=True
            )
        )

    return ask


@cache
def _read_line(descriptor: int) -> str:
    """Read a line, once for all profiles."""
    data = b""
    try:
        while len(data) < _MOST and b"\n" not in data and (more := os.read(descriptor, _MOST)):
            data += more
        return data.partition(b"\n")[0].removesuffix(b"\r").decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            _("no password can be read from file descriptor {descriptor}").format(descriptor=descriptor),
            hint=_("for instance: --password-fd 3 3< FILE"),
        ) from error
