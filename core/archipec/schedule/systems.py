"""Installs and removes what runs archipec by itself, by the means of the system it is on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from archipec.durability import write_file
from archipec.errors import PermanentError, from_os_error
from archipec.language import _
from archipec.schedule.formats import (
    LABEL,
    cron_line,
    launchd_agent,
    systemd_service,
    systemd_timer,
    windows_task,
)
from archipec.schedule.times import Times

__all__ = ["SYSTEMS", "Job", "System", "this_system"]

_UNIT: Final = "archipec"
_TASK: Final = "archipec"
_PATIENCE: Final = 60  # seconds


class Job(NamedTuple):
    """What is run, and when."""

    command: Sequence[str]
    times: Times


class System(Protocol):
    """A means of running something at set times.

    Attributes:
        name: for people.
        keeps: whether archipec can install something; else a person has to.
    """

    name: str
    keeps: bool

    def definition(self, job: Job) -> Mapping[str, bytes]:
        """Return what is to be installed, by file or by what it is."""

    def install(self, job: Job) -> None:
        """Install it, in the place of what was there before.

        Raises:
            ArchipecError: the system refuses.
        """

    def remove(self) -> bool:
        """Remove it; return whether it was there."""

    def installed(self) -> str:
        """Return where it is installed, empty when it is not."""


class Systemd:
    """A timer of the user's own systemd."""

    name = "systemd"
    keeps = True

    def definition(self, job: Job) -> dict[str, bytes]:
        """Return both units."""
        folder = _systemd_folder()
        return {
            str(folder / f"{_UNIT}.service"): systemd_service(job.command).encode(),
            str(folder / f"{_UNIT}.timer"): systemd_timer(job.times).encode(),
        }

    def install(self, job: Job) -> None:
        """Write the units and start the timer."""
        _write(self.definition(job))
        _run("systemctl", "--user", "daemon-reload")
        _run("systemctl", "--user", "enable", f"{_UNIT}.timer")
        # Also where one is running that was written otherwise.
        _run("systemctl", "--user", "restart", f"{_UNIT}.timer")

    def remove(self) -> bool:
        """Stop the timer and remove the units."""
        if not self.installed():
            return False
        _run("systemctl", "--user", "disable", "--now", f"{_UNIT}.timer")
        for end in ("service", "timer"):
            _unlink(_systemd_folder() / f"{_UNIT}.{end}")
        _run("systemctl", "--user", "daemon-reload")
        return True

    def installed(self) -> str:
        """Return the timer's file."""
        path = _systemd_folder() / f"{_UNIT}.timer"
        return str(path) if path.exists() else ""


class Launchd:
    """An agent of the user who is logged in."""

    name = "launchd"
    keeps = True

    def definition(self, job: Job) -> dict[str, bytes]:
        """Return the property list."""
        return {str(self._path()): launchd_agent(job.command, job.times)}

    def install(self, job: Job) -> None:
        """Write the property list and load it."""
        if self.installed():
            self._unload()
        _write(self.definition(job))
        _run("launchctl", "bootstrap", self._domain(), str(self._path()))

    def remove(self) -> bool:
        """Unload the agent and remove its file."""
        if not self.installed():
            return False
        self._unload()
        _unlink(self._path())
        return True

    def installed(self) -> str:
        """Return the property list's file."""
        return str(self._path()) if self._path().exists() else ""

    def _unload(self) -> None:
        # One that is not loaded is as well.
        _run("launchctl", "bootout", f"{self._domain()}/{LABEL}", may_fail=True)

    @staticmethod
    def _path() -> Path:
        return Path.home() / "Library" / "LaunchAgents" / f"{LABEL}.plist"

    @staticmethod
    def _domain() -> str:
        if sys.platform == "win32":
            return ""
        return f"gui/{os.getuid()}"


class TaskScheduler:
    """A task of Windows."""

    name = "windows"
    keeps = True

    def definition(self, job: Job) -> dict[str, bytes]:
        """Return the task."""
        return {f"{_TASK}.xml": windows_task(job.command, job.times)}

    def install(self, job: Job) -> None:
        """Create the task, in the place of one of the same name."""
        with tempfile.TemporaryDirectory(prefix="archipec-") as folder:
            ((name, task),) = self.definition(job).items()
            path = Path(folder) / name
            path.write_bytes(task)
            _run("schtasks", "/Create", "/F", "/TN", _TASK, "/XML", str(path))

    def remove(self) -> bool:
        """Delete the task."""
        if not self.installed():
            return False
        _run("schtasks", "/Delete", "/F", "/TN", _TASK)
        return True

    def installed(self) -> str:
        """Return the task's name."""
        return _TASK if _run("schtasks", "/Query", "/TN", _TASK, may_fail=True) else ""


class Cron:
    """A line that a person puts into a crontab: what else is in it is not ours to touch."""

    name = "cron"
    keeps = False

    def definition(self, job: Job) -> dict[str, bytes]:
        """Return the line."""
        return {"crontab": f"{cron_line(job.command, job.times)}\n".encode()}

    def install(self, job: Job) -> None:
        """Do nothing: a person does."""

    def remove(self) -> bool:
        """Do nothing: a person does."""
        return False

    def installed(self) -> str:
        """Return nothing: it is not known."""
        return ""


SYSTEMS: Final[Mapping[str, System]] = {
    one.name: one for one in (Systemd(), Launchd(), TaskScheduler(), Cron())
}
"""By name."""


def this_system() -> System:
    """Return what this computer has; cron's line where archipec can install nothing."""
    if sys.platform == "darwin":
        return SYSTEMS["launchd"]
    if sys.platform == "win32":
        return SYSTEMS["windows"]
    if shutil.which("systemctl") and _run("systemctl", "--user", "show-environment", may_fail=True):
        return SYSTEMS["systemd"]
    return SYSTEMS["cron"]


def _systemd_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _write(files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        path = Path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, path.parent) from error
        write_file(path, data)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, path) from error


def _run(*command: str, may_fail: bool = False) -> bool:
    """Run a program of the system; return whether it ended well.

    Raises:
        PermanentError: it did not, and should have.
    """
    try:
        done = subprocess.run(  # noqa: S603  fixed words, and paths that archipec made
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        if may_fail:
            return False
        raise PermanentError(
            _("{program} can't be run: {reason}").format(program=command[0], reason=error)
        ) from error
    if done.returncode and not may_fail:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise PermanentError(
            _("{program} failed: {reason}").format(
                program=" ".join(command[:3]), reason=said[-1] if said else str(done.returncode)
            ),
            hint=_("`archipec schedule --system cron` prints a line for cron"),
        )
    return not done.returncode
