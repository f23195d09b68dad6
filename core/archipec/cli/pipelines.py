"""Which pipelines a command is about: those of archipec.toml by name, or one made of URLs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import click

from archipec.cli import Settings
from archipec.config import Pipeline, ad_hoc, choose, load
from archipec.errors import ConfigError
from archipec.registry import Registry
from archipec.selection import read_selection

__all__ = ["chosen", "load_registry", "selection_options"]

F = TypeVar("F", bound=Callable[..., Any])

_SELECTION = (
    click.option(
        "--only", multiple=True, metavar="GROUP", help="Take only this kind or group; may be repeated."
    ),
    click.option("--except", "except_", multiple=True, metavar="GROUP", help="Leave this kind or group out."),
    click.option("--since", metavar="DATE", help="First day to take: 2024-03-31, 2024-03 or 2024."),
    click.option("--until", metavar="DATE", help="Last day to take."),
    click.option("--folder", multiple=True, metavar="GLOB", help="Take only these folders of the source."),
)


def selection_options(command: F) -> F:
    """Add the options that choose messages."""
    for option in reversed(_SELECTION):
        command = option(command)
    return command


def load_registry() -> Registry:
    """Find the plugins; say on stderr which of them are broken."""
    registry = Registry.load()
    for problem in registry.problems:
        click.echo(f"warning: {problem}", err=True)
    return registry


def chosen(
    settings: Settings,
    names: Sequence[str],
    from_url: str | None,
    to_urls: Sequence[str],
    then_urls: Sequence[str] = (),
    select: dict[str, object] | None = None,
) -> tuple[Pipeline, ...]:
    """Return the pipelines a command line means.

    Args:
        select: selection settings that were given; they replace those of the configuration.

    Raises:
        ConfigError: with every problem.
        click.UsageError: names and URLs at once, or half of a pipeline.
    """
    registry = load_registry()
    given = {key: value for key, value in (select or {}).items() if value}
    if from_url is not None or to_urls:
        if names:
            raise click.UsageError("give pipelines by name, or --from and --to, not both")
        if from_url is None or not to_urls:
            raise click.UsageError("an ad hoc run needs both --from URL and --to URL")
        return (ad_hoc(from_url, to_urls, then_urls, registry, given),)
    if not names and not settings.config.exists():
        raise ConfigError(
            f"there is no configuration at {settings.config}",
            hint="archive without one by --from URL --to URL, or see `archipec archive --help`",
        )
    pipelines = choose(load(settings.config, registry), names)
    if not given:
        return pipelines
    selection = read_selection(given, "command line")
    return tuple(replace(pipeline, selection=selection) for pipeline in pipelines)
