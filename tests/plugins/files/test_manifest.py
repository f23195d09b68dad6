"""The manifest of the archives that are trees of files: what `sha256sum -c` says, and what is mended."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archipec.contract import ContentKey, SupportsCheck, SupportsFinish
from archipec.errors import ArchipecError, IntegrityError, MissingCopy, PermanentError
from archipec.testing import make_item, nasty_messages
from archipec_plugins.eml import EML_SINK
from archipec_plugins.files.manifest import Line, Manifest, is_bookkeeping
from archipec_plugins.maildir import MAILDIR_SINK
from testbed.requirements import require

if TYPE_CHECKING:
    from tests.plugins.conftest import Archive

NASTY = nasty_messages()
ONE, TWO, THREE = (b"Subject: %d\r\n\r\ntext\r\n" % n for n in range(3))
DIGEST = hashlib.sha256(ONE).hexdigest()
FOLDERS = ("INBOX", "Posta inviata", "Città/così … 日本", "a\\b", "line\nbreak", " x ", "SHA256SUMS")


@pytest.fixture(params=[EML_SINK, MAILDIR_SINK], ids=lambda record: record.name)
def tree(request: pytest.FixtureRequest, archive: Callable[..., Archive]) -> Archive:
    return archive(request.param, layout="folder")


def sha256sum(archive: Archive) -> tuple[int, str]:
    require("sha256sum")
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=archive.root,
        capture_output=True,
        text=True,
        check=False,
    )
    return checked.returncode, checked.stdout + checked.stderr


def problems(archive: Archive) -> list[ArchipecError]:
    with archive.open() as sink:
        assert isinstance(sink, SupportsCheck)
        return list(sink.check())


def finish(archive: Archive) -> None:
    with archive.open() as sink:
        assert isinstance(sink, SupportsFinish)
        sink.finish()


class TestFile:
    """The file by itself."""

    def test_lines_and_where_they_are(self, tmp_path: Path) -> None:
        manifest = Manifest(str(tmp_path))
        assert list(manifest) == []
        first = manifest.add(DIGEST, "a b/ì")
        second = manifest.add(DIGEST, "c")
        assert manifest.path_at(second) == "c"
        manifest.write()
        third = manifest.add(DIGEST, "d")
        assert [manifest.path_at(at) for at in (first, second, third)] == ["a b/ì", "c", "d"]
        assert list(manifest) == [Line(first, DIGEST, "a b/ì"), Line(second, DIGEST, "c")]
        manifest.close()

    @pytest.mark.parametrize("torn", [b"", DIGEST[:7].encode(), b"\0" * 200_000, f"{DIGEST}  x".encode()])
    def test_what_has_no_end_is_cut_off_when_it_is_added_to(self, tmp_path: Path, torn: bytes) -> None:
        whole = f"{DIGEST}  a\n".encode()
        path = tmp_path / "SHA256SUMS"
        path.write_bytes(whole + torn)
        manifest = Manifest(str(tmp_path))
        assert [line.path for line in manifest] == ["a"]
        assert path.read_bytes() == whole + torn
        manifest.add(DIGEST, "b")
        manifest.write()
        manifest.close()
        assert path.read_bytes() == whole + f"{DIGEST}  b\n".encode()

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "# a comment",
            f"{DIGEST} *a",
            f"{DIGEST.upper()}  a",
            f"\\{DIGEST}  a\\\\b",
            *(
                f"{DIGEST}  {path}"
                for path in ("x" * 5000, "/etc/passwd", "../a", "a/../../b", "..", "a/./b", "a/..")
            ),
        ],
    )
    def test_what_is_no_line_of_ours(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "SHA256SUMS").write_text(f"{DIGEST}  a..b/.c/d\n{line}\n{DIGEST}  ...\n")
        assert [each.path for each in Manifest(str(tmp_path))] == ["a..b/.c/d", "", "..."]

    @pytest.mark.parametrize(
        ("name", "own"),
        [
            ("SHA256SUMS", True),
            ("SHA256SUMS.17.tsr", True),
            ("archipec.json", True),
            (".archipec.lock", True),
            ("SHA256SUMS.eml", False),
            ("archipec.json.eml", False),
        ],
    )
    def test_what_is_no_message(self, name: str, own: bool) -> None:
        assert is_bookkeeping(name) is own


class TestArchives:
    def test_sha256sum_agrees(self, tree: Archive) -> None:
        with tree.open() as sink:
            tree.keep(sink, *NASTY.values())
            grown = (tree.root / "SHA256SUMS").read_bytes()
            items = [make_item(b"%d" % n, folder=folder) for n, folder in enumerate(FOLDERS)]
            tree.keep(sink, *items, *NASTY.values())
        code, said = sha256sum(tree)
        assert code == 0, said
        assert said.count(": OK\n") == len(NASTY) + len(FOLDERS) == len(tree.files())
        assert (tree.root / "SHA256SUMS").read_bytes().startswith(grown)
        assert problems(tree) == []

    def test_a_copy_that_was_altered(self, tree: Archive) -> None:
        with tree.open() as sink:
            (receipt,) = tree.keep(sink, ONE).values()
        (tree.root / str(receipt.token)).write_bytes(ONE[:-1] + b"x")
        assert sha256sum(tree)[0] != 0
        with tree.open() as sink, pytest.raises(IntegrityError):
            tree.read(sink, receipt)

    def test_a_file_that_is_gone(self, tree: Archive) -> None:
        with tree.open() as sink:
            gone, _ = tree.keep(sink, ONE, TWO).values()
        (tree.root / str(gone.token)).unlink()
        (problem,) = problems(tree)
        assert isinstance(problem, MissingCopy) and str(gone.token) in problem.message
        with tree.open() as sink:
            assert tree.held(sink) == [TWO]
            tree.keep(sink, ONE)
            assert tree.held(sink) == [ONE, TWO]
        assert problems(tree) == []
        assert sha256sum(tree)[0] == 0

    def test_a_copy_elsewhere_stands_for_one_that_is_gone(self, tree: Archive) -> None:
        with tree.open() as sink:
            (gone,) = tree.keep(sink, ONE).values()
            (tree.root / str(gone.token)).unlink()
            tree.keep(sink, make_item(ONE, folder="Archivio"))
        assert problems(tree) == []

    def test_a_line_that_was_altered_or_taken_out(self, tree: Archive) -> None:
        with tree.open() as sink:
            tree.keep(sink, ONE, TWO)
        manifest = tree.root / "SHA256SUMS"
        first, second = manifest.read_text().splitlines(keepends=True)
        manifest.write_text(first[::-1].replace("\n", "") + "\n" + second)
        assert ["is no line" in str(one) or "doesn't list" in str(one) for one in problems(tree)] == [
            True
        ] * 2
        manifest.write_text(second[:64] + first[64:] + second)
        assert any("was altered" in str(one) for one in problems(tree))
        manifest.write_text(second)
        (problem,) = problems(tree)
        assert isinstance(problem, IntegrityError) and "doesn't list" in problem.message

    def test_an_archive_without_a_manifest_gets_one(self, tree: Archive) -> None:
        with tree.open() as sink:
            tree.keep(sink, *NASTY.values())
        lines = set((tree.root / "SHA256SUMS").read_text().splitlines())
        (tree.root / "SHA256SUMS").unlink()
        with tree.open() as sink:
            assert tree.held(sink) == sorted(NASTY.values())
            assert sink.find(ContentKey.of(NASTY["plain"])) is not None
        assert not (tree.root / "SHA256SUMS").exists(), "looking changes nothing"
        finish(tree)
        assert set((tree.root / "SHA256SUMS").read_text().splitlines()) == lines
        assert problems(tree) == []

    def test_finishing_what_is_in_order_changes_nothing(self, tree: Archive) -> None:
        finish(tree)
        assert list(tree.root.iterdir()) == []
        with tree.open() as sink:
            tree.keep(sink, ONE)
        before = {path: path.stat() for path in tree.root.rglob("*")}
        finish(tree)
        assert {path: path.stat() for path in tree.root.rglob("*")} == before

    def test_what_cannot_be_listed_is_left_alone(self, tree: Archive) -> None:
        with tree.open() as sink:
            (receipt,) = tree.keep(sink, ONE).values()
        path = tree.root / str(receipt.token)
        strange = tree.root / "not\nours" / "cur" / path.name
        strange.parent.mkdir(parents=True)
        path.rename(strange)
        (tree.root / "SHA256SUMS").unlink()
        finish(tree)
        assert not (tree.root / "SHA256SUMS").exists()

    def test_a_manifest_that_may_not_be_written(self, tree: Archive) -> None:
        (tree.root / "SHA256SUMS").mkdir()
        with tree.open() as sink, pytest.raises(PermanentError, match="SHA256SUMS"):
            tree.keep(sink, ONE)
        assert not tree.files(), "nothing is in view that could not be listed"


def test_what_mail_programs_renamed_is_no_problem(archive: Callable[..., Archive]) -> None:
    maildir = archive(MAILDIR_SINK)
    with maildir.open() as sink:
        receipt, _ = maildir.keep(sink, ONE, TWO).values()
    path = maildir.root / str(receipt.token)
    path.rename(path.with_name(path.name + "RS"))
    assert problems(maildir) == []
    with maildir.open() as sink:
        maildir.keep(sink, THREE)
    assert (maildir.root / "SHA256SUMS").read_text().count("\n") == 3
    assert problems(maildir) == []
