"""``thunderbird-profile-tool profiles``."""

from __future__ import annotations

import json

import click

from archipec.errors import ATTENTION, DONE, PermanentError
from archipec.language import _
from archipec.terminal import printable, say
from archipec_thunderbird.cli.options import json_option
from archipec_thunderbird.lock import is_running
from archipec_thunderbird.profiles import Profile, find_profiles

__all__ = ["profiles"]


@click.command()
@json_option
def profiles(*, as_json: bool) -> int:
    """Show the profiles of every Thunderbird on this machine.

    \b
    Examples:
      thunderbird-profile-tool profiles
      thunderbird-profile-tool profiles --json
    """
    found = find_profiles()
    for one in found:
        shape = _shape(one)
        click.echo(json.dumps(shape) if as_json else _lines(shape))
    if not found:
        say(_("Thunderbird has no profile on this machine; --profile DIR names one that lies elsewhere"))
    return DONE if found else ATTENTION


def _shape(profile: Profile) -> dict[str, object]:
    try:
        running: bool | None = is_running(profile.path)
    except PermanentError as error:
        say(_("warning: {reason}").format(reason=error.message))
        running = None
    return {
        "name": profile.name,
        "path": str(profile.path),
        "origin": profile.origin,
        "default": profile.default,
        "used": profile.used,
        "running": running,
        "version": profile.version,
    }


def _lines(shape: dict[str, object]) -> str:
    words = [
        _("Thunderbird {version}").format(version=shape["version"]) if shape["version"] else _("never used"),
        str(shape["origin"]),
        *(word for word in ("default", "running") if shape[word]),
    ]
    return printable(f"{shape['name']}: {', '.join(words)}") + "\n  " + printable(str(shape["path"]))
