"""REM through the command line: which files make a provider one to trust, and what the ledger keeps of it."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from archipec.simulator import Provider, compose, shared_authority
from archipec.simulator.rem import RemProvider
from archipec.simulator.rem_list import ListedService, trusted_list
from testbed.command import Archipec

PROVIDER, PEC = RemProvider(), Provider()
SENDING = PROVIDER.accept(compose(subject="REM"))
REVOKED = datetime(2026, 9, 1, tzinfo=UTC)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    mail = tmp_path / "mail"
    mail.mkdir()
    (mail / "1.eml").write_bytes(PROVIDER.dispatch(SENDING))
    (mail / "2.eml").write_bytes(PROVIDER.receipt(SENDING, "ContentConsignment"))
    (mail / "3.eml").write_bytes(PEC.acceptance(compose()))
    (tmp_path / "root.pem").write_text(shared_authority().root_pem)
    (tmp_path / "tl.xml").write_bytes(trusted_list([ListedService(PROVIDER.name, PROVIDER.certificate)]))
    # One list of the authority names both: providers of PEC and REM have the same here.
    crl = shared_authority().revoke(
        {PEC.certificate: REVOKED, PROVIDER.certificate: REVOKED}, datetime(2026, 10, 1, tzinfo=UTC)
    )
    (tmp_path / "ca.crl").write_bytes(crl)
    return tmp_path


def test_a_trusted_list_makes_rem_valid_and_pec_not(files: Path) -> None:
    archipec = Archipec(files / "state")
    mail = sorted((files / "mail").iterdir())

    def seals(*options: object, code: int) -> list[str]:
        return [
            one["seal"]["status"]
            for one in archipec("inspect", *mail, "--json", *options, expect=code).objects
        ]

    assert seals(code=3) == ["untrusted"] * 3
    assert seals("--trust-list", files / "tl.xml", code=3) == ["valid", "valid", "untrusted"]
    assert seals("--trust", files / "root.pem", code=0) == ["valid"] * 3
    both = ("--trust-list", files / "tl.xml", "--trust", files / "root.pem")
    assert seals(*both, code=0) == ["valid"] * 3
    assert seals(*both, "--crl", files / "ca.crl", code=3) == ["untrusted"] * 3
    said = archipec("inspect", mail[2], *both, "--crl", files / "ca.crl", expect=3).out
    assert "was revoked on 1 September 2026" in said


@pytest.mark.parametrize("option", ["--trust-list", "--crl"])
def test_a_file_that_is_something_else_is_named(files: Path, option: str) -> None:
    done = Archipec(files / "state")("inspect", files / "mail/1.eml", option, files / "root.pem", expect=4)
    assert "root.pem" in done.err
    assert "hint:" in done.err


def test_a_list_that_was_altered_is_refused(files: Path) -> None:
    altered = files / "tl.xml"
    altered.write_bytes(altered.read_bytes().replace(b">42<", b">43<"))
    done = Archipec(files / "state")("inspect", files / "mail/1.eml", "--trust-list", altered, expect=4)
    assert "the trusted list is not whole: it was changed after it was signed" in done.err


def test_a_pipeline_judges_by_its_lists_and_keeps_what_the_verdict_rests_on(files: Path) -> None:
    config = files / "archipec.toml"
    config.write_text(
        '[[pipeline]]\nname = "studio"\ntrust_list = "tl.xml"\n[pipeline.source]\ntype = "eml"\npath = "mail"\n'
        '[[pipeline.sink]]\ntype = "maildir"\npath = "archive"\n'
    )
    archipec = Archipec(files / "state")
    run = archipec("--config", config, "archive", "--json")
    assert run.object["seals"] == {"valid": 2, "untrusted": 1}
    assert run.object["kinds"] == {"posta-certificata": 1, "avvenuta-consegna": 1, "accettazione": 1}
    ledger = sqlite3.connect(files / "state" / "ledger.sqlite3")
    records = [
        json.loads(row[0]) for row in ledger.execute("SELECT record FROM verdict WHERE seal = 'valid'")
    ]
    ledger.close()
    assert {one["system"] for one in records} == {"rem"}
    assert all(one["seal"]["basis"][0]["sequence"] == 42 for one in records)
    # The list itself is kept under the name by which the verdict has it, to judge by it again when there is a newer one.
    kept = files / "state" / "lists" / records[0]["seal"]["basis"][0]["trust_list"]
    assert kept.read_bytes() == (files / "tl.xml").read_bytes()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    # Judged again, with the list of revoked certificates besides.
    alone = archipec(
        "verify", "--to", f"maildir:{files / 'archive'}", "--trust-list", files / "tl.xml",
        "--trust", files / "root.pem", "--crl", files / "ca.crl", "--json",
    )  # fmt: skip
    assert alone.object["seals"] == {"untrusted": 3}


def test_what_a_pipeline_names_and_is_not_there(files: Path) -> None:
    config = files / "archipec.toml"
    config.write_text(
        '[[pipeline]]\nname = "studio"\ncrl = ["none.crl"]\n[pipeline.source]\ntype = "eml"\npath = "mail"\n'
        '[[pipeline.sink]]\ntype = "maildir"\npath = "archive"\n'
    )
    done = Archipec(files / "state")("--config", config, "archive", expect=None)
    assert done.code != 0
    assert "none.crl" in done.err
