"""``archipec search``: finds messages by their words and facts."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from heapq import merge
from itertools import chain, islice
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from archipec.cli import Settings
from archipec.cli.archives import archives_of_pipelines
from archipec.cli.filters import message_filters, refuse_what_needs_a_ledger
from archipec.cli.pager import show
from archipec.config.url import is_url
from archipec.errors import ConfigError, counted
from archipec.index.facts import seal_word
from archipec.index.finding import snippet_pieces
from archipec.index.search import (
    DIRECTIONS,
    Found,
    SearchRequest,
    behind_ledger,
    message_request,
    open_index_and_ledger,
    search_ledger,
)
from archipec.language import _
from archipec.message import ContentKey, Json
from archipec.terminal import json_line, printable

_ROME = ZoneInfo("Europe/Rome")
_NARROWEST, _WIDEST = 60, 120


class _Words(click.Command):
    """Takes ``-word`` for a word, which is to be left out, and not for options of one letter."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        words = [f" {one}" if re.match(r"-[^-]", one) and one != "-h" else one for one in args[:end]]
        return super().parse_args(ctx, words + args[end:])


@click.command(cls=_Words)
@click.argument("words", nargs=-1, metavar="[WORDS]...")
@message_filters
@click.option(
    "--from", "senders", multiple=True, metavar="ADDRESS", help="Sent by: an address, a name, or a part."
)
@click.option(
    "--to",
    "recipients",
    multiple=True,
    metavar="ADDRESS|URL",
    help="Sent to. A URL (maildir:DIR) is an archive to search, also one without its ledger.",
)
@click.option("--party", "parties", multiple=True, metavar="ADDRESS", help="Sent by or to.")
@click.option("--since", metavar="DATE", help="First day: 2024-03-31, 2024-03, 2024 or an age: 30d, 6m, 1y.")
@click.option("--until", metavar="DATE", help="Last day.")
@click.option(
    "--in", "pipelines", multiple=True, metavar="PIPELINE", help="Only what this pipeline's archives hold."
)
@click.option("--direction", type=click.Choice(DIRECTIONS), help="Received, or sent with its receipts.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show only the first N.")
@click.option("--rank", "by_rank", is_flag=True, help="The best first, not the newest.")
@click.option(
    "--pdf",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write one PDF (PDF/A-3) of what is found, with an index and the messages themselves inside.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a message.")
@click.pass_obj
def search(
    settings: Settings,
    words: tuple[str, ...],
    kinds: tuple[str, ...],
    senders: tuple[str, ...],
    recipients: tuple[str, ...],
    parties: tuple[str, ...],
    since: str | None,
    until: str | None,
    seals: tuple[str, ...],
    folders: tuple[str, ...],
    pipelines: tuple[str, ...],
    attachment: str,
    has: tuple[str, ...],
    direction: str | None,
    limit: int | None,
    pdf: Path | None,
    *,
    by_rank: bool,
    as_json: bool,
) -> None:
    """Find messages by words in their texts, attachments, names and addresses; the newest first.

    \b
      archipec search ricorso comun* -sollecito
      archipec search '"accesso agli atti" OR dell'"'"'art.' --since 2025
      archipec search --from comune.example.it --has attachment --kind buste
      archipec search fattura --to maildir:/media/disk/PEC
      archipec search --party comune.example.it --since 2025 --pdf fascicolo.pdf

    All words must occur, in any place of a message; case and accents count for nothing. A phrase stands in double quotes,
    which the shell has to be kept from taking away. AND, OR, NOT are written in capitals; -word leaves out.
    """
    urls = [one for one in recipients if is_url(one)]
    filters = {"kinds": kinds, "seals": seals, "folders": folders, "attachment": attachment, "has": has}
    request = replace(
        message_request(filters, since=since, until=until),
        words=" ".join(words),
        senders=senders,
        recipients=tuple(one for one in recipients if one not in urls),
        parties=parties,
        direction=direction or "",
    )
    with ExitStack() as held:
        if urls:
            refuse_what_needs_a_ledger(request, pipelines)
            found: Iterable[Found] = _in_archives(settings, urls, request, held, by_rank=by_rank)
            behind = 0
        else:
            index, ledger = held.enter_context(open_index_and_ledger(settings.state))
            if pipelines:
                request = replace(request, archives=archives_of_pipelines(pipelines, ledger))
            found = search_ledger(index, ledger, request, by_rank=by_rank)
            behind = behind_ledger(index, ledger)
        keys: list[ContentKey] = []
        if pdf is not None:
            keys = [one.hit.key for one in islice(found, limit)]
        elif not _show(islice(found, limit), as_json=as_json) and not as_json:
            click.echo(_("nothing found"), err=True)
        if behind:
            click.echo(
                _("warning: {messages} not in the index yet").format(
                    messages=counted(behind, "archived message")
                ),
                err=True,
            )
            click.echo(_("hint: `archipec index` adds what is missing"), err=True)
    if pdf is not None:
        _write_pdf(settings, urls, keys, pdf, as_json=as_json)


def _in_archives(
    settings: Settings, urls: Sequence[str], request: SearchRequest, held: ExitStack, *, by_rank: bool
) -> Iterator[Found]:
    """Bring the index of each archive up to date, and search them all."""
    # Slow to import, and most searches are in the state folder.
    from archipec.cli.index import up_to_date_index
    from archipec.cli.pipelines import sinks_at
    from archipec.index.search import search_archive

    found = []
    for sink in sinks_at(urls):
        index = held.enter_context(up_to_date_index(settings, sink))
        found.append(search_archive(index, sink.where, request, by_rank=by_rank))
    return chain(*found) if by_rank else merge(*found, key=lambda one: -one.hit.date)


def _write_pdf(
    settings: Settings, urls: Sequence[str], keys: Sequence[ContentKey], path: Path, *, as_json: bool
) -> None:
    """Write the PDF of what is found.

    Raises:
        ConfigError: nothing is.
        ArchipecError: it can't be made or written.
    """
    # Slow to import, and seldom needed.
    from archipec.cli.archives import open_given_archives
    from archipec.cli.documents import messages_pdf, write_pdf
    from archipec.cli.terminal import on_signals
    from archipec.custody.run import Cancellation
    from archipec.pec.anchors import TrustFiles

    if not keys:
        raise ConfigError(_("nothing found, so there is no PDF to write"))
    stop = Cancellation()
    with on_signals(stop), open_given_archives(settings, urls, stop, TrustFiles()) as opened:
        write_pdf(messages_pdf(settings, opened, keys, together=False), path, as_json=as_json)


# -- what is shown ---------------------------------------------------------------------------------------


def _show(found: Iterable[Found], *, as_json: bool) -> int:
    """Print what is found, as it is found; return how much that was."""
    shown = 0

    def counted_in() -> Iterator[Found]:
        nonlocal shown
        for one in found:
            shown += 1
            yield one

    if as_json:
        for one in counted_in():
            click.echo(json_line(_as_json(one)))
    else:
        width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
        show(_as_text(one, width) for one in counted_in())
    return shown


def _as_json(one: Found) -> dict[str, Json]:
    hit = one.hit
    return {
        "sha256": hit.key.sha256,
        "id": one.id,
        "date": _moment(hit.date).isoformat() if hit.date else None,
        "kind": hit.kind,
        "system": hit.system or None,
        "direction": one.direction or None,
        "from": hit.sender,
        "to": list(hit.recipients),
        "subject": hit.subject,
        "snippet": " ".join("".join(text for text, _ in snippet_pieces(hit.snippet)).split()),
        "seal": one.seal or None,
        "archives": list(one.archives),
    }


def _as_text(one: Found, width: int) -> str:
    """Return some lines, none wider than that, as far as that can be known; nothing in them steers the terminal."""
    hit = one.hit
    date = f"{_moment(hit.date):%Y-%m-%d %H:%M}" if hit.date else f"{_('date unknown'):<16}"
    seal = "" if one.seal in ("valid", "") else "  " + _("seal: {seal}").format(seal=seal_word(one.seal))
    files = f"  {counted(hit.attachments, 'attachment')}" if hit.attachments else ""
    first = f"  {date}  {printable(hit.kind)}{seal}{files}"
    more = (
        " " + _("and {recipients} more").format(recipients=len(hit.recipients) - 1)
        if len(hit.recipients) > 1
        else ""
    )
    unknown = _("unknown")
    parties = f"{hit.sender or unknown} > {hit.recipients[0] if hit.recipients else unknown}{more}"
    lines = [
        click.style(one.id, fg="yellow") + _cut(first, width - len(one.id)),
        "  " + click.style(_cut(printable(hit.subject) or _("(no subject)"), width - 2), bold=True),
        "  " + _cut(printable(parties), width - 2),
    ]
    if hit.snippet:
        lines.append("  " + _snippet(hit.snippet, width - 2))
    lines += [
        click.style("  " + _cut(printable(_("in {where}").format(where=where)), width - 2), dim=True)
        for where in one.archives
    ]
    return "\n".join(lines) + "\n"


def _snippet(text: str, width: int) -> str:
    """Return a line of the text around what was found, which is emphasised; a long one is cut around the first place."""
    line, left = "", width
    for piece, is_found in snippet_pieces(text):
        shown = printable(" ".join(f"x{piece}x".split())[1:-1])
        if len(shown) > left:
            shown = _cut(shown, left)
        left -= len(shown)
        line += click.style(shown, bold=True, underline=True) if is_found and shown else shown
        if left <= 0:
            break
    return line


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def _moment(date: int) -> datetime:
    return datetime.fromtimestamp(date, _ROME)
