"""Runs thunderbird-profile-tool as a person would: the installed command, in a process and a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .command import Result

__all__ = ["Tool"]


class Tool:
    """The command with a home folder, where it looks for profiles."""

    def __init__(self, home: Path, env: Mapping[str, str] | None = None) -> None:
        self.program = Path(sys.executable).with_name("thunderbird-profile-tool")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "XDG_"))}
        self.env = {**kept, "HOME": str(home), **(env or {})}

    def start(self, *arguments: object, **options: str) -> subprocess.Popen[str]:
        """Start it and return at once; ``options`` are further environment variables."""
        return subprocess.Popen(
            [str(self.program), *map(str, arguments)],
            env={**self.env, **options},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: object, stdin: str = "", expect: int = 0) -> Result:
        """Run it to its end.

        Args:
            expect: the exit code it must have.
        """
        process = self.start(*arguments)
        out, err = process.communicate(stdin, timeout=120)
        assert process.returncode == expect, f"exit code {process.returncode}, not {expect}:\n{out}\n{err}"
        return Result(process.returncode, out, err)
