"""Runs archipec as a person would: the installed command, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from testbed.forked import run_forked
from testbed.mailboxes import Mailboxes

__all__ = ["Archipec", "Result", "imap_url"]


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects printed, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def object(self) -> dict[str, Any]:
        """The only JSON object printed."""
        (one,) = self.objects
        return one


class Archipec:
    """The command with a state folder and an environment of its own."""

    _path: tuple[Path, ...] = ()
    """Folders with packages that are found before all others."""

    def __init__(self, state: Path, env: Mapping[str, str] | None = None) -> None:
        self.state = state
        self.env = {
            key: value for key, value in os.environ.items() if not key.startswith(("ARCHIPEC_", "PYTHON"))
        }
        self.env |= {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring", **(env or {})}

    def argv(self, *arguments: object) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-Im", "archipec", *self._words(arguments)]

    def _words(self, arguments: tuple[object, ...]) -> list[str]:
        return ["--state", str(self.state), *map(str, arguments)]

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start it and return at once."""
        return subprocess.Popen(
            self.argv(*arguments),
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: object, expect: int | None = 0, timeout: float = 120) -> Result:
        """Run it to its end.

        Args:
            expect: the exit code it must have; None takes any.
        """
        result = self._run(arguments, timeout)
        assert expect is None or result.code == expect, (
            f"exit code {result.code}, not {expect}:\n{result.out}\n{result.err}"
        )
        return result

    def _run(self, arguments: tuple[object, ...], timeout: float) -> Result:
        done = run_forked(self._words(arguments), self.env, path=self._path, timeout=timeout)
        if done is not None:
            return Result(*done)
        process = self.start(*arguments)
        out, err = process.communicate(timeout=timeout)
        return Result(process.returncode, out, err)


def imap_url(server: Mailboxes, *, port: int, ca_file: Path, path: str = "", **options: object) -> str:
    """Return the URL of a mailbox on a test server; its password comes from PEC_PASSWORD."""
    parameters = {"password": "env:PEC_PASSWORD", "ca_file": str(ca_file), **options}
    query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in parameters.items())
    return f"imaps://{quote(server.user, safe='@')}@127.0.0.1:{port}/{quote(path)}?{query}"
