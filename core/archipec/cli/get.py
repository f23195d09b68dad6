"""``archipec get``: writes stored messages, byte for byte, into files or another archive; or what is attached to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from archipec.cli import Settings
from archipec.cli.archives import OpenArchives, open_given_archives
from archipec.cli.documents import messages_pdf, write_pdf
from archipec.cli.naming import all_named, short_id
from archipec.cli.terminal import on_signals
from archipec.config.url import is_url
from archipec.custody.run import Cancellation
from archipec.errors import (
    ATTENTION,
    DONE,
    ArchipecError,
    IntegrityError,
    Interrupted,
    Scope,
    exit_code,
    from_os_error,
)
from archipec.index.header import message_stem
from archipec.language import _
from archipec.message import ContentKey, Json
from archipec.new_files import make_folder, write_new_file
from archipec.paths import safe_name
from archipec.pec.anchors import TrustFiles
from archipec.pec.extract import extract_attachments
from archipec.pec.mime import Part, entity
from archipec.pec.structure import parse_structure
from archipec.terminal import json_line, printable, say_error


class _Written(NamedTuple):
    """A file: of which message, where, and the SHA-256 that it has on the disk."""

    key: ContentKey
    path: Path
    sha256: str


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option(
    "--to",
    "target",
    default=".",
    metavar="DIR|URL",
    help="Folder for the files (default: this one), or the URL of any archive or mailbox.",
)
@click.option(
    "--from",
    "urls",
    multiple=True,
    metavar="URL",
    help="Read from this archive, also one without its ledger.",
)
@click.option("--attachments", is_flag=True, help="Write what is attached, not the message.")
@click.option(
    "--inner", is_flag=True, help="Write the original inside the envelope or receipt: it bears no seal."
)
@click.option(
    "--pdf",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write one PDF (PDF/A-3) of the messages, with an index, what is known of each, and the messages themselves inside.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a file.")
@click.pass_obj
def get(
    settings: Settings,
    ids: tuple[str, ...],
    target: str,
    urls: tuple[str, ...],
    pdf: Path | None,
    *,
    attachments: bool,
    inner: bool,
    as_json: bool,
) -> int:
    """Get messages out: the exact bytes that were received, proven by their SHA-256; or their attachments.

    \b
      archipec get 3fa9c1d2
      archipec get 3fa9c1d2 --attachments --to Documents
      archipec get '<20260915.1234@studio.example>' --inner
      archipec get 3fa9c1d2 77d0aa31 --to imaps://me@pec.example.it@imaps.example.it/Ripristinati
      archipec get 3fa9c1d2 --from maildir:/media/disk/PEC
      archipec get 3fa9c1d2 --pdf messaggio.pdf

    ID is what `search` and `receipts` print: the beginning of a SHA-256, a Message-ID or an identificativo, which
    names all messages of a sending. Nothing that is there is replaced; names of attachments are made safe. A PDF is
    in Italian, unless --lang is given; it needs the extra archipec[report].

    Exit code 3: something could not be taken out of a message.
    """
    to_archive = is_url(target)
    if to_archive and (attachments or inner):
        raise click.UsageError(_("--attachments and --inner write files: give a folder with --to"))
    if attachments and inner:
        raise click.UsageError(_("--attachments takes them out of the original already: leave out --inner"))
    if pdf is not None and (attachments or inner or target != "."):
        raise click.UsageError(_("--pdf writes one file: leave out --to, --attachments and --inner"))
    stop = Cancellation()
    codes = [DONE]
    with on_signals(stop), open_given_archives(settings, urls, stop, TrustFiles()) as opened:
        keys = all_named(opened, ids)
        if pdf is not None:
            write_pdf(messages_pdf(settings, opened, keys, together=len(ids) == 1), pdf, as_json=as_json)
            return DONE
        if to_archive:
            return _restore(settings, opened, keys, target, stop, as_json=as_json)
        folder = Path(target)
        for key in keys:
            if stop.is_set():
                break
            try:
                raw = opened.reader.read(key)
            except ArchipecError as error:
                if error.scope > Scope.MESSAGE:
                    raise
                say_error(error)
                codes.append(error.exit_code)
                continue
            if attachments:
                own = (
                    folder / safe_name(message_stem(raw, short_id(opened, key))) if len(keys) > 1 else folder
                )
                outcomes = _attachments(key, raw, own)
            elif inner:
                outcomes = _inner(key, raw, folder, opened)
            else:
                outcomes = iter((_write(key, raw, folder, opened),))
            codes += _say(outcomes, key, as_json=as_json)
    return exit_code([*codes, Interrupted.exit_code if stop.is_set() else DONE])


def _restore(
    settings: Settings,
    opened: OpenArchives,
    keys: Sequence[ContentKey],
    url: str,
    stop: Cancellation,
    *,
    as_json: bool,
) -> int:
    """Put messages into another archive or mailbox."""
    # Slow to import, and not asked for by most.
    from archipec.cli.pipelines import sinks_at
    from archipec.custody.ledger import Content, Ledger
    from archipec.custody.restoring import StoredMessage, restore
    from archipec.custody.run import Run

    (sink,) = sinks_at([url])
    holdings = opened.ledger.holdings

    def stored(key: ContentKey) -> StoredMessage:
        content = holdings.content(key) or Content(key, "", 0, "")
        folder, flags, received = holdings.occurrence(key) or ("INBOX", (), None)
        return StoredMessage(content, folder, flags, received)

    with Ledger(settings.state / "ledger.sqlite3") as ledger:
        outcomes = restore(sink, map(stored, keys), opened.reader.read, Run(ledger, settings.state, stop))
    for one in outcomes:
        if as_json:
            shape: dict[str, Json] = {
                "sha256": one.key.sha256,
                "where": sink.where,
                "outcome": one.outcome,
                "reason": one.reason,
            }
            click.echo(json_line(shape))
        else:
            reason = f": {one.reason}" if one.reason else ""
            click.echo(printable(f"{one.key.sha256}  {sink.where}  {one.outcome}{reason}"))
    return ATTENTION if any(one.outcome == "rejected" for one in outcomes) else DONE


def _say(outcomes: Iterator[_Written | ArchipecError], key: ContentKey, *, as_json: bool) -> Iterator[int]:
    """Print each file as it is written; yield the exit codes of what failed."""
    written = False
    for one in outcomes:
        written = True
        if isinstance(one, ArchipecError):
            say_error(one)
            yield ATTENTION
        elif as_json:
            shape: dict[str, Json] = {"message": key.sha256, "file": str(one.path), "sha256": one.sha256}
            click.echo(json_line(shape))
        else:
            click.echo(f"{one.sha256}  {printable(str(one.path))}")
    if not written:
        click.echo(_("{message} has no attachments").format(message=key.sha256[:8]), err=True)


def _write(key: ContentKey, raw: bytes, folder: Path, opened: OpenArchives) -> _Written:
    """Write a message.

    Raises:
        IntegrityError: the disk does not give back what was written.
        ArchipecError: it can't be written.
    """
    make_folder(folder)
    path = write_new_file(
        folder, safe_name(f"{message_stem(raw, short_id(opened, key))}.eml"), raw, keep_equal=True
    )
    return _proven(key, path, key)


def _proven(key: ContentKey, path: Path, expected: ContentKey | None) -> _Written:
    """Read a file back."""
    try:
        found = ContentKey.of(path.read_bytes())
    except OSError as error:
        raise from_os_error(error, path) from error
    if expected is not None and found != expected:
        raise IntegrityError(
            _("{path} does not have the bytes that were written").format(path=path),
            hint=_("is the disk in order?"),
        )
    return _Written(key, path, found.sha256)


def _inner(
    key: ContentKey, raw: bytes, folder: Path, opened: OpenArchives
) -> Iterator[_Written | ArchipecError]:
    part = parse_structure(raw).postacert
    if part is None:
        yield IntegrityError(_("{key} has no original inside").format(key=key))
        return
    try:
        content = part.content()
    except IntegrityError as error:
        yield IntegrityError(_("the original inside {key}: {reason}").format(key=key, reason=error.message))
        return
    make_folder(folder)
    name = safe_name(f"{message_stem(raw, short_id(opened, key))}-originale.eml")
    path = write_new_file(folder, name, content, keep_equal=True)
    yield _proven(key, path, ContentKey.of(content))


def _attachments(key: ContentKey, raw: bytes, folder: Path) -> Iterator[_Written | ArchipecError]:
    """Write what is attached to the original inside, or to a message that has none."""
    inside = parse_structure(raw).postacert
    try:
        message: Part = entity(raw) if inside is None else entity(inside.content())
    except IntegrityError as error:
        yield IntegrityError(_("the original inside {key}: {reason}").format(key=key, reason=error.message))
        return
    for one in extract_attachments(message, folder):
        yield one if isinstance(one, ArchipecError) else _proven(key, one, None)
