"""``thunderbird-profile-tool status``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from archipec.errors import ATTENTION, DONE
from archipec.language import _
from archipec.terminal import printable
from archipec_thunderbird.certificates import ACTALIS, Certificate, read_authorities
from archipec_thunderbird.cli.each import for_each
from archipec_thunderbird.cli.options import chosen_profiles, json_option, profile_options
from archipec_thunderbird.profiles import Profile
from archipec_thunderbird.status import AuthorityStatus, ProfileStatus, read_status

__all__ = ["status"]


@click.command()
@click.option(
    "--ca",
    "authorities",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Certificate of a further authority to look for (PEM or DER).",
)
@profile_options
@json_option
def status(*, authorities: Sequence[Path], profile: str | None, all_profiles: bool, as_json: bool) -> int:
    """Show what Thunderbird trusts for certified mail; changes nothing, and works while Thunderbird runs.

    \b
    Examples:
      thunderbird-profile-tool status
      thunderbird-profile-tool status --ca root.pem --all-profiles --json
    """
    extra = read_authorities(authorities)

    def show(one: Profile) -> int:
        found = read_status(one.path, extra)
        click.echo(json.dumps(_shape(found)) if as_json else "\n".join(_lines(found)))
        return DONE if all(authority.mail for authority in found.authorities) else ATTENTION

    return for_each(chosen_profiles(profile, all_profiles=all_profiles), show)


def _shape(found: ProfileStatus) -> dict[str, object]:
    return {
        "profile": str(found.profile),
        "authorities": [
            {
                "name": one.certificate.name,
                "sha256": one.certificate.sha256,
                "mail": one.mail,
                "web": one.web,
                "built_in": one.built_in,
                "row": one.row,
                "row_counts": one.row_counts,
                "stored": one.stored,
                "intermediates": list(one.intermediates),
            }
            for one in found.authorities
        ],
        "accepts_sha1": found.accepts_sha1,
        "primary_password": found.primary_password,
    }


def _lines(found: ProfileStatus) -> list[str]:
    lines = [str(found.profile)]
    for one in found.authorities:
        lines.append(
            "  "
            + _("{name}: mail {mail}, web {web} ({source})").format(
                name=one.certificate.name, mail=_word(one.mail), web=_word(one.web), source=_source(one)
            )
        )
        lines.append(f"    {_intermediates(one.certificate, one.intermediates)}")
    lines.append(
        "  " + (_("seals with SHA-1: accepted") if found.accepts_sha1 else _("seals with SHA-1: refused"))
    )
    return [printable(line) for line in lines]


def _word(trusted: bool | None) -> str:
    return {True: _("trusted"), False: _("not trusted"), None: _("as Thunderbird has it built in")}[trusted]


def _source(one: AuthorityStatus) -> str:
    if one.row is None:
        return _("Thunderbird's own setting") if one.built_in else _("this profile does not know it")
    effect = "" if one.row_counts else _(", without effect: its signature is wrong")
    return _("set in this profile, {row} row").format(row=one.row) + effect


def _intermediates(authority: Certificate, names: Sequence[str]) -> str:
    if names:
        return _("intermediates known: {names}").format(names=", ".join(names))
    missing = (
        _("AgID CA1 is not known") if authority.sha256 == ACTALIS else _("no intermediate of it is known")
    )
    return _("{missing}: only seals that carry it can be trusted").format(missing=missing)
