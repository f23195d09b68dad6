"""The place of an archive: first runs that race for it, markers that a power cut tore, links that lead out of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from testbed.command import Archipec

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
KINDS = ("maildir", "eml", "mbox", "zip")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


def source(tmp_path: Path, name: str, *numbers: int) -> str:
    folder = tmp_path / name / "cur"
    folder.mkdir(parents=True)
    for number in numbers:
        raw = b"From: a@pec.example.it\r\nSubject: %d\r\n\r\n" % number
        (folder / f"{1_760_000_000 + number}.M{number}.host:2,S").write_bytes(raw)
    return f"maildir:{tmp_path / name}"


def test_two_first_runs_at_once(tmp_path: Path) -> None:
    """One makes the archive; the other finds it, then or at its next run."""
    sources = [source(tmp_path, "one", 1), source(tmp_path, "two", 2)]
    for round_ in range(4 if FULL else 2):
        root = tmp_path / f"A{round_}"
        commands = [Archipec(tmp_path / f"state{round_}-{number}") for number in range(2)]
        arguments = [("archive", "--from", each, "--to", f"maildir:{root}", "--no-seals") for each in sources]
        started = [command.start(*each) for command, each in zip(commands, arguments, strict=True)]
        for process in started:
            _, err = process.communicate(timeout=120)
            assert process.returncode in (0, 5), err
            assert "another archive" not in err
        for command, each in zip(commands, arguments, strict=True):
            command(*each)
        assert len(list(root.rglob("cur/*"))) == 2
        commands[0]("verify", "--to", f"maildir:{root}", "--no-seals")


@pytest.mark.parametrize("torn", [b"", b"\0" * 300])
@pytest.mark.parametrize("known", [True, False])
def test_a_marker_that_a_power_cut_tore_heals(tmp_path: Path, torn: bytes, known: bool) -> None:
    url, root = source(tmp_path, "one", 1), tmp_path / "A"
    arguments = ("archive", "--from", url, "--to", f"maildir:{root}", "--no-seals")
    Archipec(tmp_path / "state")(*arguments)
    before = json.loads((root / "archipec.json").read_bytes())
    (root / "archipec.json").write_bytes(torn)
    Archipec(tmp_path / ("state" if known else "another"))(*arguments)
    after = json.loads((root / "archipec.json").read_bytes())
    assert (after["archive"], after["record"]) == (before["archive"], before["record"])
    Archipec(tmp_path / "state")("verify", "--to", f"maildir:{root}", "--no-seals")


@pytest.mark.parametrize("known", [True, False])
def test_a_marker_that_was_lost_is_made_anew_with_the_same_name(tmp_path: Path, known: bool) -> None:
    """The archive's inventory has its name too, so a ledger that knows it goes on, and so does every other one."""
    root = tmp_path / "A"
    to = ("--to", f"maildir:{root}", "--no-seals")
    Archipec(tmp_path / "state")("archive", "--from", source(tmp_path, "one", 1), *to)
    before = json.loads((root / "archipec.json").read_bytes())
    (root / "archipec.json").unlink()
    command = Archipec(tmp_path / ("state" if known else "another"))
    command("archive", "--from", source(tmp_path, "two", 2), *to)
    assert json.loads((root / "archipec.json").read_bytes())["archive"] == before["archive"]
    Archipec(tmp_path / "state")("archive", "--from", source(tmp_path, "three", 3), *to)
    Archipec(tmp_path / "nobody")("verify", *to)


def test_without_a_marker_another_archive_is_told_by_its_inventory(tmp_path: Path) -> None:
    url = source(tmp_path, "one", 1)
    command = Archipec(tmp_path / "state")
    command("archive", "--from", url, "--to", f"maildir:{tmp_path / 'A'}", "--no-seals")
    other = source(tmp_path, "two", 2)
    Archipec(tmp_path / "other")(
        "archive", "--from", other, "--to", f"maildir:{tmp_path / 'B'}", "--no-seals"
    )
    (tmp_path / "A").rename(tmp_path / "aside")
    (tmp_path / "B").rename(tmp_path / "A")
    (tmp_path / "A" / "archipec.json").unlink()
    before = content_of(tmp_path / "A")
    result = command("archive", "--from", other, "--to", f"maildir:{tmp_path / 'A'}", "--no-seals", expect=5)
    assert "another archive stands there" in result.err
    assert content_of(tmp_path / "A") == before


def test_a_file_of_that_name_that_is_no_marker_is_left_alone(tmp_path: Path) -> None:
    url, root = source(tmp_path, "one", 1), tmp_path / "A"
    root.mkdir()
    for content in (b"hello", b"[" * 100_000, b"{}", b'{"archive": 3}', b'{"n": ' + b"9" * 5000 + b"}"):
        (root / "archipec.json").write_bytes(content)
        result = Archipec(tmp_path / "state")("archive", "--from", url, "--to", f"mbox:{root}", expect=4)
        assert str(root / "archipec.json") in result.err
        assert (root / "archipec.json").read_bytes() == content


@posix_only
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_written_through_a_link(tmp_path: Path, kind: str) -> None:
    """Each file and folder of an archive in turn is moved away and linked to, or becomes a dangling link."""
    first, second = source(tmp_path, "one", 1), source(tmp_path, "two", 1, 2)
    whole = tmp_path / "whole"
    Archipec(tmp_path / "state")("archive", "--from", first, "--to", f"{kind}:{whole}", "--no-seals")
    names = sorted(path.relative_to(whole) for path in whole.rglob("*"))
    for name in [*names, Path(".archipec.tmp")]:
        for dangling in (False, True):
            place = tmp_path / f"{len(list(tmp_path.iterdir()))}"
            root, outside = place / "A", place / "outside"
            shutil.copytree(whole, root)
            outside.mkdir(parents=True)
            target = outside / "target"
            if (root / name).exists():
                (root / name).rename(target)
            else:
                target.mkdir()
            if dangling:
                shutil.rmtree(target) if target.is_dir() else target.unlink()
            (root / name).symlink_to(target)
            before = content_of(outside)
            command = Archipec(place / "state")
            result = command("archive", "--from", second, "--to", f"{kind}:{root}", "--no-seals", expect=None)
            assert result.code in (0, 3, 4, 5, 7), result
            assert content_of(outside) == before, f"written through {name}"


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


@posix_only
def test_an_order_of_steps_that_never_hangs(tmp_path: Path) -> None:
    """Named pipes in the place of every file that an archive has."""
    url = source(tmp_path, "one", 1)
    for kind in KINDS:
        whole = tmp_path / kind
        Archipec(tmp_path / f"state-{kind}")(
            "archive", "--from", url, "--to", f"{kind}:{whole}", "--no-seals"
        )
        for path in sorted(path for path in whole.rglob("*") if path.is_file()):
            aside = tmp_path / "aside"
            path.rename(aside)
            os.mkfifo(path)
            for arguments in (
                ("verify", "--to", f"{kind}:{whole}", "--no-seals"),
                ("archive", "--from", f"{kind}:{whole}", "--to", f"maildir:{tmp_path / 'B'}", "--no-seals"),
                ("archive", "--from", url, "--to", f"{kind}:{whole}", "--no-seals"),
            ):
                result = Archipec(tmp_path / "nobody")(*arguments, expect=None, timeout=60)
                assert result.code != 1, result
            path.unlink()
            aside.rename(path)
