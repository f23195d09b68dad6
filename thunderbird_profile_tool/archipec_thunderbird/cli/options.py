"""What several commands ask for alike: which profiles, and --json."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from archipec.errors import ConfigError
from archipec.language import _
from archipec_thunderbird.profiles import Profile, choose, find_profiles

__all__ = ["chosen_profiles", "json_option", "profile_options"]

F = TypeVar("F", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")


def profile_options(function: F) -> F:
    """Add ``--profile`` and ``--all-profiles``, as `profile` and `all_profiles`."""
    every = click.option("--all-profiles", is_flag=True, help="Every profile that Thunderbird has used.")
    one = click.option(
        "--profile",
        metavar="DIR|NAME",
        help="A profile's folder, or its name as `profiles` shows it (default: what Thunderbird opens).",
    )
    return one(every(function))


def chosen_profiles(profile: str | None, *, all_profiles: bool) -> list[Profile]:
    """Return the profiles that the two options mean, at least one.

    Raises:
        ConfigError: there is none, or the choice is not clear.
    """
    if profile is not None and all_profiles:
        raise ConfigError(_("--profile and --all-profiles exclude each other"))
    if all_profiles:
        used = [one for one in find_profiles() if one.used]
        if not used:
            raise ConfigError(
                _("Thunderbird has no profile on this machine"),
                hint=_("--profile DIR names one that lies elsewhere"),
            )
        return used
    return [choose(profile)]
