"""``thunderbird-profile-tool undo``."""

from __future__ import annotations

import json

import click

from archipec.errors import ATTENTION, DONE, counted
from archipec.language import _
from archipec.terminal import printable
from archipec_thunderbird.cli.each import for_each
from archipec_thunderbird.cli.options import chosen_profiles, json_option, profile_options
from archipec_thunderbird.cli.password import asking, password_option
from archipec_thunderbird.profiles import Profile
from archipec_thunderbird.undo import Undone
from archipec_thunderbird.undo import undo as take_back

__all__ = ["undo"]


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be put back, and change nothing.")
@password_option
@profile_options
@json_option
def undo(
    *, dry_run: bool, password_fd: int | None, profile: str | None, all_profiles: bool, as_json: bool
) -> int:
    """Put back exactly what was in a profile before this program changed it, every time it did.

    That takes back `trust` and `accounts --leave-on-server`. Thunderbird must be closed. What you or Thunderbird changed since stays as it is.

    \b
    Examples:
      thunderbird-profile-tool undo --dry-run
      thunderbird-profile-tool undo
    """

    def put_back(one: Profile) -> int:
        done = take_back(one.path, asking(one.path, password_fd), dry_run=dry_run)
        shape = {
            "profile": str(one.path),
            "runs": done.records,
            "restored": done.restored,
            "left": done.left,
        }
        click.echo(json.dumps(shape) if as_json else _line(one, done, dry_run=dry_run))
        return ATTENTION if done.left else DONE

    return for_each(chosen_profiles(profile, all_profiles=all_profiles), put_back)


def _line(profile: Profile, done: Undone, *, dry_run: bool) -> str:
    if not done.records:
        return printable(_("{path}: nothing to undo").format(path=profile.path))
    sentence = (
        _("{path}: {number} changes of {runs} would be taken back")
        if dry_run
        else _("{path}: {number} changes of {runs} taken back")
    )
    line = sentence.format(path=profile.path, number=done.restored, runs=counted(done.records, "run"))
    if done.left:
        line += _("; {left} left, because they were changed again since").format(left=done.left)
    return printable(line)
