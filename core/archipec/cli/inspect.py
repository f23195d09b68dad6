"""``archipec inspect``: what a message file is, whether its seal is valid, and what is in it."""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from archipec.cli.facts import facts_table
from archipec.cli.trusting import trust_options
from archipec.errors import (
    ATTENTION,
    DONE,
    ArchipecError,
    IntegrityError,
    PermanentError,
    exit_code,
    from_os_error,
)
from archipec.language import _
from archipec.message import Json
from archipec.paths import safe_name
from archipec.pec.anchors import Anchors, TrustFiles
from archipec.pec.extract import extract
from archipec.pec.inspection import Inspection, describe, judge_dissected
from archipec.pec.recognise import why_no_message
from archipec.pec.seal import Status
from archipec.pec.structure import parse_structure
from archipec.terminal import printable, say_error

_STDIN = "-"
_FIRST = 1 << 20
_MOST = 512 << 20  # bytes of a message; providers take 100 MB


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@trust_options
@click.option(
    "--extract",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the original message, its attachments and daticert.xml to DIR; nothing there is replaced.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a file.")
def inspect(files: tuple[str, ...], trust: TrustFiles, directory: Path | None, *, as_json: bool) -> int:
    """Say what a PEC message is: kind, certification data, seal, and why when the seal is not valid.

    \b
      archipec inspect message.eml
      archipec inspect *.eml --json
      archipec inspect receipt.eml --extract out
    FILE is one message as it was received (.eml); - reads it from stdin. Anything else is refused with exit code 4.

    Exit code 0: every seal is valid, or it is ordinary mail. 7: a seal shows that the message was altered.
    3: a seal is missing, can't be read, does not cover the whole message, or nothing proves that a provider made it.
    """
    anchors = trust.load()
    codes = []
    for number, file in enumerate(files):
        try:
            raw = _read(file)
            if number and not as_json:
                click.echo()
            folder = directory
            if directory is not None and len(files) > 1:
                folder = directory / safe_name(Path(file).stem if file != _STDIN else "stdin")
            codes.append(_inspect(file, raw, anchors, folder, as_json=as_json))
        except ArchipecError as error:
            say_error(error)
            codes.append(error.exit_code)
    return exit_code(codes)


def _hint(reason: str, file: str) -> str:
    for what in ("mbox", "zip"):
        if what in reason:
            return _(
                "inspect reads one message; archive them first, then judge and list what it holds: "
                "archipec archive --from {what}:{file} --to maildir:DIR"
            ).format(what=what, file=file)
    if "certificate" in reason:
        return _("inspect reads one message; a certificate to trust is given with --trust {file}").format(
            file=file
        )
    return _("inspect reads one message as it was received, saved as .eml")


def _read(file: str) -> bytes:
    """Read a message.

    Raises:
        PermanentError: the file is something else, or larger than any mail.
        ArchipecError: it can't be read.
    """
    try:
        with Path(file).open("rb") if file != _STDIN else nullcontext(sys.stdin.buffer) as source:
            raw = source.read(_FIRST)
            reason = why_no_message(raw)
            if reason is None:
                raw += source.read(_MOST - len(raw) + 1)
    except OSError as error:
        raise from_os_error(error, file) from error
    if reason is not None:
        raise PermanentError(
            _("{file} is not a message: {reason}").format(file=file, reason=reason), hint=_hint(reason, file)
        )
    if len(raw) > _MOST:
        raise PermanentError(
            _("{file} has more than {most} bytes, more than any mail").format(file=file, most=_MOST),
            hint=_hint("", file),
        )
    return raw


def _inspect(file: str, raw: bytes, anchors: Anchors, directory: Path | None, *, as_json: bool) -> int:
    structure = parse_structure(raw)
    judgement = judge_dissected(raw, structure, anchors)
    shape = _shape(file, raw, judgement)
    click.echo(json.dumps(shape) if as_json else facts_table(shape))
    codes = [_code(judgement)]
    if directory is not None:
        for outcome in extract(structure, directory):
            if isinstance(outcome, ArchipecError):
                say_error(outcome)
                codes.append(ATTENTION)
            else:
                click.echo(_("wrote {file}").format(file=printable(str(outcome))), err=True)
    return exit_code(codes)


def _code(judgement: Inspection) -> int:
    status = judgement.seal.status
    if status is Status.ALTERED:
        return IntegrityError.exit_code
    if status is Status.VALID:
        return ATTENTION if judgement.outside else DONE
    return ATTENTION if judgement.claims_certification else DONE


def _shape(file: str, raw: bytes, judgement: Inspection) -> dict[str, Json]:
    """The object that ``--json`` prints."""
    return {
        "file": file,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "size": len(raw),
        **describe(judgement),
    }
