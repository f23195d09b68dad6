"""Conservation through the command line: a provider's program of its own takes packages and leaves reports."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from archipec.simulator import mailbox, shared_authority
from testbed.command import Archipec, Result, imap_url
from testbed.dovecot import Dovecot
from testbed.killed_deposit import POINTS
from testbed.requirements import require, schema
from testbed.tsa import TimeStampAuthority

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
FAULTS = ("wrong-hash", "truncated", "unknown-package", "html", "late")
SUPPORT = Path(__file__).parent.parent / "support"
CONSERVATOR = SUPPORT / "testbed" / "conservator.py"


class Studio:
    """A pipeline with a conservation sink, and the provider behind its folder."""

    def __init__(self, folder: Path, source: str, password: str = "", options: str = "") -> None:
        self.folder = folder
        self.drop = folder / "drop"
        self.home = folder / "home"
        self.drop.mkdir(parents=True)
        self.home.mkdir()
        root = folder / "root.pem"
        root.write_text(shared_authority().root_pem)
        self.outbox = folder / "outbox"
        self.sink = f"conservation+directory:{self.drop}?outbox={self.outbox}&trust={root}{options}"
        self.arguments: tuple[str, ...] = ("--from", source, "--to", self.sink)
        self.command = Archipec(folder / "state", {"PEC_PASSWORD": password})

    def archive(self, **options: Any) -> dict[str, Any]:
        return self.command(
            "archive", *self.arguments, "--trust", self.folder / "root.pem", "--json", **options
        ).object

    def settle(self, **options: Any) -> dict[str, Any]:
        """Settle; return what it says of the sink, an empty object when there was nothing to ask."""
        said = self.command("settle", "--to", self.sink, "--json", **options).object
        return dict(said["sinks"].get("conservation-directory", {}))

    def provider(self, *faults: str) -> None:
        """Let the provider look into the folder once."""
        (self.home / "faults.json").write_text(json.dumps(faults))
        settings = {
            "landing": str(self.drop),
            "reports": "esiti",
            "home": str(self.home),
            "index_schema": schema("sincro/Unisincro_PIndex.xsd"),
        }
        (self.home / "settings.json").write_text(json.dumps(settings))
        subprocess.run(
            [sys.executable, "-I", CONSERVATOR, self.home / "settings.json"],
            input=b"look\n",
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=60,
        )

    def taken(self) -> Counter[str]:
        """What the provider ever took, by the SHA-256 it computed, with how often."""
        path = self.home / "taken.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        assert not [line["bad"] for line in lines if line["bad"] and not line["fault"]]
        return Counter(one["sha256"] for line in lines for one in line["documents"])

    def stored(self) -> int:
        (status,) = self.command("status", "--json", expect=None).objects
        (sink,) = status["sinks"]
        return int(sink["held"]) - int(sink.get("pending", 0))


def write_mailbox(folder: Path, count: int, seed: int = 3) -> set[str]:
    folder.mkdir()
    samples = list(mailbox(count, seed=seed, size=1500))
    for number, sample in enumerate(samples):
        (folder / f"{number:04}.eml").write_bytes(sample.raw)
    return {hashlib.sha256(sample.raw).hexdigest() for sample in samples}


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    write_mailbox(tmp_path / "mail", 40)
    return Studio(tmp_path, f"eml:{tmp_path / 'mail'}")


@pytest.mark.real
def test_from_a_mailbox_to_proven_conservation(tmp_path: Path) -> None:
    """A message gets from an IMAP server into a package, and counts as conserved by the provider's report alone."""
    require("dovecot")
    with Dovecot() as server:
        samples = list(mailbox(500 if FULL else 60, seed=11, size=1500))
        server.fill("INBOX", [sample.raw for sample in samples])
        expected = {hashlib.sha256(raw).hexdigest() for raw in server.raw_fetch("INBOX").values()}
        url = imap_url(server, port=server.port, ca_file=server.ca_file)
        studio = Studio(tmp_path, url, server.password, options="&wait=0")
        report = studio.archive()
    sink = report["sinks"]["conservation-directory"]
    assert (sink["stored"], sink["pending"], report["failed"]) == (0, len(expected), 0)
    (reason,) = report["settled"]["conservation-directory"]["reasons"]
    assert "not yet conservazione a norma" in reason
    text = studio.command("status", "ad-hoc").out
    assert text.count(f"{len(expected)} pending") == 1 and "not yet conservazione a norma" in text

    studio.provider()
    assert studio.taken() == Counter(dict.fromkeys(expected, 1)), "each message once, byte for byte"
    assert studio.settle() == {"stored": len(expected), "rejected": 0, "pending": 0, "reasons": {}}
    assert studio.settle() == {}
    assert studio.stored() == len(expected)
    kept = [path.read_bytes() for path in (studio.outbox / "reports").rglob("*.xml")]
    assert sorted(kept) == sorted(path.read_bytes() for path in (studio.drop / "esiti").iterdir())
    # The server is gone: neither settling nor verifying needs it.
    verified = studio.command("verify", *studio.arguments, "--json").object
    assert (verified["checked"], verified["ok"]) == (len(expected), len(expected))
    alone = studio.command("verify", "--to", studio.sink, "--json").object
    assert (alone["checked"], alone["ok"]) == (len(expected), len(expected))


def test_a_sending_is_deposited_with_its_receipts(studio: Studio) -> None:
    studio.archive()
    (index,) = studio.drop.glob("PdV_*/PIndex.xml")
    groups = [part.split("</s:FileGroup>")[0] for part in index.read_text().split("<s:FileGroup>")[1:]]
    together = [group for group in groups if "documenti/RAC-" in group]
    assert together and all("documenti/RDAC-" in group or "documenti/" in group for group in together)
    assert any("documenti/RDAC-" in group and "documenti/MSG-" in group for group in together)
    assert all(group.count("documenti/BUSTA-") <= 1 for group in groups)


@pytest.mark.real
def test_the_mailbox_keeps_what_is_not_proven(tmp_path: Path) -> None:
    """Prune takes a deposit for nothing, a report for a confirmation, and wants one copy read back besides."""
    require("dovecot")
    with Dovecot() as server:
        server.fill("INBOX", [sample.raw for sample in mailbox(30, seed=5, size=1500)])
        url = imap_url(server, port=server.port, ca_file=server.ca_file)
        studio = Studio(tmp_path, url, server.password, options="&wait=0&keep=no")
        alone = studio.arguments
        studio.arguments = (*alone, "--to", f"maildir:{tmp_path / 'A'}")
        studio.archive()

        def prune(arguments: tuple[str, ...], *options: str) -> dict[str, Any]:
            rules = ("--older-than", "30d", "--only", "envelopes", "--allow-large")
            return studio.command("prune", *arguments, *rules, *options, "--json", expect=None).object

        before = prune(studio.arguments, "--yes")
        assert before["deleted"] == before["proven"] == 0
        assert before["kept"] == {"pending": 30}
        (studio.home / "hold").touch()
        studio.provider("wrong-hash")
        studio.settle(expect=3)
        assert prune(studio.arguments, "--yes")["deleted"] == 0
        (studio.home / "hold").unlink()
        studio.provider()
        assert studio.settle()["pending"] == 0
        unproven = prune(alone, "--yes")
        old = unproven["kept"]["unreadable"]
        assert unproven["deleted"] == 0 and old > 3, "a report alone is no proof"
        pruned = prune(studio.arguments, "--yes")
        assert pruned["deleted"] == pruned["proven"] == old
        proofs = [one["proofs"] for one in pruned["plan"] if one["action"] == "deleted"]
        assert all(any("confirmed" in line for line in one) for one in proofs)
        assert len(server.raw_fetch("INBOX")) == 30 - old


@pytest.mark.real
@pytest.mark.parametrize("keep", ["yes", "no"])
@pytest.mark.parametrize("harm", ["deleted", "altered"])
def test_a_report_proves_while_it_is_as_it_came(tmp_path: Path, harm: str, keep: str) -> None:
    """Without its report nothing is let go; it is asked for again by itself, and then proves again."""
    require("dovecot")
    with Dovecot() as server:
        server.fill("INBOX", [sample.raw for sample in mailbox(12, seed=5, size=1500)])
        url = imap_url(server, port=server.port, ca_file=server.ca_file)
        studio = Studio(tmp_path, url, server.password, options=f"&wait=0&keep={keep}")
        studio.arguments = (*studio.arguments, "--to", f"maildir:{tmp_path / 'A'}")
        studio.archive()
        studio.provider()
        assert studio.settle()["pending"] == 0
        (report,) = (studio.outbox / "reports").rglob("*.xml")
        if harm == "deleted":
            report.unlink()
        else:
            report.write_bytes(report.read_bytes().replace(b"a", b"b", 1))
        rules = ("--older-than", "30d", "--allow-large", "--yes", "--json")
        pruned = studio.command("prune", *studio.arguments, *rules, expect=None).object
        assert pruned["deleted"] == pruned["proven"] == 0
        found = {one["reason"] for one in pruned["plan"] if "the report" in one["reason"]}
        assert found and all(str(report) in reason for reason in found), pruned["plan"][:2]
        assert len(server.raw_fetch("INBOX")) == 12
        verified = studio.command("verify", *studio.arguments, "--json", expect=7).object
        assert verified["ok"] == 12 and verified["missing"] + verified["altered"] == 12
        assert studio.command("verify", "--to", studio.sink, "--json", expect=7).object["ok"] == 0
        studio.archive()
        whole = studio.command("verify", *studio.arguments, "--json").object
        assert whole["ok"] + whole.get("confirmed", 0) == 24
        assert studio.command("prune", *studio.arguments, *rules, expect=None).object["deleted"] > 3
    assert report.exists(), "its name is the one of its bytes"


@pytest.mark.parametrize("fault", FAULTS if FULL else FAULTS[:2])
def test_what_proves_nothing_conserves_nothing(studio: Studio, fault: str) -> None:
    studio.archive()
    (studio.home / "hold").touch()
    studio.provider(fault)
    said = studio.settle(expect=0 if fault in {"late", "unknown-package"} else 3)
    assert (said["stored"], said["pending"]) == (0, 40)
    (reason,) = said["reasons"]
    wanted = {
        "wrong-hash": "deposited, unverified: the report states another hash",
        "truncated": "not understood",
    }
    assert wanted.get(fault, "") in reason
    assert studio.stored() == 0
    (studio.home / "hold").unlink()
    studio.provider()
    assert studio.settle()["stored"] == 40
    assert set(studio.taken().values()) == {1}


def test_what_is_rejected_is_not_deposited_again_unchanged(studio: Studio) -> None:
    studio.archive()
    studio.provider("negative")
    said = studio.settle(expect=3)
    assert (said["stored"], said["rejected"], said["pending"]) == (0, 40, 0)
    (reason,) = said["reasons"]
    assert "FIRMA-003-001" in reason
    for again in (studio.settle, studio.archive):
        again(expect=3)
        studio.provider()
    assert set(studio.taken().values()) == {1}
    status = studio.command("status", "ad-hoc", expect=3).out
    assert "40 rejected" in status and "FIRMA-003-001" in status
    # With other metadata it is another object.
    (studio.folder / "subjects.toml").write_text('["studio@pec.example.it"]\nname = "Studio"\n')
    studio.sink += f"&subjects={studio.folder / 'subjects.toml'}"
    assert studio.settle()["pending"] == 40
    studio.provider()
    assert studio.settle()["stored"] == 40
    assert set(studio.taken().values()) == {2}


def test_each_document_has_its_own_outcome(studio: Studio) -> None:
    studio.archive()
    studio.provider("partial", "partial")
    said = studio.settle(expect=3)
    assert (said["stored"], said["rejected"], said["pending"]) == (39, 1, 0)
    assert list(said["reasons"]) == ["rejected by the provider: FORMATO-001 formato non riconosciuto"]


def test_without_keep_the_reports_are_the_archive(studio: Studio) -> None:
    studio.sink += "&keep=no"
    studio.arguments = (*studio.arguments[:3], studio.sink)
    studio.archive()
    studio.provider()
    studio.settle()
    verified = studio.command("verify", *studio.arguments, "--json").object
    assert (verified["checked"], verified["confirmed"], verified["ok"]) == (40, 40, 0)
    (report,) = (studio.outbox / "reports").rglob("*.xml")
    report.write_bytes(report.read_bytes() + b" ")
    assert studio.command("verify", *studio.arguments, "--json", expect=7).object["missing"] == 40


def test_a_report_that_never_comes_is_said(studio: Studio) -> None:
    """After the days that a report may take, settle, archive and status say so and end with 3."""
    studio.archive()
    assert studio.settle()["pending"] == 40, "a day is no delay"
    with closing(sqlite3.connect(studio.outbox / "outbox.sqlite3", isolation_level=None)) as db:
        db.execute("UPDATE package SET deposited = deposited - 400 * 86400")
    said = studio.settle(expect=3)
    ((line, number),) = said["overdue"].items()
    assert number == 40 and "no report for 400 days" in line and line.startswith("deposited 20")
    for arguments in (("settle", "--to", studio.sink), ("status", "ad-hoc"), ("archive", *studio.arguments)):
        assert "no report for 400 days" in studio.command(*arguments, expect=3).out
    (status,) = studio.command("status", "--json", expect=3).objects
    assert status["sinks"][0]["overdue"][0]["count"] == 40
    studio.sink += "&report_within=500"
    assert studio.settle()["pending"] == 40
    studio.provider()
    assert studio.settle()["stored"] == 40
    studio.archive()
    assert "needs a person" not in studio.command("status", "ad-hoc").out


@pytest.mark.parametrize(
    ("when", "harm"),
    [
        ("before packaging", "flipped"),
        ("waiting for receipts", "deleted"),
        ("packaged", "flipped"),
        ("deposited", "cut"),
    ],
)
def test_what_the_outbox_lost_before_it_was_conserved_is_said(tmp_path: Path, harm: str, when: str) -> None:
    expected = write_mailbox(tmp_path / "mail", 4)
    wait = 3000 if when == "waiting for receipts" else 0
    studio = Studio(tmp_path, f"eml:{tmp_path / 'mail'}", options=f"&wait={wait}")
    sink, arguments = studio.sink, studio.arguments
    # Without its terms nothing can be looked into; a rehearsal deposits nothing.
    hindered = {"before packaging": f"&terms={tmp_path / 'none.toml'}", "packaged": "&dry_run=true"}.get(
        when, ""
    )
    studio.arguments = (*arguments[:-1], sink + hindered)
    studio.archive(expect=4 if when == "before packaging" else 0)
    studio.arguments = arguments
    lost = min((studio.outbox / "messages").rglob("*.eml"))
    damage(lost, harm)
    assert str(lost) in studio.command("settle", "--to", studio.sink, expect=7).err
    text = studio.command("status", "ad-hoc", expect=7).out
    assert "needs a person: 1: " in text and str(lost) in text
    assert "0 messages, 0 bytes, 4 pending" in text
    verified = studio.command("verify", *studio.arguments, "--json", expect=7).object
    assert verified["missing"] + verified["altered"] == 1
    studio.archive()
    healed = studio.command("status", "ad-hoc", expect=None).out
    assert "needs a person" not in healed
    assert studio.command("verify", *studio.arguments, "--json").object["ok"] == len(expected)
    if wait:
        return
    studio.provider()
    studio.settle()
    studio.settle()
    assert studio.stored() == len(expected)
    assert studio.command("status").code == 0


def damage(path: Path, harm: str) -> None:
    raw = path.read_bytes()
    path.unlink()
    if harm != "deleted":
        path.write_bytes(raw[:-9] if harm == "cut" else raw[:-9] + b"?" + raw[-8:])


def test_what_settle_puts_right_is_no_failure_of_the_archiving(studio: Studio) -> None:
    """The provider's folder was away when the run ended, and is there when `settle` asks."""
    away = studio.drop.rename(studio.folder / "away")
    studio.archive(expect=4)
    away.rename(studio.drop)
    studio.settle()
    (status,) = studio.command("status", "--json").objects
    assert (status["exit_code"], status["error"]) == (0, [])
    (sink,) = status["sinks"]
    assert (sink["held"], sink["confirmed"], sink["pending"]) == (40, 0, 40)
    # What only archiving can put right stays.
    mail = studio.folder / "mail"
    mail.rename(studio.folder / "no-mail")
    studio.archive(expect=4)
    studio.settle()
    studio.command("status", expect=4)


def test_an_outbox_of_the_first_format_is_brought_forward(studio: Studio) -> None:
    studio.archive()
    with closing(sqlite3.connect(studio.outbox / "outbox.sqlite3", isolation_level=None)) as db:
        db.execute("ALTER TABLE package DROP COLUMN deposited")
        db.execute("ALTER TABLE package DROP COLUMN attention")
        db.execute("PRAGMA user_version = 1")
    studio.provider()
    assert studio.settle()["stored"] == 40


@pytest.fixture(scope="module")
def tsa() -> Iterator[TimeStampAuthority]:
    require("openssl")
    with TimeStampAuthority() as authority:
        yield authority


@pytest.mark.real
@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        ("/rogue", 4, "is not trusted"),
        ("/broken-signature", 4, "its signature is not the one that was made"),
        ("/mail", 4, "is not one for time stamps"),
        ("/expired", 4, "was not valid then"),
        ("/wrong-nonce", 5, "wrong nonce"),
        ("/wrong-imprint", 5, "on something else"),
        ("/with-mods", 5, "another time stamp than was asked for"),
        ("/huge", 5, "no end"),
        ("/truncated", 5, "no time stamp"),
        ("/503", 5, "HTTP status 503"),
    ],
)
def test_a_time_stamp_that_proves_nothing_freezes_no_package(
    studio: Studio, tsa: TimeStampAuthority, path: str, code: int, says: str
) -> None:
    """The package waits, whatever is wrong with the authority, and goes on when that is mended."""
    studio.archive()
    studio.provider()
    assert studio.settle()["stored"] == 40
    extra = next(iter(mailbox(1, seed=77, size=900)))
    (studio.folder / "mail" / "extra.eml").write_bytes(extra.raw)
    plain = studio.sink
    ca = f"&wait=0&tsa_ca={quote(str(tsa.ca_file), safe='')}"

    studio.sink = f"{plain}{ca}&tsa={quote(tsa.at(path), safe='')}"
    studio.arguments = (*studio.arguments[:3], studio.sink)
    first = studio.command("archive", *studio.arguments, "--json", expect=code)
    assert tsa.at(path) in first.err and says in first.err and '"hint": "' in first.err
    assert first.object["failed"] == 0
    assert first.object["sinks"]["conservation-directory"]["pending"] == 1
    said = studio.settle(expect=code)
    ((reason, number),) = said["reasons"].items()
    assert number == said["pending"] == 1 and says in reason and tsa.at(path) in reason
    assert not list(studio.drop.glob("PdV_*")), "nothing is deposited"

    studio.sink = f"{plain}{ca}&tsa={quote(tsa.url, safe='')}"
    assert studio.settle()["pending"] == 1
    (stamp,) = studio.drop.glob("PdV_*/PIndex.xml.tsr")
    assert tsa.accepts(stamp, stamp.with_suffix("").read_bytes())
    studio.provider()
    assert studio.settle()["stored"] == 1


@pytest.mark.real
def test_verify_checks_the_time_stamps_of_frozen_packages(studio: Studio, tsa: TimeStampAuthority) -> None:
    """By the authority that is trusted now: an earlier version froze packages with whatever came."""
    rogue = tsa.root / "rogue" / "ca.pem"
    good, bad = (f"&tsa_ca={quote(str(ca), safe='')}" for ca in (tsa.ca_file, rogue))
    plain = f"{studio.sink}&wait=0"
    source = studio.arguments[:3]
    stamped = f"{plain}{bad}&tsa={quote(tsa.at('/rogue'), safe='')}"
    studio.command("archive", *source, stamped, "--json")
    (stamp, *_) = studio.outbox.rglob("*.tsr")
    verify = ("verify", *source)
    studio.command(*verify, f"{plain}{bad}", "--no-seals")
    untrusted = studio.command(*verify, f"{plain}{good}", "--no-seals", expect=7)
    assert f"{stamp}: " in untrusted.err and "is not trusted" in untrusted.err
    assert f"{stamp}: " in studio.command("verify", "--to", f"{plain}{good}", "--no-seals", expect=7).err
    index = stamp.with_suffix("")
    index.write_bytes(index.read_bytes() + b" ")
    altered = studio.command(*verify, f"{plain}{bad}", "--no-seals", expect=7)
    assert f"{stamp}: " in altered.err and "is not trusted" not in altered.err


def test_the_folder_may_be_away(studio: Studio) -> None:
    """What arrives is safe in the outbox while the provider's disk is not connected."""
    away = studio.drop.rename(studio.folder / "away")
    report = studio.archive(expect=4)
    assert (report["stored"], report["failed"]) == (40, 0)
    away.rename(studio.drop)
    assert studio.settle()["pending"] == 40
    studio.provider()
    assert studio.settle()["stored"] == 40


def test_wrong_settings_are_said_at_once(tmp_path: Path) -> None:
    result: Result = Archipec(tmp_path)(
        "settle", "--to", "conservation+directory:x?wait=-1&years=0", expect=4
    )
    assert "wait" in result.err and "years" in result.err
    assert "usage" in Archipec(tmp_path)("settle", "name", "--to", "x:y", expect=2).err.lower()


# -- kill -9 -----------------------------------------------------------------------------------------------------

REDUCED = ("after-outbox:1", "after-release:1", "after-marker:1", "before-decision:1")
NAMED = [f"{point}:{number}" for point in POINTS for number in (1, 2)] if FULL else REDUCED
FEW = "&wait=0"


def killed(studio: Studio, point: str, *arguments: object) -> bool:
    """Run a command that is killed at a point; return whether the point was reached."""
    reached = studio.folder / "reached"
    reached.unlink(missing_ok=True)
    env = studio.command.env | {"KILL_AT": point, "KILL_REACHED": str(reached), "PYTHONPATH": str(SUPPORT)}
    argv = [sys.executable, "-m", "testbed.killed_deposit", *studio.command.argv(*arguments)[3:]]
    process = subprocess.run(argv, env=env, capture_output=True, timeout=120, check=False)
    assert process.returncode == (-signal.SIGKILL if reached.exists() else 0), process.stderr
    return reached.exists()


@pytest.mark.parametrize("point", NAMED)
def test_killed_in_a_deposit_or_a_poll(tmp_path: Path, point: str) -> None:
    """The first run is killed while it deposits, else the one that reads the reports; the provider goes on meanwhile."""
    expected = write_mailbox(tmp_path / "mail", 12, seed=8)
    studio = Studio(tmp_path, f"eml:{tmp_path / 'mail'}", options=FEW)
    was_killed = killed(studio, point, "archive", *studio.arguments, "--no-seals")
    studio.provider()
    if not was_killed:
        # Another message, so that there is a second package; the first one's report is there.
        write_mailbox(tmp_path / "mail" / "more", 3, seed=9)
        was_killed = killed(studio, point, "archive", *studio.arguments, "--no-seals")
        studio.provider()
    assert was_killed or point.endswith(":2"), f"{point} was never reached"
    for _ in range(3):
        studio.archive()
        studio.provider()
    expected = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "mail").rglob("*.eml")}
    assert studio.taken() == Counter(dict.fromkeys(expected, 1)), "lost, or deposited twice"
    assert studio.stored() == len(expected)
    verified = studio.command("verify", *studio.arguments, "--json").object
    assert (verified["checked"], verified["ok"]) == (len(expected), len(expected))
