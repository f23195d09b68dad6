"""What ``make test`` installs is said beforehand, and only where nobody is at a terminal, or root is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "support" / "install-servers.sh"
BY_HAND = "sudo apt-get install --no-install-recommends"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a shell script")


class Machine:
    """A machine that lacks one package, whose commands only note that they were called."""

    def __init__(self, folder: Path, *, user: int) -> None:
        self._programs, self._calls, self._folder = folder / "bin", folder / "calls", folder
        self._programs.mkdir()
        self._program("id", f"echo {user}")
        for name in ("apt-get", "tee", "rm", "chmod"):
            self._program(name, f'echo "{name} $*" >>"{self._calls}"')
        self._program("sudo", f'echo "sudo $*" >>"{self._calls}"; shift; [ "$1" = true ] || "$@"')

    def _program(self, name: str, line: str) -> None:
        path = self._programs / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o700)

    @property
    def installed(self) -> list[str]:
        """The calls of apt-get that install something."""
        calls = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [call for call in calls if call.startswith("apt-get") and " install " in call]

    def run(self, *, terminal: bool, **env: str) -> str:
        """Run the script and return what it said."""
        inherited = {key: value for key, value in os.environ.items() if key not in {"CI", "ARCHIPEC_INSTALL"}}
        inherited["PATH"] = f"{self._programs}{os.pathsep}{inherited['PATH']}"
        inherited["TMPDIR"] = str(self._folder)
        command = ["sh", str(SCRIPT), "/nowhere/at/all:a-package-of-ours"]
        if terminal:
            return self._on_a_terminal(command, inherited | env)
        done = subprocess.run(
            command,
            env=inherited | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout == ""
        return done.stderr

    def _on_a_terminal(self, command: list[str], env: dict[str, str]) -> str:
        master, terminal = os.openpty()
        process = subprocess.Popen(command, env=env, stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        said = b""
        try:
            while chunk := os.read(master, 65536):
                said += chunk
        except OSError:  # Linux' way to say that the other end is closed
            pass
        finally:
            os.close(master)
        assert process.wait(60) == 0
        return said.decode().replace("\r\n", "\n")


def test_a_user_at_a_terminal_gets_the_command_and_nothing_is_installed(tmp_path: Path) -> None:
    machine = Machine(tmp_path, user=1000)
    said = machine.run(terminal=True)
    assert BY_HAND in said and "a-package-of-ours" in said.partition(BY_HAND)[2]
    assert not (tmp_path / "calls").exists(), "neither sudo nor apt-get is asked anything"


@pytest.mark.parametrize("user", [0, 1000])
def test_ci_is_asked_nothing(tmp_path: Path, user: int) -> None:
    machine = Machine(tmp_path, user=user)
    said = machine.run(terminal=True, CI="true")
    assert "installing system packages with apt-get:" in said
    assert len(machine.installed) == 1 and machine.installed[0].endswith("a-package-of-ours")


@pytest.mark.parametrize("terminal", [False, True])
def test_root_hears_what_is_installed(tmp_path: Path, terminal: bool) -> None:
    machine = Machine(tmp_path, user=0)
    said = machine.run(terminal=terminal)
    (line,) = [line for line in said.splitlines() if line.startswith("install-servers: installing")]
    assert "a-package-of-ours" in line
    assert len(machine.installed) == 1


@pytest.mark.parametrize("user", [0, 1000])
def test_nothing_is_installed_where_that_is_not_wanted(tmp_path: Path, user: int) -> None:
    machine = Machine(tmp_path, user=user)
    said = machine.run(terminal=False, ARCHIPEC_INSTALL="no")
    assert BY_HAND in said
    assert not (tmp_path / "calls").exists()
