"""``archipec schedule``: has this computer archive by itself, every night or at other times."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from pathlib import Path

import click

from archipec.cli import Settings
from archipec.config.pipeline import usual_config_path
from archipec.errors import ConfigError, PermanentError
from archipec.language import _
from archipec.schedule.owner import Owner
from archipec.schedule.systems import SYSTEMS, Job, System, this_system
from archipec.schedule.times import WORDS, read_times
from archipec.terminal import json_line, printable, say

_LOG = "archipec.log"
_UNWRITABLE = ("Cc", "Cs")  # control characters, and bytes of a name that are no text


@click.command()
@click.option(
    "--every",
    metavar="WHEN",
    help="night (02:30), hour, or the five fields of cron: '15 7-19 * * mon-fri'.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=1, metavar="N", help="As of `archipec archive`.")
@click.option("--remove", is_flag=True, help="End it.")
@click.option("--print", "printing", is_flag=True, help="Install nothing: print what would be.")
@click.option(
    "--system",
    "name",
    type=click.Choice(tuple(SYSTEMS)),
    help="By this means, not by what this computer has.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def schedule(
    settings: Settings,
    every: str | None,
    jobs: int,
    name: str | None,
    *,
    remove: bool,
    printing: bool,
    as_json: bool,
) -> None:
    """Have this computer archive by itself; without an option, say whether it does.

    \b
      archipec schedule --every night
      archipec schedule --every '0 7,13,19 * * *' --jobs 8
      archipec schedule
      archipec schedule --remove

    A systemd timer of yours, a launchd agent or a task of Windows runs `archipec --quiet archive`; where there is none of
    these, a line for cron is printed. Each configuration (--config) has one of its own; what archipec did not make is left
    alone. A run that was missed is made up for. What happened is in archipec.log in the state folder, and
    `archipec status --max-age 26h` tells a monitor when nothing has worked for too long.
    """
    if remove and (every or printing):
        raise click.UsageError(_("give --remove alone, or --every WHEN"))
    system = SYSTEMS[name] if name else this_system()
    owner = Owner.of(settings.config, usual_config_path())
    removed = system.remove(owner) if remove else False
    job = None if remove or not (every or printing) else _job(settings, owner, every or "night", jobs)
    if job is not None and not printing:
        system.install(job)
    shape = {
        "system": system.name,
        "installed": system.installed(owner),
        "command": [] if job is None else list(job.command),
        "cron": "" if job is None else job.times.cron,
    }
    if as_json:
        click.echo(json_line(shape))
    elif job is not None and (printing or not system.keeps):
        _print(system, job)
    elif removed:
        say(_("{system}: archipec is run by it no more").format(system=system.name))
    elif where := shape["installed"]:
        click.echo(printable(_("{system}: installed as {where}").format(system=system.name, where=where)))
    else:
        click.echo(_("{system}: nothing is installed").format(system=system.name))
    if job is not None and not printing:
        _advise(system)


def _job(settings: Settings, owner: Owner, every: str, jobs: int) -> Job:
    try:
        times = read_times(every)
    except ValueError as error:
        words = ", ".join(WORDS)
        raise click.UsageError(
            _('--every must be {words} or the five fields of cron ("30 2 * * *"), not "{every}"').format(
                words=words, every=every
            )
        ) from error
    if not settings.config.exists():
        raise ConfigError(
            _("there is no configuration at {path}").format(path=settings.config),
            hint=_("`archipec init` writes one: what is run at night needs it"),
        )
    state = settings.state.absolute()
    options = ["--config", str(settings.config.absolute()), "--state", str(state)]
    options += ["--quiet", "--log-file", str(state / _LOG)]
    more = ["--jobs", str(jobs)] if jobs > 1 else []
    command = (*_program(), *options, "archive", *more)
    for word in command:
        if any(unicodedata.category(char) in _UNWRITABLE for char in word):
            raise ConfigError(
                _("{path} has characters that can't be given to cron, systemd, launchd or Windows").format(
                    path=word
                ),
                hint=_("rename what has it, or choose another folder by --state or --config"),
            )
    return Job(command, times, owner)


def _program() -> tuple[str, ...]:
    """Return what starts this archipec, wherever it is started from."""
    running = Path(sys.argv[0])
    found = shutil.which(running) if running.stem == "archipec" else None
    if found is not None:
        return (str(Path(found).absolute()),)
    if not sys.executable:
        raise PermanentError(_("it is not known which program this is"))
    return (sys.executable, "-Im", "archipec")


def _print(system: System, job: Job) -> None:
    for where, data in system.definition(job).items():
        text = data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8")
        if system.keeps:
            say(f"{where}:")
        click.echo(text.rstrip("\n"))


def _advise(system: System) -> None:
    """Say what a person has still to do."""
    if system.name == "systemd":
        say(_("hint: `loginctl enable-linger` lets it run while you are logged out"))
    elif not system.keeps:
        say(
            _(
                "hint: put this line into your crontab by `crontab -e`: this computer offers nothing that archipec could install"
            )
        )
