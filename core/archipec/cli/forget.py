"""``archipec forget``: ends pipelines, mailboxes and archives in the ledger that are no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import click

from archipec.cli import Settings
from archipec.cli.pipelines import load_registry
from archipec.config.pipeline import endpoint, load
from archipec.config.url import is_url
from archipec.custody.forgetting import Forgetting, plan_to_forget
from archipec.custody.forgetting import forget as run_forget
from archipec.custody.ledger import Ledger
from archipec.errors import ConfigError, counted
from archipec.index.database import IndexFile, index_path
from archipec.language import _
from archipec.message import ContentKey
from archipec.plugins.registry import Registry
from archipec.terminal import json_line, printable


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="PIPELINE|URL...")
@click.option(
    "--keep-archives", is_flag=True, help="Forget runs and mailboxes alone: archives stay searchable."
)
@click.option("--yes", is_flag=True, help="Forget. Without it nothing is: you see what would be.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def forget(
    settings: Settings, names: tuple[str, ...], *, keep_archives: bool, yes: bool, as_json: bool
) -> None:
    """End what is no more in `status`: a pipeline, a mailbox, an archive. No mailbox and no archive is touched.

    \b
      archipec forget ad-hoc
      archipec forget studio --yes
      archipec forget maildir:/media/old-disk/PEC

    A name means what is recorded of that pipeline and is not in the configuration: after a mailbox moved, its old address. Its
    mailbox is forgotten, and so are the archives that nothing else stores into: what they hold is searched no more. Refused is
    what would lose the only record of an outbox, of a deposit that is not confirmed or of a deletion that is not over.
    """
    registry = load_registry()
    configured = load(settings.config, registry) if settings.config.exists() else ()
    with Ledger(settings.state / "ledger.sqlite3") as ledger:
        planned = partial(
            plan_to_forget,
            ledger,
            settings.state,
            [_address(name, registry, ledger) for name in names],
            configured,
            keep_archives=keep_archives,
        )
        plan = planned()
        if yes:
            _forget(plan, ledger, settings.state, planned)
    if as_json:
        click.echo(json_line({**plan.as_json(), "forgotten": yes}))
        return
    for line in _lines(plan):
        click.echo(printable(line))
    click.echo(_("forgotten") if yes else _("run again with --yes to forget it"), err=True)


def _address(name: str, registry: Registry, ledger: Ledger) -> str:
    """Return a URL as the ledger has it, and a name as it is.

    Raises:
        ConfigError: it is a URL with a mistake, and no address that is known. What it says repeats no password.
    """
    if not is_url(name):
        return name
    mistakes: list[ConfigError] = []
    for kind in ("source", "sink"):
        try:
            return str(endpoint(kind, name, registry).where)
        except ConfigError as error:
            mistakes.append(error)
    # Of a plugin that is no more.
    known = {*ledger.forgets.sink_places(), *(source for _name, source in ledger.forgets.tried())}
    if name in known | set(map(unquote, known)):
        return name
    raise mistakes[0]


def _forget(plan: Forgetting, ledger: Ledger, state: Path, again: Callable[[], Forgetting]) -> None:
    path = index_path(state)
    if not path.exists():
        run_forget(plan, ledger, state, again, lambda _archives, _pages: None)
        return
    with IndexFile(path) as index:

        def unindex(archives: Sequence[int], pages: Iterable[Iterable[ContentKey]]) -> None:
            # First: where this is cut off, the index does not take itself for complete.
            index.forget_progress(archives)
            for keys in pages:
                index.remove(keys)

        run_forget(plan, ledger, state, again, unindex)


def _lines(plan: Forgetting) -> Iterator[str]:
    for name, source in plan.pipelines:
        yield f"{name}: {source or _('source unknown')}"
    if plan.pipelines:
        yield "  " + _("{runs} in its history").format(runs=counted(plan.tries, "run"))
    if plan.sources:
        yield "  " + _("what is known of a mailbox of {messages}").format(
            messages=counted(plan.messages, "message")
        )
    for archive in plan.archives:
        yield "  " + _("the archive {archive} of {messages}: its files stay as they are").format(
            archive=archive.where, messages=counted(archive.messages, "message")
        )
    if plan.unsearched:
        yield "  " + _(
            "{messages} found by search no more, unless you search that archive by --to URL"
        ).format(messages=counted(plan.unsearched, "message"))
