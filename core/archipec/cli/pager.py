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
    command = _pager() if sys.stdout.isatty() and sys.stdin is not None and sys.stdin.isatty() else []
    if not command:
        for text in texts:
            click.echo(text)
        return
    with subprocess.Popen(  # noqa: S603 - the user's own
        command,
        stdin=subprocess.PIPE,
        stdout=sys.stdout.fileno(),
        env={"LESS": _LESS, **os.environ},
        encoding="utf-8",
        errors="backslashreplace",
    ) as pager:
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


def _pager() -> list[str]:
    """Return the command of the pager; nothing where there is none, or the user wants none."""
    words = shlex.split(os.environ.get("PAGER", "less"), posix=os.name != "nt")
    if not words or words[0] == "cat":
        return []
    program = shutil.which(words[0])
    return [program, *words[1:]] if program else []
