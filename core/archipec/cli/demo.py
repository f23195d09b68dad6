"""``archipec demo``: the whole chain on made-up mail, no account needed."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from archipec.cli.facts import seals_text
from archipec.cli.indexing import indexing
from archipec.cli.terminal import count, size
from archipec.config.pipeline import Pipeline, load
from archipec.custody.archiving.run import archive
from archipec.custody.attempts import AttemptSubject, places_of, record_attempt
from archipec.custody.ledger import Ledger
from archipec.custody.run import Cancellation, Run
from archipec.custody.verify import verify
from archipec.durability import write_file
from archipec.errors import PermanentError, counted, exit_code, from_os_error
from archipec.language import _, written
from archipec.plugins.registry import Registry
from archipec.terminal import command_line

_MESSAGES = 60
_ROOTS = "test-provider-roots.pem"
_CONFIGURATION = f"""\
[[pipeline]]
name = "demo"
trust = ["{_ROOTS}"]
[pipeline.source]
type = "eml"
path = "mailbox"
[[pipeline.sink]]
type = "maildir"
path = "archive-maildir"
[[pipeline.sink]]
type = "mbox"
path = "archive-mbox"
"""


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
def demo(directory: Path | None) -> int:
    """Make a sample mailbox of sealed messages, archive it to DIR, verify it, show what it holds.

    \b
      archipec demo
      archipec demo /tmp/pec-demo

    The messages, of PEC and of REM, are sealed by test providers: they show how things work and prove nothing.
    """
    root = _empty(directory or Path(tempfile.mkdtemp(prefix="archipec-demo-")))
    samples = _sample_mailbox(root / "mailbox")
    trust, config, state = root / _ROOTS, root / "archipec.toml", root / "state"
    trust.write_bytes(_roots_of_the_test_providers())
    about = _("# What `archipec demo` made. Paths begin at this file's folder.")
    config.write_text(f"{about}\n{_CONFIGURATION}", encoding="utf-8")
    made = _("{messages} in {folder}").format(
        messages=counted(samples, "sealed message"), folder=root / "mailbox"
    )
    _say(_("made"), made)
    (pipeline,) = load(config, Registry.load())
    subject = AttemptSubject(pipeline.name, pipeline.source.where, places_of(pipeline.sinks))
    state.mkdir(mode=0o700)
    with Ledger(state / "ledger.sqlite3") as ledger:
        run: Run[Any] = Run(ledger, state, Cancellation())
        with indexing(pipeline, run) as analyses:
            archived = partial(archive, pipeline, run, analyses=analyses)
            first = record_attempt(ledger, state, subject, "archive", archived)
        stored = _("{messages} ({size}) in a Maildir and an MBOX archive in {seconds} s").format(
            messages=counted(first.stored, "message"),
            size=size(first.size),
            seconds=written(first.seconds, 2),
        )
        _say(_("stored"), stored)
        for kind, number in sorted(first.kinds.items()):
            _say("", f"{number:>4}  {kind}")
        _say(_("seals"), seals_text(first.seals))
        second = record_attempt(ledger, state, subject, "archive", partial(archive, pipeline, run))
        _say(_("again"), _("{number} stored: nothing is kept twice").format(number=count(second.stored)))
        checked = record_attempt(ledger, state, subject, "verify", partial(verify, pipeline, run))
        identical = _("{ok} of {copies} read back identical").format(
            ok=count(checked.ok), copies=counted(checked.checked, "copy")
        )
        _say(_("verified"), identical)
        if page := _write_report(pipeline, ledger, root):
            _say(_("report"), page)
    click.echo("\n" + _("look at it: {root}").format(root=root))
    ours = ("--config", str(config), "--state", str(state))
    click.echo(f"  {command_line('archipec', *ours, 'status')}")
    click.echo(f"  {command_line('archipec', *ours, 'search', 'pratica')}")
    if find_spec("starlette") is not None:
        click.echo(f"  {command_line('archipec', *ours, 'view')}")
    url = _url("maildir", root / "archive-maildir")
    click.echo(f"  {command_line('archipec', 'verify', '--trust', str(trust), '--to', url)}")
    for error in (*first.errors, *second.errors, *checked.errors):
        raise error
    return exit_code([first.exit_code, second.exit_code, checked.exit_code])


def _write_report(pipeline: Pipeline, ledger: Ledger, root: Path) -> str:
    """Write what `archipec report` writes; return where a browser finds it, empty where what writes pages is not installed."""
    from importlib.util import find_spec

    from archipec.custody.status import statuses
    from archipec.report.facts import pipeline_facts
    from archipec.report.formats import compose

    if find_spec("jinja2") is None:
        return ""
    now = datetime.now(UTC)
    (status,) = statuses(ledger, root / "state", [pipeline], int(now.timestamp()))
    page = root / "report.html"
    write_file(page, compose("html", [pipeline_facts(ledger, status, now, None, pipeline)], now))
    return page.as_uri()


def _say(label: str, text: str) -> None:
    click.echo(f"{label:<9}{text}")


def _roots_of_the_test_providers() -> bytes:
    from archipec.simulator import shared_authority, shared_stamps, to_pem

    return f"{shared_authority().root_pem}{to_pem(shared_stamps().root)}".encode()


def _url(scheme: str, path: Path) -> str:
    from urllib.parse import quote

    return f"{scheme}:{quote(str(path))}"


def _empty(root: Path) -> Path:
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(root.iterdir()):
            raise PermanentError(
                _("{root} is not empty").format(root=root), hint=_("give the demo a folder of its own")
            )
    except OSError as error:
        raise from_os_error(error, root) from error
    return root.absolute()


def _sample_mailbox(folder: Path) -> int:
    from archipec.simulator import MIXED, mailbox

    number = 0
    for number, sample in enumerate(mailbox(_MESSAGES, seed=1, size=6000, mix=MIXED), start=1):
        place = folder / sample.folder
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        (place / f"{number:04d}.eml").write_bytes(sample.raw)
    return number
