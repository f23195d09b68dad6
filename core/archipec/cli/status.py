"""``archipec status``: what the ledger knows of each pipeline, without using the network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import click

from archipec.cli import Settings
from archipec.cli.naming import check_names
from archipec.cli.overview import overview
from archipec.cli.pipelines import configured_pipelines
from archipec.cli.terminal import count, size
from archipec.config.pipeline import Pipeline
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.unsealed import ENVELOPE_MISSING
from archipec.custody.run import now
from archipec.custody.status import FULL, PipelineStatus, Try, fullness, in_words, statuses
from archipec.errors import ATTENTION, DONE, counted, exit_code
from archipec.language import N_, _, pgettext
from archipec.terminal import json_line, printable, say_error

if TYPE_CHECKING:
    from archipec.custody.pruning.freeable import Freeable

_WARNING: Final = timedelta(days=14)
_SHOWN: Final = 10
_STATES: Final = {
    "pending": N_("pending", "copies"),
    "missing": N_("missing", "copies"),
    "altered": N_("altered", "copies"),
    "rejected": N_("rejected", "copies"),
    "failed": N_("failed", "copies"),
}


@click.command()
@click.argument("names", nargs=-1, metavar="[PIPELINE]...")
@click.option(
    "--max-age",
    metavar="AGE",
    help="Warn when the last success is older than this: 36h, 2d, 1w (7d unless given).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a pipeline.")
@click.pass_obj
def status(settings: Settings, names: tuple[str, ...], max_age: str | None, *, as_json: bool) -> int:
    """Say how each pipeline's last try ended, what its archives hold, what waits and what is missing. Contacts no server.

    Without a name a line for each, and their totals; with one all that is known of it. `archipec todo` says what to do.

    \b
      archipec status
      archipec status studio
      archipec status studio --json
      archipec status --max-age 2d

    Exit code: that of the last try that failed and was not put right since; 3: something needs a person.
    """
    age = None if max_age is None else _seconds(max_age)
    configured, mistake = configured_pipelines(settings)
    with Ledger(settings.state / "ledger.sqlite3") as ledger:
        known = statuses(ledger, settings.state, configured, now(), age)
        check_names(names, [one.pipeline for one in known], mistake)
        found = [one for one in known if not names or one.pipeline in names]
        chosen = [one for one in configured or () if not names or one.name in names]
        full = _full(found, chosen, ledger)
    if not found and not as_json:
        click.echo(_("nothing has been archived yet"))
    expiring = _expiring(chosen)
    remarks = _remarks(found, expiring, full)
    for one in found if as_json or names else ():
        day = expiring.get(one.pipeline)
        room = full.get(one.pipeline)
        shape = one.as_json() | ({} if day is None else {"credentials_expire": day.isoformat()})
        shape |= {} if room is None else {"freeable": {"messages": room.messages, "bytes": room.size}}
        click.echo(json_line(shape) if as_json else _text(one))
    if not (as_json or names):
        shown = (
            [one for one in found if one.exit_code or one.pipeline in remarks] if settings.quiet else found
        )
        for line in overview(shown, {name: "; ".join(said) for name, said in remarks.items()}):
            click.echo(line)
    if mistake is not None:
        say_error(mistake)
    for one in found if as_json or names else ():
        problems = [problem.text for problem in one.problems] if one.counts else []
        for said in (*remarks.get(one.pipeline, ()), *problems):
            click.echo(printable(_("warning: {problem}").format(problem=f"{one.pipeline}: {said}")), err=True)
    overflowing = any(fullness(one.quota) == max(FULL) for one in found)
    codes = [one.exit_code for one in found]
    codes += [ATTENTION] if expiring or overflowing else []
    codes += [] if mistake is None else [mistake.exit_code]
    return exit_code(codes)


def _remarks(
    found: Sequence[PipelineStatus], expiring: Mapping[str, date], full: Mapping[str, Freeable | None]
) -> dict[str, list[str]]:
    """Return what is to be said of pipelines besides what the ledger says: what expires, and how full a mailbox is."""
    said: dict[str, list[str]] = {}
    for name, day in expiring.items():
        said.setdefault(name, []).append(
            _("{problem}: renew them and correct the configuration").format(problem=_expiry(day))
        )
    for one in found:
        if one.pipeline in full:
            said.setdefault(one.pipeline, []).append(_fullness(one, full[one.pipeline]))
    return said


def _seconds(age: str) -> int:
    match = re.fullmatch(r"(\d{1,5})\s*([hdw])", age.strip().lower())
    if match is None:
        raise click.UsageError(
            _('--max-age must be an age such as 36h, 2d or 1w, not "{age}"').format(age=age)
        )
    return int(match[1]) * {"h": 3_600, "d": 86_400, "w": 604_800}[match[2]]


def _full(
    found: Sequence[PipelineStatus], configured: Sequence[Pipeline], ledger: Ledger
) -> dict[str, Freeable | None]:
    """Return what prune would free, for the mailboxes that a person should hear of."""
    full = [one for one in found if fullness(one.quota)]
    if not full:
        return {}
    from archipec.custody.pruning.freeable import freeable

    by_name = {pipeline.name: pipeline for pipeline in configured}
    return {
        one.pipeline: freeable(by_name[one.pipeline], ledger, one.quota) if one.pipeline in by_name else None
        for one in full
    }


def _fullness(one: PipelineStatus, room: Freeable | None) -> str:
    assert one.quota is not None
    frees = _("no rule in [pipeline.prune] frees any of it")
    if room is not None:
        frees = _("`archipec prune` would free {size} ({messages})").format(
            size=size(room.size), messages=counted(room.messages, "message")
        )
    return _("its mailbox is {share} % full: {remedy}").format(
        share=100 * one.quota.used // one.quota.limit, remedy=frees
    )


def _expiring(configured: Sequence[Pipeline]) -> dict[str, date]:
    """Return when credentials expire that have expired or soon will, by pipeline."""
    soon = date.today() + _WARNING  # noqa: DTZ011  a person's day
    return {
        one.name: one.credentials_expire
        for one in configured
        if one.credentials_expire is not None and one.credentials_expire <= soon
    }


def _expiry(day: date) -> str:
    days = (day - date.today()).days  # noqa: DTZ011
    if days < 0:
        return _("its credentials expired on {day}").format(day=day)
    if not days:
        return _("its credentials expire on {day}, today").format(day=day)
    return _("its credentials expire on {day}, in {days}").format(day=day, days=counted(days, "day"))


def _text(one: PipelineStatus) -> str:
    # A login's @ is escaped in addresses: nobody reads it so.
    lines = [printable(f"{one.pipeline}: {unquote(one.source) or _('source unknown')}{_standing(one)}")]
    lines += _tries(one)
    if one.messages or one.last_run is not None:
        lines.append(_row(_("mailbox"), f"{counted(one.messages, 'message')}, {size(one.size)}"))
    if one.quota is not None and one.quota.limit:
        share = 100 * one.quota.used // one.quota.limit
        used = _("{used} of {limit} used ({share} %)").format(
            used=size(one.quota.used), limit=size(one.quota.limit), share=share
        )
        lines.append(_row(_("quota"), used))
    for sink in one.sinks:
        words = [f"{counted(sink.confirmed, 'message')}, {size(sink.confirmed_size)}"]
        words += [
            f"{count(number)} {pgettext('copies', _STATES.get(state, state))}"
            for state, number in sorted(sink.others.items())
        ]
        if sink.pending_since is not None:
            words.append(
                _("the oldest has waited for {time}").format(time=in_words(one.now - sink.pending_since))
            )
        if sink.problem:
            words = [
                _("{problem}; by the ledger it holds {messages}").format(
                    problem=sink.problem, messages=words[0]
                ),
                *words[1:],
            ]
        lines.append(printable(_row(_("archive"), f"{sink.where}: {', '.join(words)}")))
        lines += [
            printable(
                "             "
                + _("needs a person: {number}: {reason}").format(
                    number=count(overdue.copies), reason=overdue.as_text(one.now)
                )
            )
            for overdue in sink.overdue
        ]
        lines += [
            printable(f"             {count(number):>9}  {reason}") for reason, number in sink.reasons.items()
        ]
    return "\n".join([*lines, *_unsealed(one)])


def _row(label: str, text: str) -> str:
    return f"  {label:<10} {text}"


def _standing(one: PipelineStatus) -> str:
    """Say what sets a pipeline apart from those that count."""
    words = []
    if one.never_worked and one.tries:
        words.append(_("never worked"))
    if one.configured is False:
        words.append(_("not in the configuration now"))
    return f" ({', '.join(words)})" if words else ""


def _tries(one: PipelineStatus) -> list[str]:
    lines = []
    last = one.last_try
    if last is None and one.last_run is None:
        return [_row(_("last try"), _("never"))]
    for each in reversed(one.tries):
        if each is last or each in one.failed_tries:
            label = _("last try") if each is last else _("failed")
            lines.append(_row(label, f"{_moment(each.started)} {each.command}: {_ending(each)}"))
            lines += [f"             {printable(line)}" for line in each.lines]
    if one.last_success is not None:
        ago = in_words(one.now - one.last_success)
        when = _("{time}, {age} ago").format(time=_moment(one.last_success), age=ago)
        lines.append(_row(_("succeeded"), when))
    elif one.tries:
        lines.append(_row(_("succeeded"), _("never")))
    if one.last_run is not None and (
        one.last_run == one.last_success or one.stored or one.failed or one.left
    ):
        lines.append(_row(_("last run"), f"{_moment(one.last_run)}: {_outcome(one)}"))
    return lines


def _ending(one: Try) -> str:
    if one.running:
        return _("running")
    if one.exit_code is None:
        return _("did not end")
    words = {DONE: _("done"), ATTENTION: _("done, something needs a person")}
    return words.get(one.exit_code, _("failed with exit code {code}").format(code=one.exit_code))


def _moment(at: int) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M}"


def _unsealed(one: PipelineStatus) -> list[str]:
    if not one.loose:
        return []
    lines = [_row(_("loose"), f"{counted(len(one.loose), 'original')}: {_(ENVELOPE_MISSING)}")]
    for original in one.loose[:_SHOWN]:
        since = one.loose_since.get(original.key)
        waits = "" if since is None else _(", for {time}").format(time=in_words(one.now - since))
        lines.append(f"    {printable(f'{original.folder}/{original.ref}{waits}')}")
    if len(one.loose) > _SHOWN:
        lines.append(
            "    " + _("and {more} more: --json lists them").format(more=count(len(one.loose) - _SHOWN))
        )
    return lines


def _outcome(one: PipelineStatus) -> str:
    return _("{stored} stored, {failed} failed, {left} not reached").format(
        stored=count(one.stored), failed=count(one.failed), left=count(one.left)
    )
