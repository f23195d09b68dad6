"""``thunderbird-profile-tool add-archive``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from archipec.errors import DONE
from archipec.language import _
from archipec.terminal import printable
from archipec_thunderbird.cli.each import for_each
from archipec_thunderbird.cli.options import chosen_profiles, json_option, profile_options
from archipec_thunderbird.local_folders import add_archive as add
from archipec_thunderbird.profiles import Profile

__all__ = ["add_archive"]


@click.command("add-archive")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the new folder (default: that of the archive).")
@profile_options
@json_option
def add_archive(
    *, path: Path, name: str | None, profile: str | None, all_profiles: bool, as_json: bool
) -> int:
    """Copy an MBOX archive under Local Folders, where Thunderbird shows it at its next start.

    PATH is an MBOX file or an archive's directory. Thunderbird gets a copy: it writes into the files it shows, and the
    archive must stay as it is. Thunderbird has to be closed.

    \b
    Examples:
      thunderbird-profile-tool add-archive PEC-mbox
      thunderbird-profile-tool add-archive PEC-mbox/2025.mbox --name 'PEC 2025'
    """

    def put(one: Profile) -> int:
        for added in add(one.path, path, name):
            shape = {
                "profile": str(one.path),
                "folder": added.folder,
                "source": str(added.source),
                "bytes": added.bytes,
            }
            line = _('added "{folder}" to Local Folders of {path}: a copy of {source}').format(
                folder=added.folder, path=one.path, source=added.source
            )
            click.echo(json.dumps(shape) if as_json else printable(line))
        return DONE

    return for_each(chosen_profiles(profile, all_profiles=all_profiles), put)
