"""Originals saved without their envelope, through the public command line."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from archipec.simulator import mailbox, shared_authority
from testbed.command import Archipec

MISSING = "the envelope is missing: download the message itself"
GOOD = b"From: a@pec.example.it\r\nSubject: good\r\n\r\ngood\r\n"


@pytest.fixture
def archipec(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state")


@pytest.fixture(scope="module")
def envelope() -> bytes:
    """A certified message."""
    return next(
        sample.raw
        for sample in mailbox(40, seed=41, size=7000)
        if b"X-Trasporto: posta-certificata" in sample.raw
    )


@pytest.fixture
def dump(envelope: bytes, archipec: Archipec, tmp_path: Path) -> Path:
    """What "download all attachments" makes of it, beside a message of its own."""
    sealed = tmp_path / "sealed" / "1.eml"
    sealed.parent.mkdir()
    sealed.write_bytes(envelope)
    folder = tmp_path / "dump" / "1"
    archipec("inspect", sealed, "--extract", folder, expect=None)
    extracted = {path.name.lower() for path in folder.rglob("*")}
    assert {"postacert.eml", "daticert.xml"} <= extracted
    (tmp_path / "dump" / "good.eml").write_bytes(GOOD)
    return tmp_path / "dump"


@pytest.fixture(params=["dump", "eml", "zip"])
def source(request: pytest.FixtureRequest, dump: Path, tmp_path: Path) -> str:
    if request.param != "zip":
        return f"{request.param}:{dump}"
    with zipfile.ZipFile(tmp_path / "dump.zip", "w") as file:
        for path in dump.rglob("*.*"):
            file.write(path, path.relative_to(dump))
    return f"dump:{tmp_path / 'dump.zip'}"


def test_they_are_taken_only_when_asked_for_and_listed_until_the_sealed_one_arrives(
    source: str, dump: Path, archipec: Archipec, tmp_path: Path
) -> None:
    (original,) = (path.read_bytes() for path in dump.rglob("postacert.eml"))
    to = ("--to", f"maildir:{tmp_path / 'A'}", "--trust", tmp_path / "root.pem", "--json")
    (tmp_path / "root.pem").write_text(shared_authority().root_pem)
    report = archipec("archive", "--from", source, *to, expect=3).object
    assert (report["stored"], report["failed"]) == (1, 1)
    assert MISSING in report["failures"][0]["reason"]

    report = archipec("archive", "--from", source, *to, "--loose").object
    assert (report["stored"], report["seals"]) == (1, {"unsigned": 1})
    assert sorted(path.read_bytes() for path in (tmp_path / "A").rglob("cur/*")) == sorted([original, GOOD])
    told = archipec("status", "ad-hoc", expect=3).out
    assert f"1 original: {MISSING}" in told
    (loose,) = archipec("status", "--json", expect=3).object["loose"]
    assert loose["folder"] == "1"
    assert archipec("archive", "--from", source, *to, "--loose").object["listed"] == 0

    archipec("archive", "--from", f"eml:{tmp_path / 'sealed'}", *to)
    assert [one["loose"] for one in archipec("status", "--json").objects] == [[], []]


def test_a_source_without_loose_messages_says_so(archipec: Archipec, tmp_path: Path) -> None:
    result = archipec(
        "archive",
        "--from",
        f"maildir:{tmp_path / 'M'}",
        "--to",
        f"mbox:{tmp_path / 'B'}",
        "--loose",
        expect=4,
    )
    assert 'has no option "loose"' in result.err
