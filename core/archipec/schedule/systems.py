"""Installs and removes what runs archipec by itself, by the means of the system it is on."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from archipec.durability import open_regular, write_file
from archipec.errors import PermanentError, from_os_error
from archipec.language import _
from archipec.schedule.formats import (
    cron_line,
    launchd_agent,
    systemd_service,
    systemd_timer,
    windows_task,
)
from archipec.schedule.owner import Owner
from archipec.schedule.times import Times

__all__ = ["SYSTEMS", "Job", "System", "this_system"]

_UNIT: Final = "archipec"
_LABEL: Final = "archipec.archive"
_TASK: Final = "archipec"
_LONGEST: Final = 1 << 20  # bytes of what archipec wrote, and more
_PATIENCE: Final = 60  # seconds


class Job(NamedTuple):
    """What is run, when, and for which configuration."""

    command: Sequence[str]
    times: Times
    owner: Owner


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
        """Install it, in the place of what was there before for the same configuration.

        Raises:
            ArchipecError: the system refuses, or something else has the name.
        """

    def remove(self, owner: Owner) -> bool:
        """Remove what is installed for a configuration; return whether it was there.

        Raises:
            ArchipecError: the system refuses, or something else has the name.
        """

    def installed(self, owner: Owner) -> str:
        """Return where it is installed for a configuration, empty when it is not."""


class Systemd:
    """A timer of the user's own systemd."""

    name = "systemd"
    keeps = True

    def definition(self, job: Job) -> dict[str, bytes]:
        """Return both units."""
        service, timer = self._units(job.owner)
        return {
            str(service): systemd_service(job.command, job.owner.mark).encode(),
            str(timer): systemd_timer(job.times, job.owner.mark).encode(),
        }

    def install(self, job: Job) -> None:
        """Write the units and start the timer."""
        units = self._units(job.owner)
        _check(job.owner, *units)
        _write(self.definition(job))
        timer = units[1].name
        _run("systemctl", "--user", "daemon-reload")
        _run("systemctl", "--user", "enable", timer)
        # Also where one is running that was written otherwise.
        _run("systemctl", "--user", "restart", timer)

    def remove(self, owner: Owner) -> bool:
        """Stop the timer and remove the units."""
        units = self._units(owner)
        _check(owner, *units)
        if not self.installed(owner):
            return False
        _run("systemctl", "--user", "disable", "--now", units[1].name)
        for unit in units:
            _unlink(unit)
        _run("systemctl", "--user", "daemon-reload")
        return True

    def installed(self, owner: Owner) -> str:
        """Return the timer's file."""
        return _own_file(owner, self._units(owner)[1])

    @staticmethod
    def _units(owner: Owner) -> tuple[Path, Path]:
        """Return the files of service and timer."""
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"
        name = owner.named(_UNIT)
        return folder / f"{name}.service", folder / f"{name}.timer"


class Launchd:
    """An agent of the user who is logged in."""

    name = "launchd"
    keeps = True

    def definition(self, job: Job) -> dict[str, bytes]:
        """Return the property list."""
        agent = launchd_agent(job.command, job.times, _label(job.owner), job.owner.mark)
        return {str(self._path(job.owner)): agent}

    def install(self, job: Job) -> None:
        """Write the property list and load it."""
        path = self._path(job.owner)
        _check(job.owner, path)
        if path.exists():
            self._unload(job.owner)
        _write(self.definition(job))
        _run("launchctl", "bootstrap", self._domain(), str(path))

    def remove(self, owner: Owner) -> bool:
        """Unload the agent and remove its file."""
        path = self._path(owner)
        _check(owner, path)
        if not path.exists():
            return False
        self._unload(owner)
        _unlink(path)
        return True

    def installed(self, owner: Owner) -> str:
        """Return the property list's file."""
        return _own_file(owner, self._path(owner))

    def _unload(self, owner: Owner) -> None:
        # One that is not loaded is as well.
        _run("launchctl", "bootout", f"{self._domain()}/{_label(owner)}", may_fail=True)

    @staticmethod
    def _path(owner: Owner) -> Path:
        return Path.home() / "Library" / "LaunchAgents" / f"{_label(owner)}.plist"

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
        return {f"{job.owner.named(_TASK)}.xml": windows_task(job.command, job.times, job.owner.mark)}

    def install(self, job: Job) -> None:
        """Create the task, in the place of one of the same name."""
        self._exists(job.owner)
        with tempfile.TemporaryDirectory(prefix="archipec-") as folder:
            ((name, task),) = self.definition(job).items()
            path = Path(folder) / name
            path.write_bytes(task)
            _run("schtasks", "/Create", "/F", "/TN", job.owner.named(_TASK), "/XML", str(path))

    def remove(self, owner: Owner) -> bool:
        """Delete the task."""
        if not self._exists(owner):
            return False
        _run("schtasks", "/Delete", "/F", "/TN", owner.named(_TASK))
        return True

    def installed(self, owner: Owner) -> str:
        """Return the task's name."""
        return owner.named(_TASK) if owner.made(self._content(owner) or "") else ""

    def _exists(self, owner: Owner) -> bool:
        """Return whether the task is there; another's is refused."""
        content = self._content(owner)
        if content is not None:
            owner.check(_("the task {task}").format(task=owner.named(_TASK)), content)
        return content is not None

    @staticmethod
    def _content(owner: Owner) -> str | None:
        return _output("schtasks", "/Query", "/TN", owner.named(_TASK), "/XML")


class Cron:
    """A line that a person puts into a crontab: what else is in it is not ours to touch."""

    name = "cron"
    keeps = False

    def definition(self, job: Job) -> dict[str, bytes]:
        """Return the line."""
        return {"crontab": f"{cron_line(job.command, job.times)}\n".encode()}

    def install(self, job: Job) -> None:
        """Do nothing: a person does."""

    def remove(self, owner: Owner) -> bool:  # noqa: ARG002  all systems are asked alike
        """Do nothing: a person does."""
        return False

    def installed(self, owner: Owner) -> str:  # noqa: ARG002  all systems are asked alike
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


def _label(owner: Owner) -> str:
    """Return what launchd calls it."""
    return owner.named(_LABEL, ".")


def _check(owner: Owner, *paths: Path) -> None:
    """Let pass files that are not there, or were made for this configuration.

    Raises:
        ArchipecError: one is another's, or can't be read.
    """
    for path in paths:
        content = _content(path)
        if content is not None:
            owner.check(str(path), content)


def _own_file(owner: Owner, path: Path) -> str:
    return str(path) if owner.made(_content(path) or "") else ""


def _content(path: Path) -> str | None:
    """Return what a file has, None where there is none, and nothing of a link or a folder: archipec writes only files."""
    try:
        with open(open_regular(path, os.O_RDONLY), "rb") as file:
            return file.read(_LONGEST).decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:
            return ""
        raise from_os_error(error, path) from error


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
        done = _done(command)
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
            hint=_("`archipec schedule --system cron --every night` prints a line for cron"),
        )
    return not done.returncode


def _output(*command: str) -> str | None:
    """Return what a program of the system writes, None where it ends badly."""
    try:
        done = _done(command)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


def _done(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  fixed words, and paths that archipec made
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_PATIENCE,
        check=False,
        stdin=subprocess.DEVNULL,
    )
