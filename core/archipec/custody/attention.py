"""Everything that needs a person, over all pipelines: what `todo` lists, reports and the viewer show.

No server is contacted and no archive is read: it is what the ledger and the configuration know.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

from archipec.config.pipeline import AD_HOC, Pipeline
from archipec.custody.expiry import Expiry, expiries
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.figures import Archive, FailedMessages
from archipec.custody.ledger.runs import RunRecord
from archipec.custody.ledger.unsealed import ENVELOPE_MISSING
from archipec.custody.receipts.summary import concerning
from archipec.custody.status import PipelineStatus, SinkStatus, Try, fullness, statuses
from archipec.errors import ATTENTION, AuthError, Interrupted, counted
from archipec.language import _
from archipec.message import Json
from archipec.pec.transactions import Transaction, outcome_word

__all__ = [
    "Matter",
    "MatterKind",
    "archive_of",
    "attention",
    "failed_messages",
    "late_receipts",
    "matters_of",
    "of_transactions",
    "summed",
]

_SOON: Final = timedelta(days=14)
"""How long before a password, a certificate or a trusted list expires somebody hears of it."""
_EXPORT_SOON: Final = timedelta(days=7)
_REASONS: Final = 50


class MatterKind(enum.StrEnum):
    """What a matter is about, the most urgent first."""

    LOGIN_REFUSED = "login-refused"
    COPY_ALTERED = "copy-altered"
    COPY_MISSING = "copy-missing"
    ARCHIVE_GONE = "archive-gone"
    FAILED = "failed"
    NEVER_RAN = "never-ran"
    LONG_AGO = "long-ago"
    MAILBOX_FULL = "mailbox-full"
    EXPORT_EXPIRES = "export-expires"
    CREDENTIALS_EXPIRE = "credentials-expire"
    TRUST_EXPIRES = "trust-expires"
    REJECTED = "rejected"
    NO_REPORT = "no-report"
    NOT_STORED = "not-stored"
    LEFT_OUT = "left-out"
    ENVELOPE_MISSING = "envelope-missing"
    RECEIPT = "receipt"
    NOT_PROVEN = "not-proven"


_ORDER: Final = list(MatterKind)


class Matter(NamedTuple):
    """Something that needs a person.

    ``kind``, ``pipeline`` and ``about`` say which it is: they stay the same for as long as it is not dealt with.

    Attributes:
        about: what in the pipeline: a transaction's name, an archive's ``where``, a file, a reason; empty for all of it.
        text: what is the matter, in one line.
        since: when it began, in Unix seconds; None where that is not known.
        command: the words after ``archipec`` that deal with it, or show what there is to know; empty where no command does.
        folder: where to type it, empty for anywhere.
    """

    kind: MatterKind
    pipeline: str
    about: str
    text: str
    since: int | None
    command: tuple[str, ...]
    folder: str = ""

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of ``todo --json``."""
        return {
            "kind": str(self.kind),
            "pipeline": self.pipeline,
            "about": self.about,
            "text": self.text,
            "since": None if self.since is None else datetime.fromtimestamp(self.since, UTC).isoformat(),
            "command": list(self.command),
            "folder": self.folder,
        }


def attention(
    ledger: Ledger,
    state: Path,
    configured: Sequence[Pipeline] | None,
    now: int,
    *,
    receipts: bool = True,
) -> list[Matter]:
    """Return everything that needs a person, the most urgent first; of one kind, by pipeline as `statuses` has them.

    Args:
        state: the folder of the ledger.
        configured: the pipelines of archipec.toml, None when that does not exist or can't be read.
        now: in Unix seconds.
        receipts: False to leave out what was sent and lacks a receipt: looking through all that was ever sent takes longer
            than all the rest.
    """
    runs = {(run.pipeline, run.source): run for run in ledger.runs.last_runs()}
    known = [one for one in statuses(ledger, state, configured, now) if one.counts]
    by_name = {one.name: one for one in configured or ()}
    found: list[Matter] = []
    for one in known:
        run = runs.get((one.pipeline, one.source))
        failed = failed_messages(ledger, one)
        found += matters_of(one, by_name.get(one.pipeline), run, failed, datetime.fromtimestamp(now, UTC))
    if receipts:
        found += late_receipts(ledger, known, now)
    return sorted(found, key=_urgency)


def matters_of(
    status: PipelineStatus,
    pipeline: Pipeline | None,
    run: RunRecord | None,
    failed: Sequence[FailedMessages],
    now: datetime,
) -> list[Matter]:
    """Return what needs a person of one pipeline, but for what was sent and lacks a receipt; the most urgent first.

    Args:
        pipeline: as configured, None where it is not.
        run: its last one, None where there is none.
        failed: messages that no run could store (`failed_messages`).
        now: aware.
    """
    found = list(_of_pipeline(status, pipeline, run, failed)) if status.counts else []
    if pipeline is not None:
        found += _expiring(pipeline, [status], now)
    return sorted(found, key=_urgency)


def _urgency(matter: Matter) -> int:
    return _ORDER.index(matter.kind)


def late_receipts(ledger: Ledger, known: Sequence[PipelineStatus], now: int) -> Iterator[Matter]:
    """Yield what was sent, or came in, with something wrong that was not marked as handled; each transaction once.

    In an archive that several mailboxes share it is the matter of the pipeline whose mailbox had it.
    """
    archives = [(one, archive_of(ledger, one)) for one in known]
    # What such an archive holds of a mailbox that is not configured any more is the matter of the first.
    rest = [(of, Archive(one.sinks)) for of, one in archives if one.source is not None and not one.alone]
    at = datetime.fromtimestamp(now, UTC)
    seen = set()
    for matter in chain.from_iterable(of_transactions(ledger, *one, at) for one in (*archives, *rest)):
        if (matter.kind, matter.about) not in seen:
            seen.add((matter.kind, matter.about))
            yield matter


def archive_of(ledger: Ledger, status: PipelineStatus) -> Archive:
    """Return what the archives of a pipeline hold of its mailbox."""
    sinks = ledger.holdings.sinks_at(one.where for one in status.sinks)
    return ledger.figures.archive(ledger.sources.find(status.source), sinks, (None, None))


def failed_messages(ledger: Ledger, status: PipelineStatus) -> list[FailedMessages]:
    """Return why messages that a mailbox still has are not archived, those of most messages first, some dozens at most."""
    source = ledger.sources.find(status.source)
    return [] if source is None else ledger.figures.failed_messages(source, _REASONS)


def of_transactions(
    ledger: Ledger, status: PipelineStatus, archive: Archive, now: datetime
) -> Iterator[Matter]:
    """Yield what an archive holds that was sent, or came in, with something wrong that was not marked as handled.

    Args:
        status: of the pipeline that has this archive.
        now: aware.
    """
    if not archive.sinks:
        return
    for one in concerning(ledger, archive, now):
        if one.needs_attention:
            yield _of_transaction(status.pipeline, one, *_archives(status))


def summed(matters: Iterable[Matter]) -> list[Matter]:
    """Return what needs a person of one pipeline with as many lines as somebody reads: transactions, of which there may be
    hundreds, are one matter where they are several.
    """
    found = list(matters)
    sums = {
        MatterKind.RECEIPT: _("{messages} sent: a receipt is missing, or says that something is wrong"),
        MatterKind.NOT_PROVEN: _("{messages} received: no valid seal covers all of it"),
    }
    for kind, words in sums.items():
        those = [one for one in found if one.kind is kind]
        if len(those) < 2:
            continue
        text = words.format(messages=counted(len(those), "message"))
        since = min((one.since for one in those if one.since is not None), default=None)
        first = those[0].command
        name = first[1 : first.index("--handled")] if those[0].pipeline == AD_HOC else (those[0].pipeline,)
        found = [one for one in found if one.kind is not kind]
        found.append(
            those[0]._replace(about="", text=text, since=since, command=("receipts", *name, "--missing"))
        )
    return found


def _archives(one: PipelineStatus) -> tuple[tuple[str, ...], str]:
    """Return the words that name the archives to `receipts`, which looks through those configured without, and their folder."""
    words, folder = _again(one)
    return (words[words.index("--to") :], folder) if "--to" in words else ((), "")


def _of_transaction(
    pipeline: str, one: Transaction, archives: tuple[str, ...] = (), folder: str = ""
) -> Matter:
    wrong = [who for who in one.recipients if f"{who.address} {who.outcome}" in one.concerns]
    words = [f"{who.address}: {outcome_word(who.outcome)}" for who in wrong]
    words = words or [problem.text for problem in one.problems[:1]]
    words = words or [who.problems[0].text for who in one.recipients if who.problems]
    words = words or [outcome_word(one.status)]
    subject = one.oggetto or _("(no subject)")
    # What came from one's own mailbox has the name of what was sent, which comes first where nothing else is said.
    direction = ("--direction", "in") if one.direction == "in" else ()
    command = ("receipts", *archives, *direction, "--handled", one.name, "--note", "TEXT")
    since = None if one.date is None else int(one.date.timestamp())
    kind = MatterKind.RECEIPT if one.direction == "out" else MatterKind.NOT_PROVEN
    return Matter(kind, pipeline, one.name, f"{subject}: {', '.join(words)}", since, command, folder)


# -- of a pipeline ---------------------------------------------------------------------------------------


def _of_pipeline(
    one: PipelineStatus, pipeline: Pipeline | None, run: RunRecord | None, failed: Sequence[FailedMessages]
) -> Iterator[Matter]:
    again, folder = _again(one)

    def matter(
        kind: MatterKind, text: str, about: str = "", since: int | None = None, *, act: str = ""
    ) -> Matter:
        command = (act, *again[1:]) if act else again
        return Matter(kind, one.pipeline, about, text, since, command, folder)

    yield from (_failed(one, each, again, folder) for each in one.failed_tries if _is_failure(each))
    for problem in one.problems:
        kind = MatterKind(problem.kind)
        act = (
            "settle" if kind is MatterKind.NO_REPORT else "status" if kind is MatterKind.ARCHIVE_GONE else ""
        )
        if act and one.pipeline != AD_HOC:
            yield matter(kind, problem.text, problem.about, problem.since, act=act)
        else:
            yield matter(kind, problem.text, problem.about, problem.since)
    if (full := fullness(one.quota)) and one.quota is not None:
        share = 100 * one.quota.used // one.quota.limit
        text = _("the mailbox is {share} % full").format(share=share)
        rule = () if pipeline is not None and pipeline.prune.has_rule else ("--older-than", "1y")
        yield Matter(
            MatterKind.MAILBOX_FULL, one.pipeline, str(full), text, None, ("prune", *again[1:], *rule), folder
        )
    yield from _of_messages(run, failed, matter)
    for sink in one.sinks:
        yield from _of_archive(one, sink, matter)
    if one.loose:
        text = f"{counted(len(one.loose), 'original')}: {_(ENVELOPE_MISSING)}"
        yield matter(MatterKind.ENVELOPE_MISSING, text, since=min(one.loose_since.values(), default=None))


def _is_failure(each: Try) -> bool:
    """Return whether a try failed as such: what else it left to do is a matter of its own."""
    return each.code not in {0, ATTENTION} or each.exit_code in {None, Interrupted.exit_code}


def _failed(one: PipelineStatus, each: Try, again: tuple[str, ...], folder: str) -> Matter:
    kind = MatterKind.LOGIN_REFUSED if each.exit_code == AuthError.exit_code else MatterKind.FAILED
    text = "; ".join(each.lines) or _("it did not end by itself")
    return Matter(
        kind, one.pipeline, each.command, text, each.started, (*each.command.split(), *again[1:]), folder
    )


def _again(one: PipelineStatus) -> tuple[tuple[str, ...], str]:
    """Return what archives a pipeline again, and where that is to be typed."""
    if one.pipeline != AD_HOC:
        return ("archive", one.pipeline), ""
    urls = next((each.urls for each in reversed(one.tries) if each.urls), None) or {}
    words = tuple(
        word for name in ("from", "to") for url in urls.get(name, ()) for word in (f"--{name}", url)
    )
    return ("archive", *words), next(iter(urls.get("in", ())), "")


def _of_messages(
    run: RunRecord | None, failed: Sequence[FailedMessages], matter: Callable[..., Matter]
) -> Iterator[Matter]:
    """Yield what the last run could not store, and what the source did not show as messages; by reason."""
    reasons = Counter(() if run is None else (str(one["reason"]) for one in _objects(run.report, "failures")))
    if not reasons:
        # The last run did not come so far as to try again.
        for each in failed:
            text = _("not stored: {messages}: {reason}").format(
                messages=counted(each.messages, "message"), reason=each.reason
            )
            yield matter(MatterKind.NOT_STORED, text, each.reason)
    if run is None:
        return
    for reason, number in reasons.items():
        text = _("not stored: {messages}: {reason}").format(
            messages=counted(number, "message"), reason=reason
        )
        yield matter(MatterKind.NOT_STORED, text, reason, run.started)
    if run.report["left"] and not reasons:
        text = _("not reached: {messages}").format(messages=counted(run.report["left"], "message"))
        yield matter(MatterKind.NOT_STORED, text, since=run.started)
    skipped = Counter(str(one["reason"]) for one in _objects(run.report, "skipped") if one.get("message"))
    for reason, number in skipped.items():
        text = _("left out: {messages}: {reason}").format(messages=counted(number, "message"), reason=reason)
        yield matter(MatterKind.LEFT_OUT, text, reason, run.started)


def _objects(report: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return a list of a report's; those of earlier versions may lack it."""
    found = report.get(name)
    return (
        [one for one in found if isinstance(one, dict) and "reason" in one] if isinstance(found, list) else []
    )


def _of_archive(one: PipelineStatus, sink: SinkStatus, matter: Callable[..., Matter]) -> Iterator[Matter]:
    lost = {
        "altered": (MatterKind.COPY_ALTERED, _("{copies} altered in {archive}")),
        "missing": (MatterKind.COPY_MISSING, _("{copies} missing from {archive}")),
    }
    for state, (kind, words) in lost.items():
        if number := sink.others.get(state):
            yield matter(kind, words.format(copies=counted(number, "copy"), archive=sink.where), sink.where)
    if number := sink.others.get("rejected"):
        text = _("{copies} rejected by {archive}").format(copies=counted(number, "copy"), archive=sink.where)
        reasons = "; ".join(reason for reason in sink.reasons if reason)
        yield matter(
            MatterKind.REJECTED, f"{text}: {reasons}" if reasons else text, sink.where, **_settle(one)
        )
    for overdue in sink.overdue:
        text = f"{counted(overdue.copies, 'copy')}: {overdue.as_text(one.now)}"
        yield matter(
            MatterKind.NO_REPORT, text, f"{sink.where} {overdue.reason}", overdue.since, **_settle(one)
        )


def _settle(one: PipelineStatus) -> dict[str, str]:
    return {} if one.pipeline == AD_HOC else {"act": "settle"}


# -- what expires ----------------------------------------------------------------------------------------


def _expiring(pipeline: Pipeline, known: Sequence[PipelineStatus], now: datetime) -> Iterator[Matter]:
    today = now.astimezone().date()
    day = pipeline.credentials_expire
    if day is not None and day <= today + _SOON:
        text = _("the password expires on {day}: renew it, and credentials_expire in the configuration")
        if day < today:
            text = _("the password expired on {day}: renew it, and credentials_expire in the configuration")
        yield Matter(MatterKind.CREDENTIALS_EXPIRE, pipeline.name, "", text.format(day=day), None, ())
    day = pipeline.export_expires
    if day is not None and today <= day <= today + _EXPORT_SOON and not _is_archived(pipeline, known):
        text = _("the provider deletes this export on {day}, and it is not all archived").format(day=day)
        yield Matter(MatterKind.EXPORT_EXPIRES, pipeline.name, "", text, None, ("archive", pipeline.name))
    for one in expiries(pipeline.trust):
        if abs(one.at - now) <= _SOON:
            text = (
                _("{what} in {file} expires on {day}")
                if one.at > now
                else _("{what} in {file} expired on {day}")
            )
            said = text.format(what=_named(one), file=one.file, day=f"{one.at.astimezone():%Y-%m-%d}")
            yield Matter(
                MatterKind.TRUST_EXPIRES, pipeline.name, str(one.file), said, int(one.at.timestamp()), ()
            )


def _named(one: Expiry) -> str:
    if one.kind == "certificate":
        return _("the certificate of {holder}").format(holder=one.name)
    return one.name or _("the list of revoked certificates")


def _is_archived(pipeline: Pipeline, known: Sequence[PipelineStatus]) -> bool:
    return any(
        one.last_success is not None and not one.failed and not one.left
        for one in known
        if (one.pipeline, one.source) == (pipeline.name, pipeline.source.where)
    )
