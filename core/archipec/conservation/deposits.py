"""The way of a message through the outbox: read, put with what belongs to it, packaged, deposited, proven or refused.

Each step is recorded before the next begins, so that after a crash the step is simply done again. A deposit
is the one step that can't simply be done again: that it begins is recorded first, and after a crash the provider
is asked what became of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from archipec.conservation.builder import PackageBuilder
from archipec.conservation.outbox import Outbox
from archipec.conservation.outbox_db import (
    CONSERVED,
    DEPOSITED,
    FROZEN,
    REJECTED,
    TRYING,
    Decision,
    OutboxMessage,
    PackageRow,
)
from archipec.conservation.proof import check_report
from archipec.conservation.provider import (
    ConservationProvider,
    Conserved,
    Limits,
    Outcome,
    Package,
    Partial,
    Pending,
    Rejected,
    SupportsRehearsal,
    SupportsValidation,
    Ticket,
)
from archipec.conservation.units import OutboxRecord, gather, group_into_packages, split_unit
from archipec.contract import Context
from archipec.errors import ArchipecError, IntegrityError, Scope, TransientError
from archipec.masking import mask
from archipec.message import ContentKey, Json
from archipec.pec.anchors import Anchors, TrustFiles
from archipec.pec.buffer import FileBuffer, Octets, iter_blocks
from archipec.pec.inspection import inspect_message, record
from archipec.pec.recall import recall
from archipec.pec.transactions import MessageRecord

_ROME = ZoneInfo("Europe/Rome")
_READ_AT_ONCE = 100
_IN_MEMORY = 1 << 20
_UNVERIFIED = "deposited, unverified"
_OUTCOMES = (Pending, Conserved, Rejected, Partial)
_PATIENCE = 60.0  # seconds that a run waits in all, where the provider asks to be asked again after so long
_STEP = 0.2  # seconds after which a run that was cancelled stops


class Deposits:
    """Brings what is in an outbox as far as it can get now.

    Args:
        wait: how long a sending waits for its receipts.
        trust: files that say whom to trust besides the roots of PEC.
    """

    def __init__(
        self,
        outbox: Outbox,
        builder: PackageBuilder,
        context: Context,
        *,
        limits: Limits,
        wait: timedelta,
        trust: TrustFiles,
    ) -> None:
        self._outbox = outbox
        self._database = outbox.database
        self._builder = builder
        self._context = context
        self._settings = builder.fingerprint
        self._limits = limits
        self._wait = wait
        self._trust = trust
        self._patience = _PATIENCE
        self.failed: list[ArchipecError] = []
        """Errors of single packages, which wait for the next run."""

    # -- from messages to packages -------------------------------------------------------------------

    def prepare(self) -> None:
        """Read what is new, and put what is complete into packages."""
        self._database.reopen_refused(self._settings)
        self._database.dissolve(self._settings)
        self._builder.discard(self._database.package_ids())
        self._read_new()
        self._package()

    def _read_new(self) -> None:
        anchors: Anchors | None = None
        last = ""
        while not self._context.cancelled() and (rows := self._database.unread(last, _READ_AT_ONCE)):
            last = rows[-1].sha256
            anchors = anchors or self._trust.load()
            facts: list[tuple[str, Json]] = []
            damaged = []
            for message in rows:
                try:
                    facts.append((message.sha256, self._facts(message, anchors)))
                except IntegrityError as error:
                    damaged.append((message.sha256, f"not deposited: {error.message}"))
                    self._outbox.note_lost(message.key, error.message)
            self._database.record_facts(facts)
            self._database.explain(damaged)

    def _facts(self, message: OutboxMessage, anchors: Anchors) -> Json:
        """Return what a message says of itself. A large one stays in its file."""
        with self._outbox.read(message.key) as file:
            raw: Octets = FileBuffer(file) if message.size > _IN_MEMORY else file.read(message.size + 1)
            if ContentKey.of_chunks(iter_blocks(raw, 0, len(raw))) != message.key:
                raise IntegrityError(f"{self._outbox.path(message.sha256)} has been altered")
            return record(raw, inspect_message(raw, anchors, now=self._context.now()))

    def _package(self) -> None:
        now = self._context.now()
        messages: dict[int, OutboxMessage] = {}
        known = []
        for number, (one, facts) in enumerate(self._database.opened()):
            messages[number] = one
            with self._database.decoding():
                date = datetime.fromtimestamp(one.date, UTC)
                since = min(date, datetime.fromtimestamp(one.arrived, UTC))
                known.append(OutboxRecord(recall(number, one.key, date, facts), since))
        waiting: list[tuple[str, str]] = []
        closed = []
        for group in gather(known, now, self._wait):
            if group.due is None:
                parts = split_unit(group.records, self._limits.documents, self._limits.size)
                closed += [(part, group.flow) for part in parts]
                continue
            reason = f"waits for receipts until {group.due.astimezone(_ROME):%Y-%m-%d %H:%M}"
            waiting += [(one.key.sha256, reason) for one in group.records]
        self._database.explain(waiting)

        def date_of(one: MessageRecord) -> datetime:
            host = datetime.fromtimestamp(messages[one.number].date, UTC)
            return ((one.date if one.proven else None) or host).astimezone(_ROME)

        limits = self._limits
        for groups in group_into_packages(closed, limits.units, limits.documents, limits.size):
            if self._context.cancelled():
                return
            try:
                built = self._builder.build(groups, now, date_of)
            except ArchipecError as error:
                names = [one.key.sha256 for records, _ in groups for one in records]
                self._database.explain(
                    (name, f"not packaged yet: {_one_line(error.message)}") for name in names
                )
                raise
            self._database.freeze(built.id, self._settings, built.manifest, built.messages)

    # -- from packages to proof ----------------------------------------------------------------------

    def is_idle(self) -> bool:
        """Tell whether there is nothing to deposit and nothing to ask."""
        return next(self._database.packages_in((FROZEN, TRYING, DEPOSITED)), None) is None

    def deposit(self, provider: ConservationProvider) -> None:
        """Deposit what is packaged, and find out what became of interrupted deposits."""
        self._each((TRYING, FROZEN), lambda row, package: self._deposit(provider, row, package))

    def poll(self, provider: ConservationProvider) -> None:
        """Ask what became of what is deposited."""

        def ask(row: PackageRow, package: Package) -> None:
            ticket = _ticket(row)
            self._take(package, ticket, provider.poll(package, ticket), DEPOSITED)

        self._each((DEPOSITED,), ask)

    def validate(self, provider: ConservationProvider) -> None:
        """Have what is packaged checked, where the provider can; deposit nothing."""
        validate = _validation_of(provider)

        def check(row: PackageRow, package: Package) -> None:
            reason = "packaged, not deposited (dry_run)"
            if validate is not None:
                refusal = validate(package)
                verdict = (
                    f"would be rejected: {_one_line(refusal.reason)}" if refusal else "would be accepted"
                )
                reason = f"checked by the provider, not deposited: {verdict}"
            self._database.move(row.id, FROZEN, reason=reason)

        self._each((FROZEN,), check)

    def _each(self, states: tuple[str, ...], do: Callable[[PackageRow, Package], None]) -> None:
        """Do something with every package in these states; an error of one leaves that one for the next run."""
        for row in self._database.packages_in(states):
            if self._context.cancelled():
                return
            try:
                self._patiently(row, do)
            except ArchipecError as error:
                (now,) = self._database.package_row(row.id)
                self._database.move(row.id, now.state, reason=f"{_progress(now.state)}: {error.message}")
                if error.scope > Scope.MESSAGE:
                    raise
                self.failed.append(error)

    def _patiently(self, row: PackageRow, do: Callable[[PackageRow, Package], None]) -> None:
        """Do something with a package; once more after the time that the provider asks for, if that is short."""
        try:
            do(row, self._load(row))
        except TransientError as error:
            wait = error.retry_after
            if wait is None or wait > self._patience or not self._wait_for(max(0.0, wait)):
                raise
            (again,) = self._database.package_row(row.id)
            do(again, self._load(again))

    def _wait_for(self, seconds: float) -> bool:
        """Wait, of what a run may wait in all; False when the user asked to stop."""
        self._patience -= seconds
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._context.cancelled():
            time.sleep(min(left, _STEP))
        return not self._context.cancelled()

    def _load(self, row: PackageRow) -> Package:
        with self._database.decoding():
            _ticket(row)
            return self._builder.load(row)

    def _deposit(self, provider: ConservationProvider, row: PackageRow, package: Package) -> None:
        if row.state == TRYING:
            found = provider.lookup(package)
            if isinstance(found, Pending):
                # Only the user can find out whether it has arrived.
                found = replace(found, attention=True)
            if found is not None:
                self._answered(package, found)
                return
        if damaged := self._outbox.damaged(one.key for one in package.documents):
            for key in damaged:
                self._outbox.note_lost(key, f"{self._outbox.path(key.sha256)} is missing or altered")
            raise IntegrityError(
                f"{self._outbox.path(damaged[0].sha256)} is missing or altered",
                hint="run `archipec verify`: the next run then fetches it again",
            )
        now = int(self._context.now().timestamp())
        self._database.move(row.id, TRYING, reason=row.reason, deposited=now)
        self._answered(package, provider.deposit(package))

    def _answered(self, package: Package, answer: Ticket | Outcome) -> None:
        _check("deposit or lookup", answer, (Ticket, *_OUTCOMES))
        if isinstance(answer, Ticket):
            ticket = {"token": answer.token, "sha256": answer.sha256}
            self._database.move(
                package.id, DEPOSITED, reason="deposited, waiting for the report", ticket=ticket
            )
        else:
            self._take(package, Ticket(), answer, TRYING)

    def _take(self, package: Package, ticket: Ticket, outcome: Outcome, state: str) -> None:
        """Record what a provider said of a package. Only what is proven becomes conserved."""
        _check("poll", outcome, _OUTCOMES)
        if isinstance(outcome, Pending):
            reason = outcome.reason or "nothing is decided yet"
            self._database.move(package.id, state, reason=_one_line(reason), attention=outcome.attention)
        elif isinstance(outcome, Rejected):
            self._refused(package, outcome)
        else:
            self._decided(package, ticket, outcome)

    def _refused(self, package: Package, refusal: Rejected) -> None:
        if refusal.report is not None:
            self._outbox.keep_report(package.id, refusal.report)
        undecided = self._database.undecided(package.id)
        if refusal.retryable:
            self._database.count_refusal(package.id)
            # What is decided in part can't be deposited again as it was.
            whole = len(undecided) == len(package.documents)
            again = "refused for now, will be deposited again" if whole else "refused for now"
            state = FROZEN if whole else DEPOSITED
            self._database.move(package.id, state, reason=f"{again}: {_one_line(refusal.reason)}")
            return
        reason = f"rejected by the provider: {_one_line(refusal.reason)}"
        decisions = [Decision(sha256, REJECTED, reason) for sha256 in undecided]
        self._database.decide(package.id, decisions, reason="")

    def _decided(self, package: Package, ticket: Ticket, outcome: Conserved | Partial) -> None:
        path, digest = self._outbox.keep_report(package.id, outcome.report)
        decisions = []
        doubts = set()
        for one in check_report(package, ticket, outcome):
            sha256 = one.document.key.sha256
            if one.proven:
                decisions.append(Decision(sha256, CONSERVED, "", path, digest))
            else:
                doubts.add(one.doubt)
                decisions.append(Decision(sha256, "packaged", f"{_UNVERIFIED}: {one.doubt}"))
        if isinstance(outcome, Partial):
            by_id = {document.id: document.key.sha256 for document in package.documents}
            for name, refusal in outcome.rejected.items():
                if name in by_id and name not in outcome.conserved:
                    decisions.append(_refusal(by_id[name], refusal))
        reason = f"{_UNVERIFIED}: {'; '.join(sorted(doubts))}" if doubts else "deposited, not all is decided"
        self._database.decide(package.id, decisions, reason=reason, attention=bool(doubts))


def _validation_of(provider: ConservationProvider) -> Callable[[Package], Rejected | None] | None:
    """Return how a provider checks a package without keeping it; None: it can't."""
    if isinstance(provider, SupportsValidation):
        return provider.validate
    return provider.rehearse if isinstance(provider, SupportsRehearsal) else None


def _check(method: str, answer: object, allowed: tuple[type, ...]) -> None:
    """Hold a provider to the contract: what it answers is of these types, and a token is JSON.

    Raises:
        TypeError: it is not; the host says it in the plugin's name.
    """
    if not isinstance(answer, allowed):
        names = ", ".join(one.__name__ for one in allowed)
        raise TypeError(
            f"{method} of the conservation provider must return one of {names}, not {answer!r:.80}"
        )
    if isinstance(answer, Ticket):
        try:
            kept = json.loads(json.dumps(answer.token, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(
                f"{method} of the conservation provider returned a Ticket whose token is not JSON: {error}"
            ) from error
        if kept != answer.token:
            raise TypeError(
                f"{method} of the conservation provider returned a Ticket whose token a round trip through JSON changes"
            )


def _refusal(sha256: str, refusal: Rejected) -> Decision:
    reason = _one_line(refusal.reason)
    if refusal.retryable:
        return Decision(sha256, "packaged", f"refused for now: {reason}")
    return Decision(sha256, REJECTED, f"rejected by the provider: {reason}")


def _ticket(row: PackageRow) -> Ticket:
    kept = row.ticket or {}
    return Ticket(token=kept.get("token"), sha256=kept.get("sha256", ""))


def _progress(state: str) -> str:
    return {TRYING: "deposit begun, not confirmed", DEPOSITED: "deposited"}.get(state, "not deposited yet")


def _one_line(text: str) -> str:
    line = "".join(char if char.isprintable() else " " for char in mask(text))
    return " ".join(line.split())[:300]
