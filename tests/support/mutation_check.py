"""Breaks archipec on purpose, one guard at a time, and sees that a test notices.

    .venv/bin/python tests/support/mutation_check.py [WORD...]

``tests/mutants.toml`` lists the guards: the comparison of a hash, a flush, a lock, the check of a certificate. Each is
taken out of a copy of the checkout, and the tests named with it are run there: they pass with the guard and must fail
without it. A mutant that none of them notices has survived: exit code 1. With words, only the mutants that have all of
them in their description or file are tried.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

__all__ = ["Mutant", "main", "misfits", "mutants"]

_ROOT = Path(__file__).parents[2]
_CODE = ("core", "plugins", "thunderbird_profile_tool")
_COPIED = (*_CODE, "tests", "docs", "pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")
_COPIES = 2
_SECONDS = 300
_PASSED, _FAILED = 0, 1
"""pytest's exit codes that tell something: all tests passed, and some failed. Any other shows nothing."""
_FIRST_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class Mutant(NamedTuple):
    """A guard to take out.

    Attributes:
        what: the description.
        file: where it stands, from the root.
        old: its text, which occurs once in the file.
        new: what stands there instead.
        tests: arguments for pytest.
    """

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


class _Run(NamedTuple):
    """How pytest ended: its exit code, None when it ran out of time, and what it said."""

    code: int | None
    said: str


def mutants() -> list[Mutant]:
    """Return the list."""
    told = tomllib.loads((_ROOT / "tests" / "mutants.toml").read_text("utf-8"))
    return [
        Mutant(one["what"], one["file"], one["old"], one["new"], tuple(one["tests"]))
        for one in told["mutant"]
    ]


def misfits() -> list[str]:
    """Say which mutants no longer fit the code or name a test file that is not there."""
    found = []
    for one in mutants():
        file = _ROOT / one.file
        count = file.read_text("utf-8").count(one.old) if file.exists() else 0
        if count != 1 or one.old == one.new:
            found.append(f"{one.what}: its text occurs {count} times in {one.file}")
        paths = [test.partition("::")[0] for test in one.tests if test.startswith("tests/")]
        missing = [path for path in paths if not (_ROOT / path).exists()]
        if missing or not paths:
            found.append(f"{one.what}: there is no {', '.join(missing) or 'test named with it'}")
    return found


class _Copy:
    """A copy of the checkout with an environment that imports it and not the original."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in _COPIED:
            origin = _ROOT / name
            if origin.is_dir():
                shutil.copytree(origin, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(origin, folder / name)
        environment = folder / ".venv"
        venv.EnvBuilder(symlinks=os.name != "nt").create(environment)
        base = {"base": str(environment), "platbase": str(environment)}
        paths = [*(str(folder / name) for name in _CODE), sysconfig.get_path("purelib")]
        packages = Path(sysconfig.get_path("purelib", "venv", vars=base))
        (packages / "copy.pth").write_text("\n".join(paths) + "\n", "utf-8")
        self._python = Path(sysconfig.get_path("scripts", "venv", vars=base)) / Path(sys.executable).name

    def run(self, tests: Sequence[str]) -> _Run:
        """Run tests until one fails."""
        python = str(self._python)
        command = [python, "-Im", "pytest", "-qx", "-p", "no:cacheprovider", "-p", "no:randomly", *tests]
        try:
            run = subprocess.run(
                command, cwd=self._folder, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return _Run(None, f"not done after {_SECONDS} seconds")
        return _Run(run.returncode, run.stdout + run.stderr)

    def run_without(self, mutant: Mutant) -> _Run:
        """Take a guard out, run the tests named with it, and put it back."""
        file = self._folder / mutant.file
        original = file.read_bytes()
        # Not by write_text: it would change line ends. Python trusts a cache whose source has the same size and second.
        file.write_bytes(original.replace(mutant.old.encode(), mutant.new.encode()))
        shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)
        try:
            return self.run(mutant.tests)
        finally:
            file.write_bytes(original)
            shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)


class _Check:
    """Tries mutants on several copies side by side."""

    def __init__(self, folder: Path) -> None:
        self._copies: SimpleQueue[_Copy] = SimpleQueue()
        for number in range(_COPIES):
            self._copies.put(_Copy(folder / str(number)))

    def passes(self, tests: Sequence[str]) -> str:
        """Return why tests don't pass with all guards in place, empty when they do."""
        copy = self._copies.get()
        try:
            run = copy.run(tests)
        finally:
            self._copies.put(copy)
        return "" if run.code == _PASSED else f"{' '.join(tests)} don't pass as it is:\n{run.said[-3000:]}"

    def outcome(self, mutant: Mutant) -> tuple[bool, str]:
        """Tell whether a mutant is killed, and a line about it."""
        copy = self._copies.get()
        try:
            run = copy.run_without(mutant)
        finally:
            self._copies.put(copy)
        if run.code == _FAILED:
            first = _FIRST_FAILED.search(run.said)
            return True, f"killed    {mutant.what}  ({first[1] if first else 'unknown test'})"
        what = "no test failed" if run.code == _PASSED else run.said[-3000:]
        return False, f"SURVIVED  {mutant.what}: {what}"


def main() -> None:
    """Try every mutant that was asked for."""
    words = sys.argv[1:]
    chosen = [one for one in mutants() if all(word in f"{one.what} {one.file}" for word in words)]
    if not chosen or (stale := misfits()):
        raise SystemExit("\n".join(stale) if chosen else "there is no such mutant")
    alive = 0
    with tempfile.TemporaryDirectory(prefix="archipec-mutants-") as name, ThreadPoolExecutor(_COPIES) as pool:
        check = _Check(Path(name))
        for problem in pool.map(check.passes, dict.fromkeys(one.tests for one in chosen)):
            if problem:
                raise SystemExit(problem)
        for killed, line in pool.map(check.outcome, chosen):
            alive += not killed
            print(line, flush=True)
    print(f"{len(chosen) - alive} of {len(chosen)} mutants killed")
    raise SystemExit(bool(alive))


if __name__ == "__main__":
    main()
