"""``thunderbird-profile-tool accounts``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

from archipec.errors import ATTENTION, DONE
from archipec.language import _
from archipec.terminal import command_line, printable, say
from archipec_thunderbird.accounts import MailAccount, Safety, leave_on_server, read_accounts
from archipec_thunderbird.cli import PROGRAM
from archipec_thunderbird.cli.each import for_each
from archipec_thunderbird.cli.options import chosen_profiles, json_option, profile_options
from archipec_thunderbird.profiles import Profile

__all__ = ["accounts"]


@click.command()
@click.option(
    "--leave-on-server",
    "make_safe",
    is_flag=True,
    help="Make them leave all mail on the server (Thunderbird closed).",
)
@click.option(
    "--dry-run", is_flag=True, help="With --leave-on-server: say what would change, and change nothing."
)
@profile_options
@json_option
def accounts(
    *, make_safe: bool, dry_run: bool, profile: str | None, all_profiles: bool, as_json: bool
) -> int:
    """Show what the accounts on PEC providers' servers do to the mail there.

    Thunderbird's own account wizard makes a POP3 account delete messages from the server after 14 days.

    \b
    Examples:
      thunderbird-profile-tool accounts
      thunderbird-profile-tool accounts --leave-on-server
    """
    if dry_run and not make_safe:
        raise click.UsageError(_("--dry-run goes with --leave-on-server"))
    options = ("--profile", profile) if profile else ("--all-profiles",) if all_profiles else ()

    def show(one: Profile) -> int:
        if make_safe:
            _say_changed(one.path, leave_on_server(one.path, dry_run=dry_run), dry_run=dry_run)
        found = read_accounts(one.path)
        for account in found:
            lines = json.dumps(_shape(one.path, account)) if as_json else _lines(one.path, account, options)
            click.echo(lines)
        if not found:
            say(_("{path}: no account on a PEC provider's server").format(path=one.path))
        return ATTENTION if any(account.problems for account in found) else DONE

    return for_each(chosen_profiles(profile, all_profiles=all_profiles), show)


def _say_changed(profile: Path, safety: Safety, *, dry_run: bool) -> None:
    if not safety.accounts:
        say(_("{profile}: nothing to change, mail is left on the server already").format(profile=profile))
        return
    sentence = (
        _("{profile}: mail of {accounts} would be left on the server")
        if dry_run
        else _("{profile}: mail of {accounts} is now left on the server")
    )
    kept = (
        "" if safety.backup is None else _("; settings as they were: {backup}").format(backup=safety.backup)
    )
    say(sentence.format(profile=profile, accounts=", ".join(safety.accounts)) + kept)


def _shape(profile: Path, account: MailAccount) -> dict[str, object]:
    return {
        "profile": str(profile),
        "account": account.key,
        "name": account.name,
        "addresses": list(account.addresses),
        "type": account.type,
        "host": account.host,
        "port": account.port,
        "tls": account.tls,
        "provider": account.provider.name,
        "deletion": account.deletion,
        "sent": account.sent,
        "problems": [
            {"name": one.name, "text": one.text, "fixable": one.fixable} for one in account.problems
        ],
    }


def _lines(profile: Path, account: MailAccount, options: Sequence[str]) -> str:
    kind = account.type.upper()
    tls = _("no TLS") if account.tls == "none" else account.tls
    texts = dict.fromkeys(problem.text for problem in account.problems)
    lines = [
        f"{account.name} ({kind}, {account.provider.title}) in {profile}",
        f"  {account.host}:{account.port}, {tls}",
        *([] if account.deletion in texts else [f"  {account.deletion}"]),
        *(f"  ! {text}" for text in texts),
    ]
    if any(problem.fixable for problem in account.problems):
        lines.append(
            _("run: {command}").format(
                command=command_line(PROGRAM, "accounts", *options, "--leave-on-server")
            )
        )
    return "\n".join(map(printable, lines))
