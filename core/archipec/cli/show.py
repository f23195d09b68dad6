"""``archipec show``: what a stored message is, what it says, what it belongs to, and where it is held."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from archipec.cli import Settings, pager
from archipec.cli.archives import OpenArchives, open_given_archives
from archipec.cli.facts import facts_table
from archipec.cli.naming import named_messages, short_id
from archipec.cli.terminal import on_signals, size
from archipec.cli.transactions import as_json as transaction_as_json
from archipec.cli.transactions import as_text, messages_of
from archipec.cli.trusting import trust_options
from archipec.custody.receipts.query import check_short_receipts
from archipec.custody.run import Cancellation
from archipec.errors import ArchipecError
from archipec.index.database import IndexFile, index_path
from archipec.index.overview import MessageOverview, overview, recognised
from archipec.index.record import AttachedFile, IndexedMessage, Place, Role
from archipec.language import N_, _, pgettext
from archipec.message import ContentKey, Json
from archipec.pec.anchors import TrustFiles
from archipec.pec.transactions import Transaction
from archipec.terminal import json_line, printable, say_error

_ROME = ZoneInfo("Europe/Rome")
_SHOWN = (N_("From"), Role.FROM), (N_("To"), Role.TO), (N_("Cc"), Role.CC), (N_("Bcc"), Role.BCC)
_STATES = {
    "stored": N_("stored", "copy"),
    "pending": N_("pending", "copy"),
    "missing": N_("missing", "copy"),
    "altered": N_("altered", "copy"),
}
# What stands elsewhere in what is shown.
_ELSEWHERE = frozenset({"kind", "system", "oggetto", "header", "message_id", "original", "in_reply_to"})


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option(
    "--to", "urls", multiple=True, metavar="URL", help="Look in this archive, also one without its ledger."
)
@click.option("--source", "as_source", is_flag=True, help="Print the message as it is stored, byte for byte.")
@trust_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a message.")
@click.pass_obj
def show(
    settings: Settings,
    ids: tuple[str, ...],
    urls: tuple[str, ...],
    trust: TrustFiles,
    *,
    as_source: bool,
    as_json: bool,
) -> None:
    """Show a stored message: its text and attachments, its seal and why, its receipts, and the archives that hold it.

    \b
      archipec show 3fa9c1d2
      archipec show '<20260915.1234@studio.example>'
      archipec show 3fa9c1d2 --source > message.eml
      archipec show 3fa9c1d2 --to maildir:/media/disk/PEC

    ID is what `search` and `receipts` print: the beginning of a SHA-256, a Message-ID or an identificativo. Where
    several messages share one, what was sent is shown with all that belongs to it.
    """
    stop = Cancellation()
    with ExitStack() as held:
        held.enter_context(on_signals(stop))
        opened = held.enter_context(open_given_archives(settings, urls, stop, trust))
        found = [named_messages(opened, name) for name in ids]
        if as_source:
            for key in dict.fromkeys(key for keys in found for key in keys):
                _print_source(opened.reader.read(key))
            return
        index = _index(settings, held) if opened.known else None

        def look(key: ContentKey) -> MessageOverview:
            one = overview(key, opened.ledger, opened.sinks, opened.reader, index, datetime.now(UTC))
            if one.transaction is None:
                return one
            return replace(
                one, transaction=check_short_receipts(one.transaction, opened.ledger, opened.reader)
            )

        if as_json:
            for key in dict.fromkeys(key for keys in found for key in keys):
                click.echo(json_line(_as_json(look(key), opened)))
        else:
            pager.show(text for keys in found for text in _texts([*map(look, keys)], opened))


def _index(settings: Settings, held: ExitStack) -> IndexFile | None:
    """Open the index, for what is known of attachments; without one the message itself is read."""
    path = index_path(settings.state)
    if not path.exists():
        return None
    try:
        return held.enter_context(IndexFile(path))
    except ArchipecError as error:
        say_error(error)
        return None


def _print_source(raw: bytes) -> None:
    if sys.stdout.isatty():
        # What it may do to a terminal is not wanted; into a file or a pipe it goes as it is.
        pager.show(printable(line) for line in raw.decode("utf-8", "replace").splitlines())
        return
    sys.stdout.buffer.write(raw)
    sys.stdout.buffer.flush()


# -- what is shown ---------------------------------------------------------------------------------------


def _texts(found: Sequence[MessageOverview], opened: OpenArchives) -> Iterator[str]:
    """Several messages of one name: their transaction, if they have one, with the id of each."""
    if len(found) == 1 or found[0].transaction is None:
        for one in found:
            yield _as_text(one, opened)
        return
    yield _transaction(found[0].transaction, opened)


def _as_text(one: MessageOverview, opened: OpenArchives) -> str:
    blocks = [_heading(one), _body(one.content), _attachments(one), _facts(one)]
    if one.transaction is not None:
        blocks.append(_transaction(one.transaction, opened))
    blocks.append(_held(one, opened))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _heading(one: MessageOverview) -> str:
    content = one.content
    date = content.certified or content.dated
    lines = [
        click.style(printable(content.subject) or _("(no subject)"), bold=True),
        f"{_('Date'):<15}{_moment(date) if date else _('unknown')}",
        f"{_('Kind'):<15}{printable(content.kind)}"
        + (f" ({content.system.upper()})" if content.system else ""),
    ]
    for label, role in _SHOWN:
        for party in content.parties:
            if party.role is role:
                name = f"{party.name} " if party.name else ""
                lines.append(f"{_(label):<15}{printable(f'{name}<{party.address}>')}")
    lines.append(f"{'SHA-256':<15}{one.key.sha256}")
    lines.append(f"{_('Size'):<15}{size(one.key.size)}")
    if content.message_id:
        lines.append(f"{'Message-ID':<15}{printable(content.message_id)}")
    lines += [f"{_('Folder'):<15}{printable(folder)}" for _source, folder in one.seen]
    return "\n".join(dict.fromkeys(lines))


def _body(content: IndexedMessage) -> str:
    texts = [one.text for one in content.texts if one.place is Place.INNER]
    texts = texts or [one.text for one in content.texts if one.place is Place.ENVELOPE]
    lines = [printable(line) for text in texts for line in (*text.splitlines(), "")]
    lines += [_("note: {problem}").format(problem=printable(problem)) for problem in content.problems]
    return "\n".join(lines).strip("\n")


def _attachments(one: MessageOverview) -> str:
    files = one.content.attachments
    if not files:
        return ""
    lines = [_title(_("Attachments"))]
    for number, file in enumerate(files):
        lines.append(
            f"  {printable(file.path) or _('(unnamed)')}  {size(file.size)}  {printable(file.media_type)}"
        )
        lines += [
            "    " + _("signed by {signer}").format(signer=printable(signer)) for signer in file.signers
        ]
        lines += [f"    {printable(text)}" for text in recognised(one.content, number)]
        if file.problem and one.complete:
            lines.append(f"    {printable(file.problem)}")
    return "\n".join(lines)


def _facts(one: MessageOverview) -> str:
    shape = {name: value for name, value in one.facts.items() if name not in _ELSEWHERE}
    note = "" if one.judged else "\n  " + _("(not judged yet: by the roots of PEC alone)")
    return f"{_title(_('Certification and seal'))}{note}\n" + _indented(facts_table(shape))


def _transaction(transaction: Transaction, opened: OpenArchives) -> str:
    lines = [_title(_("Sent, and what became of it") if transaction.direction == "out" else _("Received"))]
    lines.append(_indented(as_text(transaction)))
    for record in messages_of(transaction):
        date = (
            f"{record.date.astimezone(_ROME):%Y-%m-%d %H:%M}" if record.date else f"{_('date unknown'):<16}"
        )
        about = f"  {printable(record.about[0])}" if len(record.about) == 1 else ""
        lines.append(
            f"  {click.style(short_id(opened, record.key), fg='yellow')}  {date}  {printable(record.kind)}{about}"
        )
    return "\n".join(lines)


def _held(one: MessageOverview, opened: OpenArchives) -> str:
    lines = [_title(_("Held in"))]
    for copy in one.copies:
        if not opened.known:
            # Its own record does not say when.
            lines.append(f"  {printable(copy.where)}")
            continue
        verified = (
            _("verified {date}").format(date=_moment(copy.verified))
            if copy.verified
            else _("not verified yet")
        )
        stored = f"{pgettext('copy', _STATES[copy.state])} {_moment(copy.stored)}, " if copy.stored else ""
        lines.append(f"  {printable(copy.where)}\n    {stored}{verified}")
    return "\n".join(lines)


def _title(text: str) -> str:
    return click.style(text, underline=True)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, _ROME):%Y-%m-%d %H:%M}"


def _as_json(one: MessageOverview, opened: OpenArchives) -> dict[str, Json]:
    content = one.content
    date = content.certified or content.dated
    return {
        "sha256": one.key.sha256,
        "id": short_id(opened, one.key),
        "size": one.key.size,
        "date": datetime.fromtimestamp(date, _ROME).isoformat() if date else None,
        "kind": content.kind,
        "system": content.system or None,
        "subject": content.subject,
        "parties": [
            {"role": str(who.role), "address": who.address, "name": who.name} for who in content.parties
        ],
        "message_id": content.message_id or None,
        "seen": [{"source": source, "folder": folder} for source, folder in one.seen],
        "text": "\n".join(text.text for text in content.texts if text.place is Place.INNER),
        "envelope_text": "\n".join(text.text for text in content.texts if text.place is Place.ENVELOPE),
        "attachments": [_file_as_json(file, one) for file in content.attachments],
        "invoices": [_fields(invoice) for invoice in content.invoices],
        "sdi_messages": [_fields(notice) for notice in content.sdi_messages],
        "filings": [_fields(filing) for filing in content.filings],
        "certification": one.facts,
        "judged": one.judged,
        "transaction": None if one.transaction is None else transaction_as_json(one.transaction),
        "archives": [
            {
                "where": copy.where,
                "state": copy.state,
                "stored": _iso(copy.stored),
                "verified": _iso(copy.verified),
            }
            for copy in one.copies
        ],
    }


def _file_as_json(file: AttachedFile, one: MessageOverview) -> dict[str, Json]:
    return {
        "path": file.path,
        "type": file.media_type,
        "size": file.size,
        "signers": list(file.signers),
        "problem": (file.problem if one.complete else "") or None,
    }


def _fields(record: Any) -> dict[str, Json]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


def _iso(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, _ROME).isoformat()
