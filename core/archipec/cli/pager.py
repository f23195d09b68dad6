"""Long output on a terminal: shown by the user's pager, a screen at a time, while more of it is still being found."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress

import click

from archipec.masking import mask

__all__ = ["show"]

# Leave at once what fits on a screen, keep what was shown, pass on colours.
_LESS = "FRX"


def show(texts: Iterable[str]) -> None:
    """Print texts, a line or more each. On a terminal the pager shows them (PAGER, else less); texts are taken as it asks.

    What a user does not want to see is not taken.
    """
    started = _start() if sys.stdout.isatty() and sys.stdin is not None and sys.stdin.isatty() else None
    if started is None:
        for text in texts:
            click.echo(text)
        return
    with started as pager:
        assert pager.stdin is not None
        # It ended: the user has seen enough.
        with suppress(BrokenPipeError):
            for text in texts:
                pager.stdin.write(mask(text) + "\n")
                pager.stdin.flush()
        with suppress(BrokenPipeError):
            pager.stdin.close()
        while True:
            # Ctrl-C is for the pager, which is still on the screen.
            with suppress(KeyboardInterrupt):
                pager.wait()
                return


def _start() -> subprocess.Popen[str] | None:
    """Start the pager; None where there is none that can be started, or the user wants none."""
    try:
        words = shlex.split(os.environ.get("PAGER", "less"), posix=os.name != "nt")
    except ValueError:  # a quotation mark that is not closed
        return None
    program = shutil.which(words[0]) if words and words[0] != "cat" else None
    if program is None:
        return None
    try:
        return subprocess.Popen(  # noqa: S603 - the user's own
            [program, *words[1:]],
            stdin=subprocess.PIPE,
            stdout=sys.stdout.fileno(),
            env={"LESS": _LESS, **os.environ},
            encoding="utf-8",
            errors="backslashreplace",
        )
    except OSError:  # no program of this system
        return None
