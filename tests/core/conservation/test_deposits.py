"""The way through the outbox: every step can be the last before a crash, and nothing is lost, doubled or trusted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest

from archipec.conservation.provider import (
    ConservationProvider,
    Conserved,
    Limits,
    Outcome,
    Package,
    Partial,
    Pending,
    Rejected,
    Report,
    Ticket,
)
from archipec.conservation.sink import ConservationSink, conservation_sink
from archipec.contract import ContentKey, Context, Option, Receipt, State
from archipec.errors import (
    ArchipecError,
    IntegrityError,
    MissingCopy,
    PermanentError,
    Scope,
    TransientError,
    Unsupported,
)
from archipec.testing import configure, make_context, make_item
from archipec.testing.messages import small_messages

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def true_report(package: Package, **changes: Any) -> Report:
    fields: dict[str, Any] = {
        "raw": b"<rdv/>",
        "about": package.id,
        "documents": {one.id: one.key.sha256 for one in package.documents},
    }
    return Report(**(fields | changes))


@dataclass
class Script:
    """What the provider does next; without a script it conserves."""

    deposit: Callable[[Package], Any] = lambda package: Conserved(report=true_report(package))
    poll: Callable[[Package, Ticket], Outcome] = lambda package, _: Conserved(report=true_report(package))
    lookup: Callable[[Package], Any] = lambda _: None
    opened: int = 0
    deposited: list[str] = field(default_factory=list)
    looked_up: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)


SCRIPT = Script()


class Scripted(ConservationProvider):
    """Does what the script says."""

    name: ClassVar[str] = "scripted"
    summary: ClassVar[str] = "a script"
    evidence: ClassVar[str] = "made for a test"
    options: ClassVar[tuple[Option, ...]] = ()

    @classmethod
    def where(cls, config: Any) -> str:
        return "conservation+scripted:x"

    @classmethod
    def limits(cls, config: Any) -> Limits:
        return SCRIPT.limits

    @classmethod
    @contextmanager
    def open(cls, config: Any, context: Context) -> Iterator[Self]:
        SCRIPT.opened += 1
        yield cls()

    def deposit(self, package: Package) -> Any:
        SCRIPT.deposited.append(package.id)
        SCRIPT.documents += [one.key.sha256 for one in package.documents]
        return SCRIPT.deposit(package)

    def poll(self, package: Package, ticket: Ticket) -> Outcome:
        return SCRIPT.poll(package, ticket)

    def lookup(self, package: Package) -> Any:
        SCRIPT.looked_up.append(package.id)
        return SCRIPT.lookup(package)


SINK = conservation_sink(Scripted)
MESSAGES = small_messages(4)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = Script()
    monkeypatch.setattr(f"{__name__}.SCRIPT", script)
    return script


class Box:
    """One outbox, opened anew for everything."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "outbox"
        self.root.mkdir()
        self.folder = folder
        self.now = NOW
        self.table: dict[str, object] = {"wait": 0}

    @contextmanager
    def open(self) -> Iterator[ConservationSink]:
        config = configure(SINK, {"outbox": str(self.root), **self.table})
        with SINK.open(config, make_context(self.folder, now=lambda: self.now)) as sink:
            yield sink  # type: ignore[misc]

    def keep(self, messages: list[bytes] = MESSAGES) -> list[Receipt]:
        with self.open() as sink:
            for raw in messages:
                sink.put(make_item(raw))
            return list(sink.commit())

    def settle(self, messages: list[bytes] = MESSAGES) -> dict[bytes, Receipt]:
        with self.open() as sink:
            asked = [Receipt(ContentKey.of(raw), State.PENDING, None) for raw in messages]
            found = {}
            self.error: ArchipecError | None = None
            try:
                for receipt in sink.settle(asked):
                    found[receipt.key] = receipt
            except ArchipecError as error:
                if error.scope > Scope.MESSAGE:
                    raise
                self.error = error
            sink.finish()
        return {raw: found[ContentKey.of(raw)] for raw in messages}

    def states(self, messages: list[bytes] = MESSAGES) -> set[tuple[State, str]]:
        return {(receipt.state, receipt.reason) for receipt in self.settle(messages).values()}


@pytest.fixture
def box(tmp_path: Path, script: Script) -> Box:
    box = Box(tmp_path)
    box.keep()
    return box


def only(states: set[tuple[State, str]]) -> tuple[State, str]:
    (one,) = states
    return one


def test_what_arrives_waits_without_the_provider(tmp_path: Path, script: Script) -> None:
    box = Box(tmp_path)
    assert {receipt.state for receipt in box.keep()} == {State.PENDING}
    assert script.opened == 0
    box.table = {"wait": 3}
    box.now = NOW.replace(month=7, day=2)  # make_item's date is 1 July
    state, reason = only(box.states())
    assert (state, reason) == (State.PENDING, "waits for receipts until 2026-07-04 10:30")
    assert script.opened == 0


def test_what_failed_for_one_package_is_no_success(box: Box, script: Script) -> None:
    def busy(_package: Package) -> Any:
        raise TransientError("the service is busy", scope=Scope.MESSAGE)

    script.deposit = busy
    state, reason = only(box.states())
    assert (state, box.error and box.error.exit_code) == (State.PENDING, 5) and "is busy" in reason


def test_a_provider_is_asked_again_after_the_time_it_names(box: Box, script: Script) -> None:
    """Within a bound: a service that names an hour is left for the next run."""
    waits = [0.01, 3600.0]

    def busy(_package: Package) -> Any:
        raise TransientError("the service is busy", scope=Scope.MESSAGE, retry_after=waits.pop(0))

    script.deposit = busy
    script.lookup = lambda _: None
    assert only(box.states())[0] is State.PENDING
    assert len(script.deposited) == 2 and not waits
    script.deposit = lambda package: Conserved(report=true_report(package))
    assert only(box.states())[0] is State.STORED


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("ticket-1", "must return one of Ticket"),
        (None, "must return one of Ticket"),
        (Ticket(token=NOW), "token is not JSON"),  # type: ignore[arg-type]
        (Ticket(token=float("nan")), "token is not JSON"),
        (Ticket(token={"a": (1,)}), "a round trip through JSON changes"),
    ],
)
def test_an_answer_that_is_none_is_named_with_its_rule(
    box: Box, script: Script, answer: object, says: str
) -> None:
    script.deposit = lambda _: answer
    with pytest.raises(TypeError, match=f"deposit .*{says}"):
        box.settle()
    script.deposit = lambda _: Ticket(token=1)
    script.lookup = lambda _: None
    if not isinstance(answer, Ticket):
        script.poll = lambda *_: answer  # type: ignore[assignment]
        with pytest.raises(TypeError, match=r"poll .*must return one of Pending"):
            box.settle()


def test_the_report_is_kept_byte_for_byte(box: Box, script: Script) -> None:
    raw = bytes(range(256))
    script.deposit = lambda package: Conserved(report=true_report(package, raw=raw, suffix=".xml.p7m"))
    for receipt in box.settle().values():
        assert receipt.state is State.STORED
        token: Any = receipt.token
        path = box.root / token["report"]
        assert path.read_bytes() == raw and path.name.endswith(".xml.p7m")
        assert token["report_sha256"] == hashlib.sha256(raw).hexdigest()
    assert box.states() == {(State.STORED, "")}
    assert len(script.deposited) == 1


@pytest.mark.parametrize("suffix", ["", "/../../x", ".x/y", ".éé", "." * 9, ".a.b.c.d", "x"])
def test_a_suffix_from_outside_decides_no_path(box: Box, script: Script, suffix: str) -> None:
    script.deposit = lambda package: Conserved(report=true_report(package, suffix=suffix))
    for receipt in box.settle().values():
        token: Any = receipt.token
        path = (box.root / token["report"]).resolve()
        assert path.parent.parent == (box.root / "reports").resolve() and path.suffix == ".bin"


def test_what_is_not_proven_stays_pending_and_is_asked_again(box: Box, script: Script) -> None:
    script.deposit = lambda package: Conserved(report=true_report(package, documents={}))
    script.poll = lambda package, ticket: Pending(reason="later")
    box.settle()
    script.poll = lambda package, ticket: Conserved(report=true_report(package, documents={}))
    state, reason = only(box.states())
    assert state is State.PENDING and reason.startswith("deposited, unverified: the report states no hash")
    script.poll = Script().poll
    assert only(box.states())[0] is State.STORED
    assert len(script.deposited) == 1


def test_a_lost_answer_is_looked_up_before_anything_is_sent_again(box: Box, script: Script) -> None:
    def broken(_: Package) -> Any:
        raise TransientError("the line is dead")

    script.deposit = broken
    with pytest.raises(TransientError):
        box.settle()
    script.deposit = Script().deposit
    script.lookup = broken
    with pytest.raises(TransientError):
        box.settle()
    script.lookup = lambda _: Pending(reason="a person has to look")
    assert only(box.states()) == (State.PENDING, "a person has to look")
    assert len(script.deposited) == 1
    script.lookup = lambda _: Ticket(token=[1, {"a": None}])
    tokens = []
    script.poll = lambda package, ticket: tokens.append(ticket.token) or Pending()  # type: ignore[func-returns-value]
    assert only(box.states()) == (State.PENDING, "nothing is decided yet")
    assert tokens == [[1, {"a": None}]]
    script.poll = Script().poll
    assert only(box.states())[0] is State.STORED
    assert len(script.deposited) == 1


def test_where_it_surely_did_not_arrive_the_same_package_is_sent_again(box: Box, script: Script) -> None:
    indexes = []

    def broken(package: Package) -> Any:
        indexes.append(package.index)
        raise TransientError("the line is dead", scope=Scope.MESSAGE)

    script.deposit = broken
    assert only(box.states())[1] == "deposit begun, not confirmed: the line is dead"
    assert only(box.states())[0] is State.PENDING
    assert len(set(indexes)) == 1 and len(indexes) == 2
    assert len(set(script.deposited)) == 1


def test_a_rejected_object_is_not_sent_again_until_it_changes(
    box: Box, script: Script, tmp_path: Path
) -> None:
    script.deposit = lambda package: Rejected(reason="E-1\n formato", report=true_report(package))
    expected = (State.REJECTED, "rejected by the provider: E-1 formato")
    assert only(box.states()) == only(box.states()) == expected
    assert len(script.deposited) == 1
    with box.open() as sink:
        for raw in MESSAGES:
            sink.put(make_item(raw))
        assert {receipt.state for receipt in sink.commit()} == {State.REJECTED}
    terms = tmp_path / "terms.toml"
    terms.write_text('register = "X"')
    box.table = {"wait": 0, "terms": str(terms)}
    assert only(box.states()) == (State.REJECTED, "rejected by the provider: E-1 formato (refused 2 times)")
    assert len(set(script.deposited)) == 2
    terms.write_text('register = "Y"')
    script.deposit = Script().deposit
    assert only(box.states())[0] is State.STORED


def test_a_refusal_for_now_is_tried_again(box: Box, script: Script) -> None:
    script.deposit = lambda _: Rejected(reason="quota", retryable=True)
    assert only(box.states()) == (State.PENDING, "refused for now, will be deposited again: quota")
    script.deposit = Script().deposit
    assert only(box.states())[0] is State.STORED
    assert len(script.deposited) == 2 and len(set(script.deposited)) == 1


def test_one_package_that_fails_does_not_hold_up_the_others(box: Box, script: Script) -> None:
    script.limits = Limits(units=1)
    bad = ContentKey.of(MESSAGES[1]).sha256

    def deposit(package: Package) -> Any:
        if package.documents[0].key.sha256 == bad:
            raise PermanentError("this one is odd", scope=Scope.MESSAGE)
        return Conserved(report=true_report(package))

    script.deposit = deposit
    found = box.settle()
    assert [receipt.state for receipt in found.values()].count(State.STORED) == 3
    assert "this one is odd" in found[MESSAGES[1]].reason


def test_a_wider_error_says_first_what_is_decided(box: Box, script: Script) -> None:
    script.limits = Limits(units=1)

    def deposit(package: Package) -> Any:
        if len(script.deposited) > 2:
            raise TransientError("down")
        return Conserved(report=true_report(package))

    script.deposit = deposit
    states = []
    with box.open() as sink, pytest.raises(TransientError, match="down"):
        for receipt in sink.settle([Receipt(ContentKey.of(raw), State.PENDING, None) for raw in MESSAGES]):
            states.append(receipt.state)
    assert sorted(states) == [State.PENDING] * 2 + [State.STORED] * 2


def test_a_message_larger_than_any_package_is_refused_at_once(tmp_path: Path, script: Script) -> None:
    script.limits = Limits(size=50)
    box = Box(tmp_path)
    with box.open() as sink, pytest.raises(PermanentError, match="larger than the 50 bytes") as caught:
        sink.put(make_item(MESSAGES[0]))
    assert caught.value.scope is Scope.MESSAGE


def test_damage_in_the_outbox_is_never_deposited(box: Box, script: Script) -> None:
    script.deposit = lambda _: Rejected(reason="not today", retryable=True)
    box.settle()
    (path,) = (box.root / "messages").rglob(f"{ContentKey.of(MESSAGES[0]).sha256}.eml")
    path.write_bytes(b"something else")
    script.deposit = Script().deposit
    reason = only(box.states())[1]
    assert "is missing or altered" in reason and len(script.deposited) == 1
    assert {receipt.state for receipt in box.keep([MESSAGES[0]])} == {State.PENDING}
    assert only(box.states())[0] is State.STORED


def test_damage_holds_up_nobody_else(box: Box, script: Script) -> None:
    hurt, lost = (ContentKey.of(raw).sha256 for raw in MESSAGES[:2])
    folder = box.root / "messages"
    next(folder.rglob(f"{hurt}.eml")).write_bytes(b"x")
    next(folder.rglob(f"{lost}.eml")).unlink()
    found = list(box.settle().values())
    assert [receipt.state for receipt in found] == [State.PENDING] * 2 + [State.STORED] * 2
    assert "has been altered" in found[0].reason and "is missing" in found[1].reason
    box.keep(MESSAGES[:2])
    assert only(box.states())[0] is State.STORED
    assert sorted(script.documents) == sorted(ContentKey.of(raw).sha256 for raw in MESSAGES)


def test_what_is_decided_in_part_is_not_deposited_again(box: Box, script: Script) -> None:
    def part(package: Package) -> Any:
        names = frozenset([package.documents[0].id])
        return Partial(report=true_report(package), conserved=names)

    script.deposit = part
    script.poll = lambda package, ticket: Rejected(reason="quota", retryable=True)
    found = sorted(box.settle().values(), key=lambda one: one.state)
    assert [receipt.state for receipt in found] == [State.PENDING] * 3 + [State.STORED]
    box.settle()
    assert len(script.deposited) == 1
    script.poll = Script().poll
    assert only(box.states())[0] is State.STORED


def test_other_settings_make_other_packages_of_what_was_not_sent(box: Box, script: Script) -> None:
    box.table = {"wait": 0, "dry_run": "true"}
    assert only(box.states()) == (State.PENDING, "packaged, not deposited (dry_run)")
    (first,) = (box.root / "packages").iterdir()
    assert only(box.states())[0] is State.PENDING
    assert [first] == list((box.root / "packages").iterdir())
    box.table = {"wait": 0, "holder": "studio@pec.example.it"}
    assert only(box.states())[0] is State.STORED
    assert script.deposited != [first.name] and not first.exists()


@pytest.mark.parametrize("name", ["validate", "rehearse"])
@pytest.mark.parametrize(
    ("refusal", "said"),
    [(None, "would be accepted"), (Rejected(reason="FORMATO-001"), "would be rejected: FORMATO-001")],
)
def test_a_dry_run_asks_a_provider_that_can_check_packages(
    box: Box, script: Script, monkeypatch: pytest.MonkeyPatch, name: str, refusal: Rejected | None, said: str
) -> None:
    """Also by the name that the method had before version 0.1."""
    checking = type("Checking", (Scripted,), {name: lambda _self, _package: refusal})
    monkeypatch.setattr(f"{__name__}.SINK", conservation_sink(checking))
    box.table = {"wait": 0, "dry_run": "true"}
    assert only(box.states()) == (State.PENDING, f"checked by the provider, not deposited: {said}")
    assert script.deposited == []


def test_drop_folders_are_found_by_their_former_name() -> None:
    from archipec.conservation import drop, dropfolder

    assert drop.DropProvider is dropfolder.DropProvider and drop.Place is dropfolder.RemoteFolder


def test_without_keep_the_report_alone_is_kept(box: Box) -> None:
    box.table = {"wait": 0, "keep": "no"}
    receipts = box.settle()
    assert not list((box.root / "messages").rglob("*.eml"))
    with box.open() as sink:
        for receipt in receipts.values():
            assert sink.find(receipt.key) == receipt
            with pytest.raises(Unsupported, match="its report is"), sink.read(receipt):
                pass
        assert list(sink.check()) == []
        assert {receipt.state for receipt in sink.iterate()} == {State.STORED}
    assert {receipt.state for receipt in box.keep()} == {State.STORED}, "it is not taken in again"
    (report,) = (path for path in (box.root / "reports").rglob("*") if path.is_file())
    report.write_bytes(b"changed")
    with box.open() as sink:
        (problem,) = sink.check()
        assert isinstance(problem, IntegrityError) and "has been altered" in problem.message
        with pytest.raises(MissingCopy, match="has been altered"), sink.read(next(iter(receipts.values()))):
            pass
        assert sink.find(next(iter(receipts.values())).key) is None


def test_what_it_does_not_know_is_not_held(box: Box) -> None:
    with box.open() as sink:
        (answer,) = sink.settle([Receipt(ContentKey.of(b"x"), State.PENDING, None)])
    assert (answer.state, answer.reason) == (State.REJECTED, "it is no longer in the outbox")


def test_an_outbox_of_a_newer_archipec_is_left_alone(box: Box) -> None:
    import sqlite3

    with sqlite3.connect(box.root / "outbox.sqlite3") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(PermanentError, match="newer archipec"), box.open():
        pass


def test_a_shared_option_is_nobodys_own() -> None:
    class Greedy(Scripted):
        options: ClassVar[tuple[Option, ...]] = (Option(name="keep", help="x"), Option(name="wait", help="x"))

    with pytest.raises(TypeError, match="keep, wait"):
        conservation_sink(Greedy)


def test_the_settings_say_what_is_wrong_with_them() -> None:
    with pytest.raises(ArchipecError) as caught:
        configure(SINK, {"wait": -1, "years": 10_000, "tsa": "ftp://x", "outbox": ""})
    assert len(getattr(caught.value, "problems", ())) == 4
