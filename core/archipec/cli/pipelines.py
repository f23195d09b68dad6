"""Which pipelines a command is about, those of archipec.toml by name or one made of URLs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from archipec.cli import Settings
from archipec.config.endpoint import Endpoint
from archipec.config.pipeline import AD_HOC, Pipeline, ad_hoc, choose, endpoint, load, names_in
from archipec.config.selection import SENT_GROUPS, read_selection
from archipec.contract import SinkType
from archipec.custody.attempts import (
    AttemptSubject,
    CommandReport,
    places_of,
    record_failure,
)
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.runs import Attempt
from archipec.errors import ConfigError
from archipec.language import _
from archipec.pec.kind import GROUPS
from archipec.plugins.registry import Registry
from archipec.terminal import FilledOption, command_line

__all__ = [
    "chosen",
    "configured_pipelines",
    "load_registry",
    "running_command",
    "selection_options",
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", bound=CommandReport)


_SELECTION = (
    click.option(
        "--only",
        cls=FilledOption,
        values={"groups": ", ".join((*GROUPS, *SENT_GROUPS))},
        multiple=True,
        metavar="GROUP",
        help="Take only this kind of message or group, one of {groups}; may be repeated.",
    ),
    click.option("--except", "except_", multiple=True, metavar="GROUP", help="Leave this kind or group out."),
    click.option(
        "--since", metavar="DATE", help="First day to take: 2024-03-31, 2024-03, 2024 or an age: 30d, 6m, 1y."
    ),
    click.option("--until", metavar="DATE", help="Last day to take."),
    click.option("--folder", multiple=True, metavar="GLOB", help="Take only these folders of the source."),
)
_LOOKING = ("verify", "receipts", "settle")
"""Commands that change no mailbox and need no word of its password: the last ad hoc run can be taken for them."""


def selection_options(command: F) -> F:
    """Add the options that choose messages."""
    for option in reversed(_SELECTION):
        command = option(command)
    return command


def load_registry() -> Registry:
    """Find the plugins; say on stderr which of them are broken."""
    registry = Registry.load()
    for problem in registry.problems:
        click.echo(_("warning: {problem}").format(problem=problem), err=True)
    return registry


def configured_pipelines(settings: Settings) -> tuple[Sequence[Pipeline] | None, ConfigError | None]:
    """Return the configured pipelines, None without a configuration that can be read, and why it can't be."""
    if not settings.config.exists():
        return None, None
    try:
        return load(settings.config, load_registry()), None
    except ConfigError as error:
        return None, error


def sinks_at(urls: Iterable[str]) -> list[Endpoint[SinkType[Any]]]:
    """Return the archives that URLs name.

    Raises:
        ConfigError: one is wrong.
    """
    registry = load_registry()
    return [endpoint("sink", url, registry) for url in urls]


def chosen(
    settings: Settings,
    names: Sequence[str],
    from_url: str | None,
    to_urls: Sequence[str],
    then_urls: Sequence[str] = (),
    select: dict[str, object] | None = None,
) -> tuple[Pipeline, ...]:
    """Return the pipelines a command line means.

    Without names, URLs and configuration, commands that only look at archives mean the last ad hoc run's.

    Args:
        select: selection settings that were given; they replace those of the configuration.

    Raises:
        ConfigError: with every problem. The ledger records it for the pipelines it stopped.
        click.UsageError: names and URLs at once, or half of a pipeline.
    """
    registry = load_registry()
    given = {key: value for key, value in (select or {}).items() if value}
    if from_url is not None or to_urls:
        if names:
            raise click.UsageError(_("give pipelines by name, or --from and --to, not both"))
        if from_url is None or not to_urls:
            raise click.UsageError(_("an ad hoc run needs both --from URL and --to URL"))
        return (ad_hoc(from_url, to_urls, then_urls, registry, given),)
    if not names and not settings.config.exists():
        return (_last_ad_hoc(settings, registry),)
    try:
        pipelines = load(settings.config, registry)
    except ConfigError as error:
        _record_unreadable(settings, names, error)
        raise
    pipelines = choose(pipelines, names)
    if not given:
        return pipelines
    selection = read_selection(given, _("command line"))
    return tuple(replace(pipeline, selection=selection) for pipeline in pipelines)


def running_command() -> str:
    """Return the running command as the ledger records it, with the option that makes it only look or act."""
    context = click.get_current_context()
    extra = [f"--{name.replace('_', '-')}" for name in ("dry_run", "yes") if context.params.get(name)]
    return " ".join([str(context.info_name), *extra])


def _record_unreadable(settings: Settings, names: Sequence[str], error: ConfigError) -> None:
    """Record that pipelines could not be run because the configuration has mistakes."""
    command = running_command()
    if command == "receipts" or not settings.config.exists():
        return
    with Ledger(settings.state / "ledger.sqlite3") as ledger:
        known = names_in(settings.config)
        if known is None:
            # Nothing in the file can be read: those that it had when it could.
            known = [one.pipeline for one in ledger.runs.last_attempts() if one.pipeline != AD_HOC]
        for name in dict.fromkeys(known):
            if not names or name in names:
                record_failure(ledger, AttemptSubject(name, ""), command, error)


# -- the last ad hoc run -------------------------------------------------------------------------------


def _last_ad_hoc(settings: Settings, registry: Registry) -> Pipeline:
    """Return the last ad hoc pipeline that archived something, if the command may go by it."""
    command = str(click.get_current_context().info_name)
    with Ledger(settings.state / "ledger.sqlite3") as ledger:
        runs = [one for key, one in ledger.runs.last_archived().items() if key[0] == AD_HOC and one.urls]
    last = max(runs, key=lambda one: one.id, default=None)
    if last is None:
        raise ConfigError(
            _("there is no configuration at {path}").format(path=settings.config),
            hint=_("archive without one by --from URL --to URL, or see `archipec archive --help`"),
        )
    if command not in _LOOKING:
        _not_configured(settings, command, last)
    assert last.urls is not None
    try:
        pipeline = ad_hoc(last.urls["from"][0], last.urls["to"], (), registry)
    except ConfigError:
        _not_configured(settings, command, last)
    if [place.where for place in places_of(pipeline.sinks)] != [place.where for place in last.sinks]:
        # Its paths begin in another folder.
        _not_configured(settings, command, last)
    archives = ", ".join(place.where for place in last.sinks)
    if not settings.quiet:
        click.echo(
            _("no configuration: taking the last ad hoc run, {source} to {archives}").format(
                source=last.source, archives=archives
            ),
            err=True,
        )
    return pipeline


def _not_configured(settings: Settings, command: str, last: Attempt) -> NoReturn:
    urls = last.urls or {}
    words = [command]
    words += [word for name in ("from", "to") for url in urls.get(name, ()) for word in (f"--{name}", url)]
    folder = urls.get("in", [""])[0]
    there = f"cd {shlex.quote(folder)} && " if folder and folder != str(Path.cwd()) else ""
    raise ConfigError(
        _("there is no configuration at {path}").format(path=settings.config),
        hint=_("for the last ad hoc run type: {command}").format(
            command=there + command_line("archipec", *words)
        ),
    )
