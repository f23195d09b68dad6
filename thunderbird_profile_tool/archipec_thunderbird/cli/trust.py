"""``thunderbird-profile-tool trust``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from archipec.errors import DONE, ConfigError
from archipec.language import N_, _
from archipec.terminal import printable, say
from archipec_thunderbird.certificates import Certificate, read_authorities
from archipec_thunderbird.cli.each import for_each
from archipec_thunderbird.cli.options import chosen_profiles, json_option, profile_options
from archipec_thunderbird.cli.password import asking, password_option
from archipec_thunderbird.message import find_seal, read_file
from archipec_thunderbird.nss.library import find_libraries
from archipec_thunderbird.profiles import Profile
from archipec_thunderbird.seal import carried_certificates
from archipec_thunderbird.trust import TrustRequest, TrustResult
from archipec_thunderbird.trust import trust as make_trusted

__all__ = ["trust"]

_SHA1_WARNING = N_(
    "warning: Thunderbird accepts SHA-1 in all signed mail now; whoever can forge SHA-1 "
    "could then forge a seal"
)


@click.command()
@click.option(
    "--ca",
    "authorities",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Certificate of a further authority to trust for mail (PEM or DER). Be sure whose it is.",
)
@click.option(
    "--intermediate",
    "messages",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Add the intermediate authority that the seal of this message carries: AgID CA1, or one below --ca.",
)
@click.option("--accept-sha1", is_flag=True, help="Accept seals with SHA-1, as mail before 2025 has them.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@password_option
@profile_options
@json_option
def trust(
    *,
    authorities: Sequence[Path],
    messages: Sequence[Path],
    accept_sha1: bool,
    dry_run: bool,
    password_fd: int | None,
    profile: str | None,
    all_profiles: bool,
    as_json: bool,
) -> int:
    """Make Thunderbird trust the seals of certified mail: sets what is missing, and nothing else.

    Thunderbird must be closed. Trust for the web stays as it is. The files that change are copied into a dated
    folder in the profile first; `undo` puts back what was there. A primary password is asked for when it is needed.

    \b
    Examples:
      thunderbird-profile-tool trust --dry-run
      thunderbird-profile-tool trust --intermediate message.eml
      thunderbird-profile-tool trust --ca root.pem --profile default-release
    """
    wanted = TrustRequest(
        authorities=read_authorities(authorities),
        carried=_carried(messages) if messages else None,
        accept_sha1=accept_sha1,
    )

    def change(one: Profile) -> int:
        outcome = make_trusted(
            one.path,
            wanted,
            asking(one.path, password_fd),
            dry_run=dry_run,
            libraries=find_libraries(one.platform),
        )
        if any(step.change == "accept-sha1" for step in outcome.steps) and not dry_run:
            say(_SHA1_WARNING)
        click.echo(json.dumps(_shape(one, outcome)) if as_json else _line(one, outcome, dry_run=dry_run))
        return DONE

    return for_each(chosen_profiles(profile, all_profiles=all_profiles), change)


def _carried(messages: Sequence[Path]) -> list[Certificate]:
    found: list[Certificate] = []
    for path in messages:
        carried = carried_certificates(find_seal(read_file(path)))
        if not carried:
            raise ConfigError(_("{path}: has no seal that carries certificates").format(path=path))
        found += carried
    return found


def _shape(profile: Profile, outcome: TrustResult) -> dict[str, object]:
    return {
        "profile": str(profile.path),
        "changes": [
            {
                "change": step.change,
                "name": step.certificate.name if step.certificate else None,
                "sha256": step.certificate.sha256 if step.certificate else None,
            }
            for step in outcome.steps
        ],
        "backup": str(outcome.backup) if outcome.backup else None,
    }


def _line(profile: Profile, outcome: TrustResult, *, dry_run: bool) -> str:
    what = "; ".join(str(step) for step in outcome.steps) or _("nothing was missing, nothing changed")
    if dry_run and outcome.steps:
        what = _("would change: {what}").format(what=what)
    where = " " + _("(as it was: {backup})").format(backup=outcome.backup) if outcome.backup else ""
    return printable(f"{profile.path}: {what}{where}")
