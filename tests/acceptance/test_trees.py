"""Archives that are trees of files, .eml and Maildir: what other programs say of them, and of their manifest."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from archipec.simulator import mailbox
from archipec.testing import nasty_messages
from testbed.command import Archipec
from testbed.requirements import require
from testbed.small_disk import remount, small_disk
from testbed.tsa import TimeStampAuthority

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
MAILBOX = [sample.raw for sample in mailbox(600 if FULL else 120, seed=31, size=12_000)]
# Out of a dump, that one is taken for an occurrence of "bare-lf", whose last line end a program cut off.
# A source never takes an empty file for a message.
NASTY = [raw for name, raw in nasty_messages().items() if name not in ("bare-lf-no-final-newline", "0-bytes")]
TREES = ["eml:{}", "eml:{}?layout=folder", "eml:{}?layout=kind", "maildir:{}", "maildir:{}?layout=date"]


def digests(root: Path) -> Counter[str]:
    """Return the hash of every message in a tree."""
    files = [*root.rglob("*.eml"), *root.rglob("cur/*")]
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)


def hashes_of(raws: list[bytes]) -> Counter[str]:
    return Counter(hashlib.sha256(raw).hexdigest() for raw in set(raws))


def sha256sum(root: Path) -> tuple[bool, str]:
    """Check a manifest as a person would, from a shell."""
    require("sha256sum")
    shell = ["sh", "-c", "sha256sum -c SHA256SUMS"]
    checked = subprocess.run(shell, cwd=root, capture_output=True, text=True, check=False)
    return checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture
def source(tmp_path: Path) -> Callable[[list[bytes]], str]:
    def make(raws: list[bytes]) -> str:
        for folder in ("Posta in arrivo", "Posta inviata"):
            (tmp_path / "source" / folder / "cur").mkdir(parents=True)
        for number, raw in enumerate(raws):
            folder = "Posta inviata" if number % 3 == 0 else "Posta in arrivo"
            (
                tmp_path / "source" / folder / "cur" / f"{1_760_000_000 + number}.M{number}.host:2,S"
            ).write_bytes(raw)
        return f"maildir:{tmp_path / 'source'}"

    return make


@pytest.fixture
def archipec(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state")


@pytest.mark.parametrize("tree", TREES)
def test_other_programs_find_every_byte(
    archipec: Archipec, source: Callable[[list[bytes]], str], tmp_path: Path, tree: str
) -> None:
    root = tmp_path / "PEC"
    pipeline = ("--from", source(NASTY + MAILBOX), "--to", tree.format(root))
    expected = hashes_of(NASTY + MAILBOX)
    assert archipec("archive", *pipeline, "--json").object["stored"] == expected.total()
    assert digests(root) == expected
    passes, said = sha256sum(root)
    assert passes and said.count(": OK\n") == expected.total()
    marker = json.loads((root / "archipec.json").read_bytes())
    assert (marker["messages"], marker["sink"]) == (expected.total(), tree.partition(":")[0])
    assert marker["sources"] == [f"maildir:{tmp_path / 'source'}"]
    manifest = (root / "SHA256SUMS").read_bytes()

    again = archipec("archive", *pipeline, "--full", "--json").object
    assert (again["stored"], digests(root)) == (0, expected)
    assert (root / "SHA256SUMS").read_bytes() == manifest
    for arguments in (pipeline, ("--to", tree.format(root))):
        verified = archipec("verify", *arguments, "--no-seals", "--json").object
        assert verified["checked"] == verified["ok"] == expected.total()

    victim = next(path for path in sorted(root.rglob("*")) if path.is_file() and path.stat().st_size > 9000)
    content = bytearray(victim.read_bytes())
    content[4321] ^= 1
    victim.write_bytes(content)
    passes, said = sha256sum(root)
    assert not passes and said.count(": FAILED\n") == 1
    for arguments in (pipeline, ("--to", tree.format(root))):
        assert archipec("verify", *arguments, "--no-seals", "--json", expect=7).object["altered"] == 1

    assert archipec("archive", *pipeline, "--json").object["stored"] == 1
    assert archipec("verify", *pipeline, "--no-seals", "--json").object["ok"] == expected.total()
    assert victim.read_bytes() == content, "nothing in an archive is replaced"


def test_a_manifest_that_was_altered(
    archipec: Archipec, source: Callable[[list[bytes]], str], tmp_path: Path
) -> None:
    root = tmp_path / "PEC"
    pipeline = ("--from", source(MAILBOX[:5]), "--to", f"eml:{root}")
    archipec("archive", *pipeline)
    manifest = root / "SHA256SUMS"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[1:]))
    for arguments in (pipeline, ("--to", f"eml:{root}")):
        result = archipec("verify", *arguments, expect=7)
        assert "SHA256SUMS doesn't list" in result.err


def test_an_archive_is_a_source(
    archipec: Archipec, source: Callable[[list[bytes]], str], tmp_path: Path
) -> None:
    archipec("archive", "--from", source(MAILBOX), "--to", f"eml:{tmp_path / 'A'}")
    (tmp_path / "A" / ".archipec.tmp").mkdir()
    (tmp_path / "A" / ".archipec.tmp" / "torn.eml").write_bytes(MAILBOX[0][:500])  # as a killed run leaves it
    (tmp_path / "A" / "SHA256SUMS.17.tsr").write_bytes(b"0\x82")
    for number, scheme in enumerate(("eml", "dump")):
        other = Archipec(tmp_path / f"state-{number}")
        to = tmp_path / f"B{number}"
        result = other("archive", "--from", f"{scheme}:{tmp_path / 'A'}", "--to", f"maildir:{to}", "--json")
        assert digests(to) == hashes_of(MAILBOX)
        assert "left out" not in result.err


@pytest.mark.real
def test_time_stamps(archipec: Archipec, source: Callable[[list[bytes]], str], tmp_path: Path) -> None:
    require("openssl")
    root = tmp_path / "PEC"
    raws = MAILBOX[:6]
    where = source(raws)
    with TimeStampAuthority() as tsa:
        options = f"tsa={quote(tsa.url, safe='')}&tsa_ca={quote(str(tsa.ca_file), safe='')}"
        pipeline = ("--from", where, "--to", f"eml:{root}?{options}")
        tsa.stop()
        unreachable = archipec("archive", *pipeline, "--json", expect=5)
        assert unreachable.object["stored"] == len(raws)
        assert "the time-stamping authority" in unreachable.err
        assert "the next run asks for the time stamp again" in unreachable.err
        assert "has no time stamp" in archipec("verify", *pipeline, expect=7).err
        tsa.start()
        assert archipec("archive", *pipeline, "--json").object["listed"] == 0
        (token,) = root.glob("SHA256SUMS.*.tsr")
        manifest = (root / "SHA256SUMS").read_bytes()
        assert tsa.accepts(token, manifest)
        assert sha256sum(root)[0]
        for arguments in (pipeline, ("--to", f"eml:{root}?{options}")):
            archipec("verify", *arguments)
        (root / "SHA256SUMS").write_bytes(manifest[:-1] + b"x\n")
        assert "on something else" in archipec("verify", *pipeline, expect=7).err
        (root / "SHA256SUMS").write_bytes(manifest)
        ca = f"tsa_ca={quote(str(tsa.root / 'rogue' / 'ca.pem'), safe='')}"
        untrusted = archipec("verify", "--to", f"eml:{root}?{ca}", expect=7)
        assert "is not trusted" in untrusted.err and "tsa_ca" in untrusted.err


@pytest.mark.parametrize(
    ("before", "after", "code", "says"),
    [("size=1m", "size=100m", 5, "no room left"), ("size=100m,ro", "size=100m,rw", 4, "read-only")],
    ids=["full", "read-only"],
)
def test_one_of_three_sinks_that_cannot_write(
    archipec: Archipec,
    source: Callable[[list[bytes]], str],
    tmp_path: Path,
    before: str,
    after: str,
    code: int,
    says: str,
) -> None:
    with small_disk(tmp_path / "disk", "size=100m") as bad:
        first, rest = MAILBOX[:10], MAILBOX
        sinks = (
            "--to",
            f"eml:{bad / 'A'}",
            "--to",
            f"maildir:{tmp_path / 'B'}",
            "--to",
            f"mbox:{tmp_path / 'C'}",
        )
        pipeline = ("--from", source(first), *sinks)
        archipec("archive", *pipeline)
        for number, raw in enumerate(rest[10:]):
            (tmp_path / "source" / "Posta inviata" / "cur" / f"1.N{number}.host:2,S").write_bytes(raw)
        remount(bad, before)
        result = archipec("archive", *pipeline, "--json", expect=code)
        assert says in result.err and str(bad) in result.err
        expected = hashes_of(rest)
        new = expected.total() - len(set(first))
        report = result.object
        assert {name: report["sinks"][name]["stored"] for name in ("maildir", "mbox")} == {
            "maildir": new,
            "mbox": new,
        }
        assert report["sinks"]["eml"]["stored"] < new
        assert digests(tmp_path / "B") == expected
        torn = archipec("verify", "--to", f"eml:{bad / 'A'}", "--no-seals", "--json").object
        assert torn["checked"] == torn["ok"] >= len(set(first))

        remount(bad, after)
        report = archipec("archive", *pipeline, "--json").object
        assert report["sinks"]["maildir"]["stored"] == report["sinks"]["mbox"]["stored"] == 0
        assert digests(bad / "A") == expected
        passes, said = sha256sum(bad / "A")
        assert passes and said.count(": OK\n") == expected.total()
        assert archipec("verify", *pipeline, "--no-seals", "--json").object["ok"] == 3 * expected.total()
