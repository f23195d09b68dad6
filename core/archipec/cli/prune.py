"""``archipec prune``: shows what may be deleted from a mailbox, and with ``--yes`` deletes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import click

from archipec.cli import Settings
from archipec.cli.pipelines import chosen, selection_options
from archipec.cli.running import as_json as with_outcome
from archipec.cli.running import run_each
from archipec.cli.terminal import count, on_signals, progress, size
from archipec.config.pipeline import Pipeline
from archipec.config.prune_policy import read_policy
from archipec.custody.ledger import Ledger
from archipec.custody.pruning.plan import Action, PlanEntry
from archipec.custody.pruning.report import PruneReport
from archipec.custody.pruning.rules import KeepReason
from archipec.custody.pruning.run import prune as run_prune
from archipec.custody.run import Cancellation, Run
from archipec.errors import counted, exit_code
from archipec.language import _
from archipec.terminal import printable, say_error

__all__ = ["prune", "show_run"]

_SHOWN = 10
_LOST = (
    KeepReason.MISSING,
    KeepReason.ALTERED,
    KeepReason.CHANGED,
    KeepReason.UNREADABLE,
    KeepReason.REFUSED,
    KeepReason.UNCONFIRMED,
)


_NAMES = {"except_": "except", "folder": "folders", "empty_trash": "trash"}
"""Options of the command line that are called otherwise in archipec.toml."""


@click.command()
@click.argument("names", nargs=-1, metavar="[PIPELINE]...")
@click.option("--from", "from_url", metavar="URL", help="Source of an ad hoc run.")
@click.option(
    "--to", "to_urls", multiple=True, metavar="URL", help="An archive that must hold it; may be repeated."
)
@click.option("--older-than", metavar="AGE", help="Only what is older than this: 30d, 6 months, 1y.")
@click.option("--verified-for", metavar="AGE", help="Only what was found intact each time for this long.")
@click.option("--free-to", metavar="SHARE", help="The oldest, until the mailbox is this full: 70%.")
@click.option("--when-above", metavar="SHARE", help="Nothing unless the mailbox is fuller than this: 90%.")
@click.option(
    "--quota", metavar="SIZE", help="How large the mailbox is, where the server doesn't tell: '2 GB'."
)
@selection_options
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Delete at most this many messages.")
@click.option("--allow-large", is_flag=True, help="Also take more than half of a folder.")
@click.option(
    "--empty-trash",
    type=click.Choice(["own", "all"]),
    help="Empty the trash too: of what archipec deleted, or of all that is archived.",
)
@click.option("--yes", is_flag=True, help="Delete. Without it nothing is: the plan is shown.")
@click.option(
    "--plan", "plan_id", metavar="ID", default="", help="With --yes: nothing but what this plan showed."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a pipeline.")
@click.pass_obj
def prune(
    settings: Settings,
    /,
    names: tuple[str, ...],
    from_url: str | None,
    to_urls: tuple[str, ...],
    *,
    limit: int | None,
    allow_large: bool,
    yes: bool,
    plan_id: str,
    as_json: bool,
    **given: str | tuple[str, ...] | None,
) -> int:
    """Free the mailbox of what is proven to be archived. Without --yes nothing is deleted: you see the plan.

    \b
    By the rules of [pipeline.prune] in archipec.toml:
      archipec prune studio
      archipec prune studio --yes
    Without a configuration, what one archive run stored:
      archipec prune --from imaps://me@pec.example.it@imaps.example.it --to maildir:PEC --older-than 1y
      archipec prune --from URL --to maildir:PEC --free-to 70% --when-above 90% --yes

    A plan has an id: --yes --plan ID deletes what that plan showed, and nothing that came since. A message goes only if
    every required archive gives its copy back, byte for byte, just before. It stays if it is flagged, not archived, or waits for a confirmation. Exit code 7: a copy is damaged (its message stays);
    8: deletion was refused, for the reason given.
    """
    if plan_id and not yes:
        raise click.UsageError(
            _("--plan is for --yes: without it nothing is deleted, and a new plan is shown")
        )
    rules = {_NAMES.get(name, name): value for name, value in given.items() if value}
    pipelines = [_ruled(one, rules) for one in chosen(settings, names, from_url, to_urls)]
    if not names:
        # Those of archipec.toml that have rules, if any has.
        pipelines = [one for one in pipelines if one.prune.has_rule or one.prune.trash] or pipelines
    stop = Cancellation()

    def act(pipeline: Pipeline, stop: Cancellation) -> PruneReport:
        with progress(pipeline.name, quiet=settings.quiet) as update:
            return run_prune(
                pipeline,
                Run(ledger, settings.state, stop, _observer(update)),
                carry_out=yes,
                limit=limit,
                allow_large=allow_large,
                plan=plan_id,
            )

    with Ledger(settings.state / "ledger.sqlite3") as ledger, on_signals(stop):
        show = partial(_show, as_json=as_json)
        codes = run_each(settings, pipelines, ledger, stop, act, show, secrets=True)
    return exit_code(codes)


def _observer(update: Callable[[int, int, int, int], None]) -> Callable[[PruneReport], None]:
    def observe(report: PruneReport) -> None:
        done, plan = report.with_action(Action.DELETED, Action.MOVED), report.with_action(Action.DELETE)
        sizes = [sum(row.size for row in rows) for rows in (done, plan)]
        update(len(done), len(done) + len(plan), sizes[0], sum(sizes))

    return observe


def _ruled(pipeline: Pipeline, rules: Mapping[str, object]) -> Pipeline:
    """Return a pipeline with the rules of the command line.

    They take the place of those of the same name, but for a choice of messages: that narrows the one there is.
    """
    if not rules:
        return pipeline
    given = read_policy(rules, _("command line"))
    changes = {name: getattr(given, name) for name in rules if hasattr(given, name)}
    changes["selections"] = (*pipeline.prune.selections, *given.selections)
    return replace(pipeline, prune=replace(pipeline.prune, **changes))


def _show(report: PruneReport, *, as_json: bool) -> None:
    if as_json:
        click.echo(with_outcome(report.as_json(), report, report.errors))
    else:
        show_run(report)
    for error in report.errors:
        say_error(error, report.pipeline)


def show_run(report: PruneReport) -> None:
    """Say what was or would be deleted, by folder and year, and why the rest is kept."""
    done, plan = report.with_action(Action.DELETED, Action.MOVED), report.with_action(Action.DELETE)
    full = _("; the mailbox was {fullness}").format(fullness=report.fullness) if report.fullness else ""
    if report.note:
        click.echo(f"{report.pipeline}: {report.note}")
    elif report.refusal and not done:
        click.echo(_("{pipeline}: nothing deleted").format(pipeline=report.pipeline) + full)
    elif report.carried_out:
        moved = report.with_action(Action.MOVED)
        what = _("moved to the trash, which frees nothing until it is emptied") if moved else _("deleted")
        click.echo(f"{report.pipeline}: {_sum(done)} {what}{full}")
    elif plan:
        click.echo(
            _("{pipeline}: {messages} would be deleted, each proven to be archived").format(
                pipeline=report.pipeline, messages=_sum(plan)
            )
            + full
        )
    else:
        click.echo(_("{pipeline}: nothing to delete").format(pipeline=report.pipeline) + full)
    _table(done or plan)
    for reason, number in report.kept.most_common():
        click.echo(f"  {count(number):>9}  {_('kept: {reason}').format(reason=reason.text)}")
    for folder, number in sorted(report.vanished.items()):
        click.echo(
            printable(
                "  "
                + _(
                    "{number} more messages went from {folder} during this run: archipec did not delete them"
                ).format(number=count(number), folder=folder)
            ),
            err=True,
        )
    lost = [row for row in report.entries if row.kept in _LOST and row.detail]
    for row in lost[:_SHOWN]:
        click.echo(
            printable(
                "  "
                + _("kept: {folder} {ref}: {reason}").format(
                    folder=row.listed.folder, ref=row.listed.ref, reason=row.reason
                )
            ),
            err=True,
        )
    if len(lost) > _SHOWN:
        click.echo(
            "  " + _("and {more} more: --json lists them").format(more=count(len(lost) - _SHOWN)), err=True
        )
    if plan:
        exactly = f" --plan {report.plan}" if report.plan else ""
        click.echo(_("run again with {options} to delete them").format(options=f"--yes{exactly}"), err=True)


def _sum(rows: Sequence[PlanEntry]) -> str:
    return f"{counted(len(rows), 'message')} ({size(sum(row.size for row in rows))})"


def _table(rows: Sequence[PlanEntry]) -> None:
    """Show what goes, by folder and year."""
    messages: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for row in rows:
        date = row.candidate.date if row.candidate else 0
        line = (row.listed.folder, str(datetime.fromtimestamp(date, UTC).year) if date else _("no date"))
        messages[line] += 1
        sizes[line] += row.size
    for folder, year in sorted(messages):
        number, room = messages[folder, year], sizes[folder, year]
        click.echo(printable(f"  {count(number):>9}  {size(room):>10}  {year}  {folder}"))
