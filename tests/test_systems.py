"""The tests on systems other than this one: what Windows lacks keeps none of them from being collected."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import archipec
from testbed.requirements import lacking

ROOT = Path(__file__).parents[1]


def run_without_posix(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Without the plugin's signals, and without what this run leaves behind.
    command = [sys.executable, "-m", "pytest", "-p", "testbed.posixless", "-p", "no:cacheprovider"]
    command += ["--timeout-method=thread", *arguments]
    env = os.environ | {"PYTHONPATH": str(ROOT / "tests" / "support")}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_the_tests_can_be_collected_without_posix() -> None:
    done = run_without_posix("--collect-only", "-q")
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_pipe_can_be_made(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()


def test_a_test_that_needs_posix_is_skipped_without_it(tmp_path: Path) -> None:
    needs = f"{Path(__file__).relative_to(ROOT)}::{test_a_pipe_can_be_made.__name__}"
    done = run_without_posix("-rs", needs, f"--basetemp={tmp_path / 'base'}")
    assert done.returncode == 0, done.stdout
    assert "this system has no os.mkfifo" in done.stdout and "1 skipped" in done.stdout


def test_what_the_program_lacks_is_no_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork", raising=False)
    with pytest.raises(AttributeError) as by_the_test:
        os.fork()
    assert lacking(by_the_test.value) == "this system has no os.fork"
    code = compile("os.fork()", archipec.__file__, "exec")
    with pytest.raises(AttributeError) as by_the_program:
        exec(code, {"os": os})
    assert not lacking(by_the_program.value)
