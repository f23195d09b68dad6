"""``archipec providers``: the PEC providers whose servers are known."""

from __future__ import annotations

import sys

import click

from archipec.config.providers import MailProvider, find
from archipec.config.providers import providers as all_providers
from archipec.language import N_, _, pgettext
from archipec.terminal import json_line

_COLUMNS = (N_("name"), N_("provider"), "IMAP", "POP3", N_("login"), N_("basis"))
_FOLDERS = {
    "sent": N_("sent", "folder"),
    "drafts": N_("drafts", "folder"),
    "trash": N_("trash", "folder"),
    "junk": N_("junk", "folder"),
    "prefix": N_("prefix", "folder"),
    "separator": N_("separator", "folder"),
}


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a provider.")
def providers(names: tuple[str, ...], *, as_json: bool) -> None:
    """List what is known of the PEC providers: servers, logins, folders. Contacts no server.

    \b
      archipec providers
      archipec providers aruba

    In archipec.toml, provider = "aruba" fills host and port of a source. What is listed are hints: "tried" by
    others with real mailboxes, "stated" by the provider or in a directory.
    """
    chosen = [find(name) for name in names] or list(all_providers().values())
    if as_json:
        for provider in chosen:
            click.echo(json_line(provider.as_json()))
    elif names:
        click.echo("\n\n".join(map(_text, chosen)))
    elif sys.stdout.isatty():
        _print_table(chosen)
    else:
        for provider in chosen:
            click.echo("\t".join(_cells(provider)))


def _cells(provider: MailProvider) -> list[str]:
    servers = (provider.server("imap"), provider.server("pop3"))
    return [
        provider.name,
        provider.title,
        *("-" if server is None else str(server) for server in servers),
        provider.login_form,
        provider.basis,
    ]


def _text(provider: MailProvider) -> str:
    lines = [f"{provider.name}: {provider.title} ({provider.basis})"]
    for name, servers in (("IMAP", provider.imap), ("POP3", provider.pop3), ("SMTP", provider.smtp)):
        if servers:
            lines.append(_row(name, ", ".join(map(str, servers))))
    lines.append(_row(_("login"), provider.login_form))
    if provider.domains:
        lines.append(_row(_("domains"), ", ".join(provider.domains)))
    lines += [
        _row(pgettext("folder", _FOLDERS.get(use, use)), name) for use, name in provider.folders.items()
    ]
    lines.append(_row(_("refused?"), provider.refused))
    lines += [_row(_("note"), note) for note in provider.notes]
    return "\n".join(lines)


def _row(label: str, text: str) -> str:
    return f"  {label:<8} {text}"


def _print_table(chosen: list[MailProvider]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*map(_, _COLUMNS))
    for provider in chosen:
        table.add_row(*map(Text, _cells(provider)))
    Console().print(table)
