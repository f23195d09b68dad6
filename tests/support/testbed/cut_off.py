"""Kills a program at a chosen change of a file: a random moment that can be named, and met again."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from .requirements import find


class CutOff:
    """Compiled into a folder; see cut_off.c."""

    def __init__(self, folder: Path) -> None:
        compiler = find("cc") or find("gcc")
        assert compiler is not None
        self._library = folder / "cut_off.so"
        self._count = folder / "count"
        source = Path(__file__).with_suffix(".c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", self._library, source, "-ldl"], check=True)

    def counting(self) -> Mapping[str, str]:
        """Environment of a program whose changes `count` tells afterwards."""
        return {**self._loaded(), "CUT_OFF_COUNT": str(self._count)}

    @property
    def count(self) -> int:
        """How many changes the program made."""
        return int(self._count.read_text())

    def at(self, change: int) -> Mapping[str, str]:
        """Environment of a program that is killed right before its N-th change, from 1."""
        return {**self._loaded(), "CUT_OFF_AT": str(change)}

    def _loaded(self) -> Mapping[str, str]:
        return {"LD_PRELOAD": str(self._library), "PYTHONDONTWRITEBYTECODE": "1"}
