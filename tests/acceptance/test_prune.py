"""Deletion by proof, through the public command line, from real mailboxes."""

from __future__ import annotations

import hashlib
import imaplib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest

from archipec.config.pipeline import ad_hoc
from archipec.config.prune_policy import read_policy
from archipec.custody.ledger import Ledger
from archipec.custody.pruning.plan import Action
from archipec.custody.pruning.report import PruneReport
from archipec.custody.pruning.rules import KeepReason
from archipec.custody.pruning.run import prune
from archipec.custody.run import Cancellation, Run
from archipec.plugins.registry import Registry
from archipec.simulator import mailbox, shared_authority
from archipec_plugins.pop3.delete import Pop3Deletion
from testbed.command import Archipec, Result, imap_url
from testbed.dovecot import ITALIAN_FOLDERS, Dovecot
from testbed.proxy import Proxy
from testbed.requirements import require

pytestmark = pytest.mark.real

MESSAGES = 1000 if os.environ.get("ARCHIPEC_DEPTH") == "full" else 100
SENT = "Posta inviata"
NOW = datetime.now(UTC).replace(microsecond=0)
ROME = ZoneInfo("Europe/Rome")  # whose days a period is counted in
WITHOUT_UIDPLUS = "IMAP4rev1 LITERAL+ SASL-IR LIST-EXTENDED LIST-STATUS SPECIAL-USE QUOTA MOVE"


def hiding(capabilities: str) -> str:
    """Dovecot's setting for a server that admits to no more than these."""
    return f"protocol imap {{\n  imap_capability = {capabilities}\n}}\n"


@dataclass(frozen=True)
class Office:
    """A mailbox of three years on a real server, and two archives."""

    server: Dovecot
    archipec: Archipec
    folder: Path

    @property
    def url(self) -> str:
        return imap_url(self.server, port=self.server.port, ca_file=self.server.ca_file)

    @property
    def pipeline(self) -> tuple[str, ...]:
        return (
            "--from",
            self.url,
            "--to",
            f"maildir:{self.folder / 'A'}",
            "--to",
            f"mbox:{self.folder / 'B'}",
        )

    def archive(self, *options: object) -> dict[str, Any]:
        return self.archipec("archive", *self.pipeline, "--json", *options).object

    def prune(self, *options: object, expect: int | None = 0) -> dict[str, Any]:
        return self.archipec("prune", *self.pipeline, "--json", *options, expect=expect).object

    def there(self) -> dict[tuple[str, int], tuple[str, ...]]:
        """What the server has, by folder and UID: its flags."""
        return {
            (folder, uid): tuple(flag for flag in flags if flag != "\\Recent")
            for folder, messages in self.server.snapshot().items()
            for uid, flags, _ in messages
        }

    def planned(self, plan: Mapping[str, Any], action: str = "delete") -> set[tuple[str, int]]:
        return {
            (row["folder"], int(row["ref"].partition("/")[2]))
            for row in plan["plan"]
            if row["action"] == action
        }

    def check_archives(self, number: int) -> None:
        for archive in ("maildir:" + str(self.folder / "A"), "mbox:" + str(self.folder / "B")):
            verified = self.archipec("verify", "--to", archive, "--no-seals", "--json").object
            assert (verified["checked"], verified["ok"]) == (number, number)


def age(number: int) -> timedelta:
    """How long ago a message of the office came: up to three years, in no order."""
    return timedelta(days=(number * 1096 // MESSAGES * 7919) % 1096, hours=12)


@pytest.fixture
def make_office(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    require("dovecot")
    with ExitStack() as running:

        def make(messages: Sequence[bytes] | None = None, quota: str = "200M", config: str = "") -> Office:
            server = running.enter_context(Dovecot(special=ITALIAN_FOLDERS, quota=quota, config=config))
            if messages is None:
                samples = list(mailbox(MESSAGES, seed=61, size=7000))
                for folder in ("INBOX", SENT):
                    chosen = [
                        (one.raw, NOW - age(number))
                        for number, one in enumerate(samples)
                        if (one.folder == "INBOX") == (folder == "INBOX")
                    ]
                    server.fill(folder, chosen)
            else:
                server.fill("INBOX", messages)
            archipec = Archipec(tmp_path / "state", {"PEC_PASSWORD": server.password})
            return Office(server, archipec, tmp_path)

        yield make


@dataclass(frozen=True)
class Message:
    """A message of the office, as another client sees it."""

    folder: str
    uid: int
    arrived: datetime
    size: int
    receipt: bool


def seen_by_another_client(office: Office) -> list[Message]:
    found = []
    for folder in ("INBOX", SENT):
        raws = office.server.raw_fetch(folder)
        with office.server.client() as client:
            client.select(f'"{folder}"', readonly=True)
            _, lines = client.uid("FETCH", "1:*", "(UID INTERNALDATE)")
        for line in lines:
            match = re.search(rb"UID (\d+)", line)
            moment = imaplib.Internaldate2tuple(line)
            assert match is not None and moment is not None
            uid, raw = int(match[1]), raws[int(match[1])]
            head = raw.partition(b"\r\n\r\n")[0].lower()
            receipt = re.search(rb"^x-ricevuta:", head, re.MULTILINE) is not None
            arrived = datetime.fromtimestamp(time.mktime(moment), UTC)
            found.append(Message(folder, uid, arrived, len(raw), receipt))
    return sorted(found, key=lambda one: one.arrived)


def older_than_a_year(messages: Sequence[Message], _quota: int) -> set[tuple[str, int]]:
    return {(one.folder, one.uid) for one in messages if one.arrived < NOW - timedelta(days=365)}


def down_to_a_fifth(messages: Sequence[Message], quota: int) -> set[tuple[str, int]]:
    chosen, used = set(), sum(one.size for one in messages)
    for one in messages:
        if used <= quota // 5:
            break
        chosen.add((one.folder, one.uid))
        used -= one.size
    return chosen


def receipts_of_a_period(messages: Sequence[Message], _quota: int) -> set[tuple[str, int]]:
    first, last = NOW - timedelta(days=800), NOW - timedelta(days=300)
    return {
        (one.folder, one.uid)
        for one in messages
        if one.receipt
        and one.folder == "INBOX"
        and first.date() <= one.arrived.astimezone(ROME).date() <= last.date()
    }


FORMS: dict[str, tuple[Callable[[Sequence[Message], int], set[tuple[str, int]]], tuple[str, ...]]] = {
    "age": (older_than_a_year, ("--older-than", "1y")),
    "age, above a level": (older_than_a_year, ("--older-than", "1y", "--when-above", "1%")),
    "size": (down_to_a_fifth, ("--free-to", "20%")),
    "kinds, folder and period": (
        receipts_of_a_period,
        (
            *("--only", "receipts", "--folder", "INBOX"),
            *("--since", str((NOW - timedelta(days=800)).date())),
            *("--until", str((NOW - timedelta(days=300)).date())),
        ),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_deleted_is_exactly_the_plan(make_office: Callable[..., Office], form: str) -> None:
    expected_of, rules = FORMS[form]
    # Dovecot counts in KiB; a small mailbox makes the share of it exact to a message.
    quota = 8_192_000 if MESSAGES > 100 else 1_024_000
    office = make_office(quota=f"{quota // 1024}")
    office.archive("--no-seals")
    messages = seen_by_another_client(office)
    # The sums of RFC 9208 are rounded: the same by what the server says.
    with office.server.client() as client:
        _, told = client.getquotaroot("INBOX")
        used, limit = (int(number) for number in told[1][0].rpartition(b"(")[2].rstrip(b")").split()[1:3])
    expected = expected_of(messages, limit * 1024)
    if form == "size":
        assert abs(used * 1024 - sum(one.size for one in messages)) < 1024
    others = [one for one in messages if (one.folder, one.uid) not in expected][::5]
    for one in others:
        office.server.flag(one.folder, [one.uid], "\\Deleted")
    before = office.there()
    plan = office.prune(*rules, "--allow-large")
    assert office.there() == before, "a plan changed something"
    planned = office.planned(plan)
    assert 0 < len(planned) < MESSAGES
    if form == "size":
        # One message more or less, for the rounding.
        assert len(planned ^ expected) <= 1
    else:
        assert planned == expected
    assert (plan["candidates"] >= plan["proven"] >= len(planned), plan["deleted"]) == (True, 0)
    in_scope = {"INBOX"} if "--folder" in rules else {"INBOX", SENT}
    assert len(plan["plan"]) == len(planned) + sum(plan["kept"].values())
    assert len(plan["plan"]) == sum(one.folder in in_scope for one in messages)
    done = office.prune(*rules, "--allow-large", "--yes")
    assert office.planned(done, "deleted") == planned
    after = office.there()
    assert before.keys() - after.keys() == planned, "not exactly the plan was deleted"
    assert {key: flags for key, flags in before.items() if key in after} == after, "marks of others changed"
    assert sum("\\Deleted" in flags for flags in after.values()) == len(others)
    again = office.archive("--full", "--no-seals")
    assert (again["listed"], again["stored"], again["failed"]) == (0, 0, 0)


def test_without_uidplus_the_plan_goes_to_the_trash(make_office: Callable[..., Office]) -> None:
    office = make_office(config=hiding(WITHOUT_UIDPLUS))
    office.archive("--no-seals")
    messages = seen_by_another_client(office)
    expected = older_than_a_year(messages, 0)
    survivors = [one for one in messages if (one.folder, one.uid) not in expected][:3]
    for one in survivors:
        office.server.flag(one.folder, [one.uid], "\\Deleted")
    before = office.there()
    rules = ("--older-than", "1y", "--allow-large")
    assert office.planned(office.prune(*rules)) == expected
    done = office.prune(*rules, "--yes")
    assert (done["deleted"], done["moved"]) == (0, len(expected))
    after = office.there()
    assert before.keys() - after.keys() == expected
    in_trash = [key for key in after if key[0] == "Cestino"]
    assert len(in_trash) == len(expected)
    assert sum("\\Deleted" in flags for flags in after.values()) == len(survivors)
    # The trash itself can't be emptied one by one here, and is not emptied otherwise.
    refused = office.prune("--empty-trash", "all", "--yes", expect=8)
    assert "trash can't be emptied safely" in refused["refused"]
    assert office.there() == after
    # The provider learns it: now exactly what was moved there can go.
    held = office.server.raw_fetch(survivors[0].folder)[survivors[0].uid]
    office.server.append("Cestino", held)
    office.server.stop()
    office.server._extra = ""
    office.server.start()
    emptied = office.prune("--empty-trash", "own", "--yes")
    assert (emptied["deleted"], emptied["moved"]) == (len(expected), 0)
    assert list(office.server.raw_fetch("Cestino").values()) == [held]
    office.check_archives(MESSAGES)


def test_without_uidplus_and_move_nothing_is_deleted(make_office: Callable[..., Office]) -> None:
    office = make_office(config=hiding(WITHOUT_UIDPLUS.removesuffix(" MOVE")))
    office.archive("--no-seals")
    before = office.there()
    for options in ((), ("--yes",)):
        refused = office.prune("--older-than", "1y", "--allow-large", *options, expect=8)
        assert "can't delete single messages" in refused["refused"]
    assert office.there() == before


def test_a_date_of_2001_on_a_message_of_yesterday(make_office: Callable[..., Office]) -> None:
    old = b"Date: Mon, 1 Jan 2001 10:00:00 +0100\r\nFrom: a@b.example\r\nSubject: old?\r\n\r\nno\r\n"
    office = make_office([(old, NOW - timedelta(days=1))])
    office.archive()
    for rules in (("--older-than", "1y"), ("--until", "2001", "--older-than", "0d")):
        report = office.prune(*rules, "--allow-large", "--yes")
        assert (report["deleted"], len(office.there())) == (0, 1)


def test_a_certified_date_counts_when_the_seal_is_valid(
    make_office: Callable[..., Office], tmp_path: Path
) -> None:
    """Messages moved from another provider yesterday, certified years ago."""
    samples = list(mailbox(6, seed=62, size=7000, mix={"received": 1}, end=datetime(2024, 1, 1, tzinfo=UTC)))
    office = make_office([(one.raw, NOW - timedelta(days=1)) for one in samples])
    office.archive()
    rules = ("--older-than", "1y", "--allow-large", "--yes")
    assert office.prune(*rules)["kept"] == {"too-recent": 6}
    root = tmp_path / "root.pem"
    root.write_text(shared_authority().root_pem)
    office.archipec("verify", *office.pipeline, "--trust", root)
    assert (office.prune(*rules)["deleted"], office.there()) == (6, {})
    office.check_archives(6)


def test_a_damaged_copy_keeps_its_message(make_office: Callable[..., Office]) -> None:
    office = make_office()
    office.archive("--no-seals")
    (victim, *_) = sorted(path for path in (office.folder / "A").rglob("*") if path.parent.name == "cur")
    raw = victim.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    victim.chmod(0o600)
    victim.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    result = office.archipec(
        "prune", *office.pipeline, "--older-than", "0d", "--allow-large", "--yes", "--json", expect=7
    )
    report = result.object
    assert (report["deleted"], report["kept"]) == (MESSAGES - 1, {"altered": 1})
    (left,) = [raw for folder in ("INBOX", SENT) for raw in office.server.raw_fetch(folder).values()]
    assert hashlib.sha256(left).hexdigest() == digest
    # While the message is there the copy can be mended; then it may go.
    assert office.archive("--no-seals")["stored"] == 1
    assert office.prune("--older-than", "0d", "--allow-large", "--yes")["deleted"] == 1
    assert office.there() == {}
    office.check_archives(MESSAGES)


def test_guards_through_the_command_line(make_office: Callable[..., Office]) -> None:
    office = make_office()
    office.archive("--no-seals")
    before = office.there()
    for rules, reason in (
        ((), "no rule says"),
        (("--older-than", "1y"), "% of the messages of folder"),
        (("--older-than", "1y", "--empty-trash", "all", "--folder", "INBOX"), "% of the messages of folder"),
    ):
        refused = office.prune(*rules, "--yes", expect=8)
        assert reason in refused["refused"]
        assert refused["deleted"] == 0
    (office.folder / "A").rename(office.folder / "elsewhere")
    refused = office.prune("--older-than", "1y", "--allow-large", "--yes", expect=8)
    assert "is not in its place" in refused["refused"]
    assert office.there() == before
    office.archipec("prune", *office.pipeline, "--older-than", "soon", "--free-to", "much", expect=4)


def test_another_source_or_sink_shows_nothing(make_office: Callable[..., Office]) -> None:
    """What one export took can go; an archive that has none of it proves nothing."""
    office = make_office()
    office.archive("--no-seals", "--only", "receipts")
    everything = ("--older-than", "0d", "--allow-large", "--yes")
    other = office.archipec(
        "prune", "--from", office.url, "--to", f"maildir:{office.folder / 'C'}", *everything, "--json"
    ).object
    assert (other["deleted"], other["kept"]) == (0, {"not-archived": MESSAGES})
    receipts = {(one.folder, one.uid) for one in seen_by_another_client(office) if one.receipt}
    before = office.there()
    done = office.prune(*everything)
    assert done["deleted"] == len(receipts)
    assert before.keys() - office.there().keys() == receipts


# -- what happens between plan and deletion ------------------------------------------------------------


def in_process(
    office: Office, monkeypatch: pytest.MonkeyPatch, between: Callable[[], None], source: str = ""
) -> PruneReport:
    """Prune, and do something once the plan is made."""
    monkeypatch.setenv("PEC_PASSWORD", office.server.password)
    done: list[bool] = []

    def observe(_report: PruneReport) -> None:
        if not done:
            done.append(True)
            between()

    pipeline = ad_hoc(source or office.url, office.pipeline[3::2], [], Registry.load())
    policy = read_policy({"older_than": "1y", "max_share": "100%"})
    with Ledger(office.archipec.state / "ledger.sqlite3") as ledger:
        return prune(
            replace(pipeline, prune=policy),
            Run(ledger, office.archipec.state, Cancellation(), observe),
            carry_out=True,
        )


def test_a_folder_made_anew_after_the_plan_is_left_alone(
    make_office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its messages have the numbers of those in the plan, and are others."""
    office = make_office([])
    old = NOW - timedelta(days=900)
    office.server.fill("Pratiche", [(b"Subject: old\r\n\r\n%d\r\n" % n, old) for n in range(4)])
    office.archive("--no-seals")
    new = [b"Subject: new\r\n\r\n%d\r\n" % n for n in range(4)]

    def replace_them() -> None:
        office.server.remove("Pratiche")
        office.server.fill("Pratiche", [(raw, old) for raw in new])

    report = in_process(office, monkeypatch, replace_them)
    assert list(office.server.raw_fetch("Pratiche").values()) == new
    assert (report.as_json()["deleted"], report.exit_code) == (0, 8)


def test_a_message_replaced_after_the_plan_is_kept(
    make_office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    office = make_office([])
    old = NOW - timedelta(days=900)
    uids = office.server.fill("INBOX", [(b"Subject: old\r\n\r\n%d\r\n" % n, old) for n in range(4)])
    office.archive("--no-seals")
    other = b"Subject: old\r\n\r\nX\r\n"

    def replace_one() -> None:
        office.server.expunge("INBOX", uids[1:2])
        office.server.append("INBOX", other, old)

    report = in_process(office, monkeypatch, replace_one)
    assert list(office.server.raw_fetch("INBOX").values()) == [other]
    assert report.exit_code == 0


# -- POP3 ----------------------------------------------------------------------------------------------


def pop3_url(server: Dovecot, port: int) -> str:
    ca_file = quote(str(server.ca_file), safe="")
    return (
        f"pop3s://{quote(server.user, safe='@')}@127.0.0.1:{port}?password=env:PEC_PASSWORD&ca_file={ca_file}"
    )


def test_by_size_over_pop3(make_office: Callable[..., Office]) -> None:
    require("dovecot-pop3")
    samples = [one.raw for one in mailbox(MESSAGES, seed=63, size=7000, mix={"received": 1, "sent": 1})]
    office = make_office(samples)
    source = pop3_url(office.server, office.server.pop3_port)
    pipeline = ("--from", source, *office.pipeline[2:], "--json")
    assert office.archipec("archive", *pipeline, "--no-seals").object["stored"] == MESSAGES
    size = sum(map(len, samples))
    rules = ("--free-to", "60%", "--quota", f"{size}", "--allow-large", "--yes")
    done = office.archipec("prune", *pipeline, *rules).object
    left = list(office.server.raw_fetch("INBOX").values())
    assert sum(map(len, left)) <= size * 0.6
    assert 0 < len(left) == MESSAGES - done["deleted"]
    deleted = {row["sha256"] for row in done["plan"] if row["action"] == "deleted"}
    assert not deleted & {hashlib.sha256(raw).hexdigest() for raw in left}
    office.check_archives(MESSAGES)
    again = office.archipec("prune", *pipeline, *rules).object
    assert (again["deleted"], again["note"][:17]) == (0, "nothing to delete")
    refused = office.archipec("prune", *pipeline, "--free-to", "10%", "--yes", expect=8)
    assert "say how large it is" in refused.err


def test_over_pop3_a_connection_cut_before_quit_deletes_nothing(
    make_office: Callable[..., Office], monkeypatch: pytest.MonkeyPatch
) -> None:
    require("dovecot-pop3")
    sealed = [one.raw for one in mailbox(20, seed=64, size=7000, end=datetime(2024, 1, 1, tzinfo=UTC))]
    stamp = b"Received: from a by b; Mon, 5 Jan 2015 10:00:00 +0100\r\n"
    messages = [stamp + raw for raw in sealed]
    office = make_office(messages)
    with Proxy(office.server.pop3_port) as proxy:
        source = pop3_url(office.server, proxy.port)
        office.archipec("archive", "--from", source, *office.pipeline[2:], "--no-seals")
        quit_ = Pop3Deletion._quit

        def cut(self: Pop3Deletion, marked: Any) -> Any:
            assert len(marked) > 0, "nothing was marked: the cut comes too early"
            proxy.cut()
            return quit_(self, marked)

        monkeypatch.setattr(Pop3Deletion, "_quit", cut)
        report = in_process(office, monkeypatch, lambda: None, source)
        assert (report.as_json()["deleted"], report.with_action(Action.DELETED, Action.MOVED)) == (0, [])
        assert set(report.kept) <= {KeepReason.UNCONFIRMED, KeepReason.TOO_RECENT, KeepReason.STOPPED}
        assert report.exit_code == 8
        assert list(office.server.raw_fetch("INBOX").values()) == messages
        monkeypatch.undo()
        again = in_process(office, monkeypatch, lambda: None, source)
    assert again.exit_code == 0
    assert len(office.server.raw_fetch("INBOX")) == len(messages) - len(again.with_action(Action.DELETED))
    assert again.with_action(Action.DELETED)


# -- quota, trash, automatic ---------------------------------------------------------------------------


def config(office: Office, rules: str, *, step: str = "") -> Path:
    path = office.folder / "archipec.toml"
    path.write_text(
        f"""
[[pipeline]]
name = "studio"
[pipeline.source]
type = "imap"
user = {json.dumps(office.server.user)}
host = "127.0.0.1"
port = {office.server.port}
ca_file = {json.dumps(str(office.server.ca_file))}
password = "env:PEC_PASSWORD"
[[pipeline.sink]]
type = "maildir"
path = {json.dumps(str(office.folder / "A"))}
[[pipeline.sink]]
type = "mbox"
path = {json.dumps(str(office.folder / "B"))}
{step}
[pipeline.prune]
{rules}
"""
    )
    return path


def run(office: Office, path: Path, *arguments: object, expect: int | None = 0) -> Result:
    return office.archipec("--config", path, *arguments, expect=expect)


def test_a_pipeline_keeps_its_mailbox_small_by_itself(make_office: Callable[..., Office]) -> None:
    office = make_office()
    rules = 'older_than = "1y"\nmax_share = "100%"\nauto = true'
    path = config(office, rules)
    expected = older_than_a_year(seen_by_another_client(office), 0)
    before = office.there()
    report = run(office, path, "archive", "--no-seals", "--json").object
    assert (report["stored"], report["prune"]["deleted"]) == (MESSAGES, len(expected))
    assert before.keys() - office.there().keys() == expected
    office.check_archives(MESSAGES)
    # An error of the run, and nothing is deleted.
    office.server.append("INBOX", b"Subject: late\r\n\r\nlate\r\n", NOW - timedelta(days=900))
    (office.folder / "B").rename(office.folder / "elsewhere")
    report = run(office, path, "archive", "--no-seals", "--json", expect=5).object
    assert (report["prune"]["deleted"], report["prune"]["note"]) == (
        0,
        "nothing deleted: this run had an error",
    )


def test_what_was_sent_waits_for_its_receipts(make_office: Callable[..., Office], tmp_path: Path) -> None:
    root = tmp_path / "root.pem"
    root.write_text(shared_authority().root_pem)
    samples = list(mailbox(40, seed=65, size=7000, mix={"sent": 3, "late": 1, "received": 1}))
    # Of every third sending the deliveries have not come.
    sent = sorted(one.identificativo or "" for one in samples if one.kind == "accettazione")
    raws = [
        (one.raw, NOW - timedelta(days=900))
        for one in samples
        if not (one.kind == "avvenuta-consegna" and one.identificativo in sent[::3])
    ]
    office = make_office(raws)
    path = config(office, 'older_than = "1d"\nmax_share = "100%"\nreceipts_complete = true')
    run(office, path, "archive", "--trust", root)
    linked = run(office, path, "receipts", "--json", expect=3).objects
    waiting: set[str] = set()
    for one in linked:
        outcomes = {one["status"], *(who["outcome"] for who in one["recipients"])}
        if one["direction"] == "out" and outcomes & {"waiting", "missing", "unproven"}:
            parts = [
                one["sent"],
                one["acceptance"],
                *(r for who in one["recipients"] for r in who["receipts"]),
            ]
            waiting |= {part["sha256"] for part in parts if part}
    assert len(waiting) > len(sent[::3])
    done = run(office, path, "prune", "--yes", "--json").object
    kept = {row["sha256"] for row in done["plan"] if row["action"] == "keep"}
    assert kept == waiting
    assert done["kept"] == {"receipts-incomplete": len(waiting)}
    left = {hashlib.sha256(raw).hexdigest() for raw in office.server.raw_fetch("INBOX").values()}
    assert left == waiting


def test_the_command_line_narrows_what_is_configured(make_office: Callable[..., Office]) -> None:
    office = make_office()
    path = config(office, 'older_than = "1y"\nonly = ["receipts"]\nmax_share = "100%"')
    run(office, path, "archive", "--no-seals")
    receipts = {(one.folder, one.uid) for one in seen_by_another_client(office) if one.receipt}
    old = older_than_a_year(seen_by_another_client(office), 0)
    inbox = {key for key in receipts if key[0] == "INBOX"}
    plan = run(office, path, "prune", "studio", "--folder", "INBOX", "--json").object
    assert office.planned(plan) == inbox & old
    younger = run(office, path, "prune", "--older-than", "0d", "--json").object
    assert office.planned(younger) == receipts


def test_a_filling_mailbox_is_spoken_of(make_office: Callable[..., Office]) -> None:
    size = 700 * 1024
    office = make_office([b"Subject: big\r\n\r\n" + b"x" * (size // 7) + b"\r\n"] * 7, quota="1000")
    step = '[[pipeline.step]]\ntype = "quota"'
    path = config(office, 'older_than = "1y"', step=step)
    result = run(office, path, "archive", "--no-seals")
    assert "70 % full" in result.err or "71 % full" in result.err
    assert "`archipec prune` would free 0.0 MB" in result.err
    status = run(office, path, "status", "studio")
    assert "% full: `archipec prune` would free 0 bytes (0 messages)" in status.err
    office.server.fill("INBOX", [(b"Subject: old\r\n\r\n" + b"y" * 230_000, NOW - timedelta(days=900))])
    result = run(office, path, "archive", "--no-seals")
    assert "what arrives may soon be refused; `archipec prune` would free 0.2 MB" in result.err
    (shape,) = run(office, path, "status", "--json", expect=3).objects
    assert shape["freeable"] == {"messages": 1, "bytes": 230_016}
    assert run(office, path, "prune", "--yes", "--json").object["deleted"] == 1
    run(office, path, "archive", "--no-seals")
    assert run(office, path, "status").code == 0


def test_the_trash_is_emptied_when_asked_in_so_many_words(make_office: Callable[..., Office]) -> None:
    office = make_office()
    office.archive("--no-seals")
    raws = list(office.server.raw_fetch("INBOX").values())
    office.server.fill("Cestino", [raws[0], raws[1], b"Subject: never archived\r\n\r\nx\r\n"])
    before = office.there()
    assert office.prune("--older-than", "9y", "--yes")["deleted"] == 0
    plan = office.prune("--empty-trash", "all")
    assert office.there() == before
    assert (len(office.planned(plan)), plan["kept"]) == (2, {"not-archived": 1})
    done = office.prune("--empty-trash", "all", "--yes")
    assert done["deleted"] == 2
    assert before.keys() - office.there().keys() == office.planned(plan)
    assert list(office.server.raw_fetch("Cestino").values()) == [b"Subject: never archived\r\n\r\nx\r\n"]


def test_what_a_person_sees(make_office: Callable[..., Office]) -> None:
    office = make_office()
    office.archive("--no-seals")
    shown = office.archipec("prune", *office.pipeline, "--older-than", "1y", "--allow-large")
    assert "would be deleted, each proven to be archived" in shown.out
    assert "run again with --yes" in shown.err
    years = {str(one.arrived.year) for one in seen_by_another_client(office)}
    assert any(f"  {year}  INBOX" in shown.out for year in years)
    assert "kept: too recent" in shown.out
    done = office.archipec(
        "prune", *office.pipeline, "--older-than", "1y", "--allow-large", "--yes", "--limit", 5
    )
    assert "5 messages" in done.out
    assert "kept: beyond the limit of this run" in done.out


def test_exactly_the_plan_that_was_shown(make_office: Callable[..., Office]) -> None:
    office = make_office()
    office.archive("--no-seals")
    rules = ("--older-than", "1y", "--allow-large")
    plan = office.prune(*rules)
    planned = office.planned(plan)
    office.server.fill("INBOX", [(b"Subject: late\r\n\r\nlate\r\n", NOW - timedelta(days=900))])
    office.archive("--no-seals")
    refused = office.prune(*rules, "--yes", "--plan", "0123456789ab", expect=8)
    assert "no plan" in refused["refused"]
    before = office.there()
    done = office.prune(*rules, "--yes", "--plan", plan["plan_id"])
    assert before.keys() - office.there().keys() == planned == office.planned(done, "deleted")
    assert done["kept"]["not-planned"] == 1
    assert office.prune(*rules, "--yes")["deleted"] == 1
    shown = office.archipec("prune", *office.pipeline, *rules, "--plan", plan["plan_id"], expect=2)
    assert "--plan is for --yes" in shown.err
