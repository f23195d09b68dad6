"""What an archive says of itself is complete: whatever is taken out of one, put into one, or swapped, is named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from archipec.simulator import mailbox
from testbed.command import Archipec
from testbed.dovecot import Dovecot
from testbed.strangers import Strangers

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
MESSAGES = 60
KINDS = ("mbox:{}?split=year", "zip:{}?split=year", "maildir:{}", "eml:{}")
Damage = Callable[[Path], None]


def name_of(url: str) -> str:
    return url.partition(":")[0]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("source")
    for number, sample in enumerate(mailbox(MESSAGES, seed=41, size=3000)):
        folder = root / ("Posta inviata" if number % 3 == 0 else "Posta in arrivo") / "cur"
        folder.mkdir(parents=True, exist_ok=True)
        # Spread over three years by when they were received.
        (folder / f"{1_700_000_000 + number * 1_200_000}.M{number}.host:2,S").write_bytes(sample.raw)
    return root


@pytest.fixture(scope="module")
def archives(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Archives of two runs: what the first one left is beside each, in ``before``."""
    root = tmp_path_factory.mktemp("archives")
    half = root / "half"
    shutil.copytree(source, half)
    later = sorted(half.rglob("cur/*"))[::2]
    for path in later:
        path.unlink()
    made = {}
    for kind in KINDS:
        name = name_of(kind)
        command = Archipec(root / f"state-{name}")
        to = kind.format(root / name / "now")
        command("archive", "--from", f"maildir:{half}", "--to", to, "--no-seals")
        shutil.copytree(root / name / "now", root / name / "before")
        command("archive", "--from", f"maildir:{source}", "--to", to, "--no-seals")
        made[name] = root / name
    return made


def check(root: Path, name: str) -> tuple[int, dict[str, int], str]:
    """Return the exit code of verify, its counts, and everything it said."""
    result = Archipec(root.parent / "nobody")(
        "verify", "--to", f"{name}:{root}", "--no-seals", "--json", expect=None
    )
    report = result.objects[0]
    counts = {word: report[word] for word in ("checked", "ok", "missing", "altered")}
    assert counts["checked"] == counts["ok"] + counts["missing"] + counts["altered"]
    return result.code, counts, result.out + result.err


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.suffix in (".mbox", ".zip"))


def listed(root: Path, file: str) -> int:
    """Return how many messages a table of contents lists."""
    return sum(line.startswith(b"M ") for line in (root / f"{file}.toc").read_bytes().splitlines())


@pytest.mark.parametrize("name", ["mbox", "zip", "maildir", "eml"])
def test_a_whole_archive_is_in_order_and_says_so(archives: dict[str, Path], name: str) -> None:
    code, counts, said = check(archives[name] / "now", name)
    assert (code, counts) == (0, {"checked": MESSAGES, "ok": MESSAGES, "missing": 0, "altered": 0}), said
    marker = json.loads((archives[name] / "now" / "archipec.json").read_bytes())
    record = marker["record"]
    data = (archives[name] / "now" / "archipec.toc").read_bytes()
    assert (record["messages"], marker["messages"]) == (MESSAGES, MESSAGES)
    assert data[record["length"] :].startswith(b"Z 60 ")
    assert hashlib.sha256(data[: record["length"]]).hexdigest() == record["sha256"]


def _remove(*names: str) -> Damage:
    def damage(root: Path) -> None:
        for name in names:
            (root / name).unlink()

    return damage


class TestFilesOfMany:
    """Archives of a few files with a table of contents each."""

    @pytest.fixture(params=["mbox", "zip"])
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def root(self, archives: dict[str, Path], tmp_path: Path, name: str) -> Path:
        shutil.copytree(archives[name] / "now", tmp_path / "A")
        assert len(files(tmp_path / "A")) >= 3
        return tmp_path / "A"

    def test_a_file_is_gone(self, root: Path, name: str) -> None:
        victim = files(root)[1]
        lost = listed(root, victim.name)
        victim.unlink()
        code, counts, said = check(root, name)
        assert (code, counts["missing"], counts["ok"]) == (7, lost, MESSAGES - lost)
        assert f"{victim} is gone" in said

    def test_a_file_and_its_table_are_gone(self, root: Path, name: str) -> None:
        victim = files(root)[1]
        lost = listed(root, victim.name)
        victim.unlink()
        (root / f"{victim.name}.toc").unlink()
        code, counts, said = check(root, name)
        assert (code, counts["missing"]) == (7, lost)
        assert f"{victim} is gone" in said

    def test_a_table_is_gone(self, root: Path, name: str) -> None:
        victim = files(root)[0]
        lost = listed(root, victim.name)
        (root / f"{victim.name}.toc").unlink()
        code, counts, said = check(root, name)
        assert (code, counts["missing"]) == (7, lost)
        assert f"{victim}.toc" in said

    def test_a_lost_table_is_one_line_and_the_way_out_makes_a_whole_archive(
        self, root: Path, name: str, tmp_path: Path
    ) -> None:
        victim = files(root)[0]
        lost = listed(root, victim.name)
        (root / f"{victim.name}.toc").unlink()
        command = Archipec(tmp_path / "nobody")
        result = command("verify", "--to", f"{name}:{root}", "--no-seals", expect=7)
        cause = f"{victim}.toc, by which {lost} messages in {victim.name} are found, is gone"
        assert [line for line in result.err.splitlines() if ".toc" in line and "hint" not in line] == [
            f"error: {name}: {cause}"
        ]
        way_out = f"archipec archive --from {name}:{root} --to {name}:NEW"
        assert f"`{way_out}`" in result.err
        _, *words = way_out.replace("NEW", str(tmp_path / "new")).split()
        made = command(*words, "--json", "--no-seals").object
        assert made["stored"] == MESSAGES
        assert check(tmp_path / "new", name)[:2] == (
            0,
            {"checked": MESSAGES, "ok": MESSAGES, "missing": 0, "altered": 0},
        )

    @pytest.mark.parametrize("split", ["year", "none"])
    def test_a_run_into_an_archive_that_lost_a_table_says_so(
        self, source: Path, name: str, split: str, tmp_path: Path
    ) -> None:
        mail, root = tmp_path / "mail", tmp_path / "B"
        shutil.copytree(source, mail)
        command = Archipec(tmp_path / "state")
        to = f"{name}:{root}" if split == "none" else f"{name}:{root}?split={split}"
        arguments = ("archive", "--from", f"maildir:{mail}", "--to", to, "--no-seals")
        command(*arguments)
        command(*arguments)
        victim = files(root)[0]
        lost = listed(root, victim.name)
        before = victim.read_bytes()
        (root / f"{victim.name}.toc").unlink()
        cause = f"{victim}.toc, by which {lost} messages in {victim.name} are found, is gone"
        result = command(*arguments, expect=7)
        assert f"error: ad-hoc: {cause}" in result.err
        assert f"--from {name}:{root} --to {name}:NEW" in result.err
        more = mail / "Posta inviata" / "cur" / "1700000001.M999.host:2,S"
        more.write_bytes(b"Subject: more\r\nDate: Tue, 14 Nov 2023 23:13:20 +0100\r\n\r\n")
        for _ in range(2):
            assert cause in command(*arguments, expect=7).err
        assert victim.read_bytes() == before
        assert cause in command("verify", "--to", f"{name}:{root}", "--no-seals", expect=7).err

    def test_a_run_into_an_archive_that_lost_a_file_says_so(
        self, source: Path, name: str, tmp_path: Path
    ) -> None:
        root = tmp_path / "B"
        command = Archipec(tmp_path / "state")
        arguments = (
            "archive",
            "--from",
            f"maildir:{source}",
            "--to",
            f"{name}:{root}?split=year",
            "--no-seals",
        )
        command(*arguments)
        first, second, *_ = files(root)
        first.unlink()
        assert f"{first} is gone: " in command(*arguments, expect=7).err
        os.truncate(second, second.stat().st_size // 2)
        first.with_name(first.name + ".toc").unlink()
        assert f"{second} was cut short: " in command(*arguments, expect=7).err

    def test_a_file_is_cut_by_another_program_while_a_run_writes_to_it(
        self, name: str, tmp_path: Path
    ) -> None:
        """Nothing of it is written over, and the run says it."""
        strangers = Strangers(tmp_path)
        victim = tmp_path / "B" / f"archive.{name}"
        strangers.install(
            f"""
            class Meddler(Pigeon):
                TEXTS = {{str(n): b"Subject: %d\\r\\n\\r\\n" % n for n in range(2500)}}
                def fetch(self, folder, refs):
                    for number, ref in enumerate(refs):
                        if number == 1800:
                            waits, toc = threading.Event(), {f"{victim}.toc"!r}
                            for _ in range(20_000):
                                if os.path.exists(toc) and open(toc, "rb").read().count(b"\\n") > 100:
                                    break
                                waits.wait(0.001)
                            os.truncate({str(victim)!r}, os.path.getsize({str(victim)!r}) - 9)
                        yield Fetched(ref, iter([self.TEXTS[ref]]))
            globals().update(yields(source(Meddler)))
            """
        )
        result = strangers("archive", "--from", "pigeon:/x", "--to", f"{name}:{victim.parent}", expect=7)
        assert f"{victim}: another program has changed it while it was written to" in result.err

    def test_a_file_was_cut_short(self, root: Path, name: str) -> None:
        victim = files(root)[1]
        os.truncate(victim, victim.stat().st_size // 2)
        code, counts, said = check(root, name)
        assert code == 7
        assert 0 < counts["missing"] < listed(root, victim.name), said
        assert f"{victim} was cut short" in said

    def test_a_file_was_renamed(self, root: Path, name: str) -> None:
        victim = files(root)[1]
        other = victim.with_name(victim.name.replace("archive-20", "archive-19"))
        victim.rename(other)
        (root / f"{victim.name}.toc").rename(root / f"{other.name}.toc")
        code, counts, said = check(root, name)
        assert (code, counts["missing"]) == (7, 0)
        assert victim.name in said and other.name in said

    def test_two_files_were_swapped(self, root: Path, name: str) -> None:
        first, second, *_ = files(root)
        for ending in ("", ".toc"):
            one, two, spare = root / f"{first.name}{ending}", root / f"{second.name}{ending}", root / "spare"
            one.rename(spare)
            two.rename(one)
            spare.rename(two)
        code, _, said = check(root, name)
        assert code == 7
        assert first.name in said and second.name in said

    def test_a_file_is_there_twice(self, root: Path, name: str) -> None:
        victim = files(root)[1]
        other = victim.with_name(victim.name.replace("archive-20", "archive-19"))
        shutil.copy(victim, other)
        shutil.copy(f"{victim}.toc", f"{other}.toc")
        code, counts, said = check(root, name)
        assert (code, counts["missing"], counts["ok"]) == (7, 0, MESSAGES)
        assert other.name in said and "second time" in said

    def test_an_older_copy_of_a_file(self, root: Path, name: str, archives: dict[str, Path]) -> None:
        victim = files(root)[1]
        lost = listed(root, victim.name) - listed(archives[name] / "before", victim.name)
        assert lost > 0
        for ending in ("", ".toc"):
            shutil.copy(archives[name] / "before" / f"{victim.name}{ending}", root)
        code, counts, said = check(root, name)
        assert (code, counts["missing"]) == (7, lost)
        assert victim.name in said

    def test_an_older_copy_without_its_table(self, root: Path, name: str, archives: dict[str, Path]) -> None:
        victim = files(root)[1]
        shutil.copy(archives[name] / "before" / victim.name, root)
        code, counts, said = check(root, name)
        assert (code, counts["missing"] > 0) == (7, True)
        assert f"{victim} was cut short" in said

    def test_a_folder_stands_in_the_place_of_a_file(self, root: Path, name: str) -> None:
        victim = files(root)[1]
        victim.unlink()
        victim.mkdir()
        code, counts, said = check(root, name)
        assert (code, counts["missing"]) == (7, listed(root, victim.name))
        assert f"{victim} is not a file any more" in said

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes among files")
    @pytest.mark.parametrize("ending", ["", ".toc"])
    def test_a_pipe_stands_in_the_place_of_a_file(self, root: Path, name: str, ending: str) -> None:
        victim = Path(f"{files(root)[1]}{ending}")
        lost = listed(root, files(root)[1].name)
        victim.unlink()
        os.mkfifo(victim)
        code, counts, said = check(root, name)
        assert (code, counts["missing"]) == (7, lost)
        assert str(victim) in said

    def test_the_end_of_a_zip_is_gone(self, archives: dict[str, Path], tmp_path: Path) -> None:
        shutil.copytree(archives["zip"] / "now", tmp_path / "Z")
        victim = files(tmp_path / "Z")[1]
        os.truncate(victim, victim.stat().st_size - 30)
        code, counts, said = check(tmp_path / "Z", "zip")
        assert (code, counts["missing"]) == (7, 0)
        assert victim.name in said


class TestTrees:
    """Archives with a file for each message."""

    @pytest.fixture(params=["maildir", "eml"])
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def root(self, archives: dict[str, Path], tmp_path: Path, name: str) -> Path:
        shutil.copytree(archives[name] / "now", tmp_path / "A")
        return tmp_path / "A"

    @staticmethod
    def messages(root: Path) -> list[Path]:
        return sorted([*root.rglob("cur/*"), *root.rglob("*.eml")])

    @pytest.mark.parametrize("also", [(), ("SHA256SUMS",)])
    def test_messages_are_gone(self, root: Path, name: str, also: tuple[str, ...]) -> None:
        for path in self.messages(root)[:7]:
            path.unlink()
        _remove(*also)(root)
        code, counts, said = check(root, name)
        assert (code, counts["missing"], counts["ok"]) == (7, 7, MESSAGES - 7)
        assert "SHA256SUMS is gone" in said or not also

    def test_messages_and_manifest_are_gone_and_the_marker_is_an_older_one(
        self, root: Path, name: str, archives: dict[str, Path]
    ) -> None:
        for path in self.messages(root)[:7]:
            path.unlink()
        (root / "SHA256SUMS").unlink()
        shutil.copy(archives[name] / "before" / "archipec.json", root)
        code, counts, said = check(root, name)
        assert (code, counts["missing"]) == (7, 7)
        assert "SHA256SUMS is gone" in said

    def test_a_whole_folder_is_gone(self, root: Path, name: str) -> None:
        folder = self.messages(root)[0].parent
        lost = len(list(folder.iterdir()))
        shutil.rmtree(folder)
        (root / "SHA256SUMS").unlink()
        code, counts, said = check(root, name)
        assert (code, counts["missing"]) == (7, lost)
        assert str(folder) in said

    def test_a_message_that_nobody_listed(self, root: Path, name: str) -> None:
        raw = b"Subject: nobody's\r\n\r\n"
        digest = hashlib.sha256(raw).hexdigest()
        beside = self.messages(root)[0].parent
        own = (
            f"1760000000.{digest}.archipec,S={len(raw)}:2,S"
            if name == "maildir"
            else f"2026-01-02 10.33 MESSAGGIO – {digest[:8]}.eml"
        )
        (beside / own).write_bytes(raw)
        code, counts, said = check(root, name)
        assert (code, counts["missing"]) == (7, 0)
        assert "not in the archive's record" in said or "doesn't list" in said


# The host looks after these files, for all archives alike: the whole product once, and of each other archive some.
IN_THE_PLACE_OF_OWN = [
    (name, own, what)
    for at, name in enumerate(("mbox", "zip", "maildir", "eml"))
    for number, own in enumerate(("archipec.toc", "archipec.json", ".archipec.lock"))
    for place, what in enumerate(("pipe", "folder", "link", "dangling"))
    if FULL or name == "mbox" or (at + number) % 4 == place
]


class TestTheRecordItself:
    @pytest.fixture(params=["mbox", "zip", "maildir", "eml"])
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def root(self, archives: dict[str, Path], tmp_path: Path, name: str) -> Path:
        shutil.copytree(archives[name] / "now", tmp_path / "A")
        return tmp_path / "A"

    def test_it_is_gone(self, root: Path, name: str) -> None:
        (root / "archipec.toc").unlink()
        code, _, said = check(root, name)
        assert code == 7
        assert f"{root / 'archipec.toc'}: it is gone" in said

    def test_the_marker_is_gone(self, root: Path, name: str) -> None:
        (root / "archipec.json").unlink()
        code, counts, said = check(root, name)
        assert (code, counts["ok"]) == (7, MESSAGES)
        assert f"{root / 'archipec.json'} is gone" in said

    def test_an_older_copy_of_it(self, root: Path, name: str, archives: dict[str, Path]) -> None:
        shutil.copy(archives[name] / "before" / "archipec.toc", root)
        code, _, said = check(root, name)
        assert code == 7
        assert "older copy" in said

    def test_that_of_another_archive(self, root: Path, name: str, archives: dict[str, Path]) -> None:
        other = next(each for each in archives if each != name)
        shutil.copy(archives[other] / "now" / "archipec.toc", root)
        code, _, said = check(root, name)
        assert code == 7
        assert "archipec.toc" in said

    @pytest.mark.parametrize(
        ("name", "where"),
        [("mbox", 0.1), ("mbox", 0.9), ("zip", 0.5), ("maildir", 0.9), ("eml", 0.1)],
        indirect=["name"],
    )
    def test_a_flipped_bit(self, root: Path, name: str, where: float) -> None:
        path = root / "archipec.toc"
        data = bytearray(path.read_bytes())
        data[int(len(data) * where)] ^= 4
        path.write_bytes(data)
        code, _, said = check(root, name)
        assert code == 7
        assert "archipec.toc" in said

    def test_a_line_taken_out(self, root: Path, name: str) -> None:
        path = root / "archipec.toc"
        lines = path.read_bytes().splitlines(keepends=True)
        number = next(number for number, line in enumerate(lines) if line.startswith(b"M "))
        path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
        code, _, said = check(root, name)
        assert code == 7
        assert "archipec.toc" in said

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes among files")
    @pytest.mark.parametrize(("name", "own", "what"), IN_THE_PLACE_OF_OWN, indirect=["name"])
    def test_something_else_stands_in_the_place_of_an_own_file(
        self, root: Path, name: str, tmp_path: Path, own: str, what: str
    ) -> None:
        path = root / own
        path.rename(tmp_path / "aside")
        if what == "pipe":
            os.mkfifo(path)
        elif what == "folder":
            path.mkdir()
        else:
            path.symlink_to(tmp_path / ("aside" if what == "link" else "nowhere"))
        for arguments in (("verify",), ("archive", "--from", f"maildir:{root.parent / 'nothing'}")):
            (root.parent / "nothing" / "cur").mkdir(parents=True, exist_ok=True)
            result = Archipec(tmp_path / "nobody")(
                *arguments, "--to", f"{name}:{root}", expect=None, timeout=60
            )
            assert result.code in (4, 5, 7), result
            assert str(path) in result.err
            assert "bug" not in result.err.lower()
        assert not (tmp_path / "nowhere").exists(), "written through a link"
        assert path.is_symlink() or not path.is_file()

    def test_the_next_run_makes_it_anew_where_nothing_is_lost(
        self, root: Path, name: str, tmp_path: Path
    ) -> None:
        (root / "archipec.toc").unlink()
        assert add_one(root, name, tmp_path) == 0
        code, counts, said = check(root, name)
        assert (code, counts["ok"]) == (0, MESSAGES + 1), said

    def test_the_next_run_hides_no_loss(self, root: Path, name: str, tmp_path: Path) -> None:
        lose(root)
        (root / "archipec.toc").unlink()
        assert add_one(root, name, tmp_path) == 7
        code, counts, said = check(root, name)
        assert code == 7
        assert counts["missing"] > 0, said
        assert "says that" in said


def lose(root: Path) -> None:
    """Lose messages so that nothing but a count tells."""
    if parts := files(root):
        parts[0].unlink()
        (root / f"{parts[0].name}.toc").unlink()
    else:
        TestTrees.messages(root)[0].unlink()
        (root / "SHA256SUMS").unlink()


def add_one(root: Path, name: str, tmp_path: Path) -> int:
    """Store another message by a ledger that knows nothing of the archive; return the exit code."""
    more = tmp_path / "more"
    (more / "cur").mkdir(parents=True, exist_ok=True)
    (more / "cur" / "1760000001.M1.host:2,S").write_bytes(b"Subject: more\r\n\r\n")
    arguments = ("--from", f"maildir:{more}", "--to", f"{name}:{root}", "--no-seals", "--json")
    result = Archipec(tmp_path / "state")("archive", *arguments, expect=None)
    assert result.objects[0]["stored"] == 1
    return result.code


class TestArchivesWithoutOne:
    """Archives that were written before there were inventories."""

    @pytest.fixture(params=["mbox", "zip", "maildir", "eml"])
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def root(self, archives: dict[str, Path], tmp_path: Path, name: str) -> Path:
        root = tmp_path / "A"
        shutil.copytree(archives[name] / "now", root)
        (root / "archipec.toc").unlink()
        marker = json.loads((root / "archipec.json").read_bytes())
        del marker["record"]
        (root / "archipec.json").write_text(json.dumps(marker))
        return root

    def test_says_so_and_gets_one(self, root: Path, name: str, tmp_path: Path) -> None:
        code, counts, said = check(root, name)
        assert (code, counts["ok"]) == (0, MESSAGES)
        assert "no inventory" in said
        assert add_one(root, name, tmp_path) == 0
        code, counts, said = check(root, name)
        assert (code, counts["ok"]) == (0, MESSAGES + 1)
        assert "no inventory" not in said
        lose(root)
        assert check(root, name)[0] == 7

    def test_a_run_that_stores_nothing_makes_one_too(
        self, root: Path, name: str, source: Path, tmp_path: Path
    ) -> None:
        command = Archipec(tmp_path / "state")
        report = command(
            "archive", "--from", f"maildir:{source}", "--to", f"{name}:{root}", "--no-seals", "--json"
        )
        assert report.object["stored"] == 0
        assert (root / "archipec.toc").exists()
        assert json.loads((root / "archipec.json").read_bytes())["record"]["messages"] == MESSAGES

    def test_the_count_in_the_marker_tells_of_a_loss(self, root: Path, name: str, tmp_path: Path) -> None:
        lose(root)
        code, before, said = check(root, name)
        assert code == 7
        assert before["missing"] > 0, said
        assert before["missing"] + before["ok"] == MESSAGES
        assert add_one(root, name, tmp_path) == 7
        code, _, said = check(root, name)
        assert code == 7, "a run has hidden the loss"


def test_what_is_brought_back_heals(archives: dict[str, Path], tmp_path: Path) -> None:
    """A file out of a backup is enough; so is a run that stores the lost messages again, in another file."""
    for name, made in archives.items():
        root = tmp_path / name
        shutil.copytree(made / "now", root)
        lose(root)
        assert check(root, name)[0] == 7
        to = f"{name}:{root}?split=month" if name == "zip" else f"{name}:{root}"
        arguments = ("--from", f"maildir:{archives['maildir'] / 'now'}", "--to", to, "--no-seals")
        Archipec(tmp_path / f"state-{name}")("archive", *arguments)
        code, counts, said = check(root, name)
        assert (code, counts["ok"]) == (0, MESSAGES), said


class TestAsSource:
    """An archive that is read: what is there is archived, and what its record has besides is named."""

    @pytest.fixture(params=["mbox", "zip", "maildir", "eml"])
    def name(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.mark.parametrize("scheme", ["", "dump"])
    def test_a_whole_one_and_one_with_losses(
        self, archives: dict[str, Path], name: str, scheme: str, tmp_path: Path
    ) -> None:
        root = tmp_path / "A"
        shutil.copytree(archives[name] / "now", root)
        arguments = (
            "--from",
            f"{scheme or name}:{root}",
            "--to",
            f"maildir:{tmp_path / 'B'}",
            "--no-seals",
            "--json",
        )
        whole = Archipec(tmp_path / "first")("archive", *arguments, "--dry-run")
        assert whole.object["skipped"] == []
        lose(root)
        _, counts, _ = check(root, name)
        for again in range(2):
            result = Archipec(tmp_path / "state")("archive", *arguments, expect=7)
            assert result.object["missing"] == counts["missing"]
            assert result.object["stored"] == (0 if again else counts["ok"])
            assert "gone" in result.err

    def test_nothing_is_left_of_it(self, archives: dict[str, Path], name: str, tmp_path: Path) -> None:
        root = tmp_path / "A"
        root.mkdir()
        shutil.copy(archives[name] / "now" / "archipec.json", root)
        arguments = ("--from", f"{name}:{root}", "--to", f"maildir:{tmp_path / 'B'}", "--json")
        result = Archipec(tmp_path / "state")("archive", *arguments, expect=7)
        assert (result.object["stored"], result.object["missing"]) == (0, MESSAGES)
        code, counts, _ = check(root, name)
        assert (code, counts["missing"]) == (7, MESSAGES)

    def test_a_single_file_that_was_cut_short(self, archives: dict[str, Path], tmp_path: Path) -> None:
        root = tmp_path / "A"
        shutil.copytree(archives["mbox"] / "now", root)
        path = files(root)[0]
        os.truncate(path, path.stat().st_size // 2)
        arguments = ("--from", f"mbox:{path}", "--to", f"maildir:{tmp_path / 'B'}", "--no-seals", "--json")
        report = Archipec(tmp_path / "state")("archive", *arguments, expect=7).object
        assert report["missing"] == listed(root, path.name) - report["stored"]


@pytest.mark.real
class TestPrune:
    """An archive that does not fit its record proves nothing."""

    @pytest.mark.parametrize("how", ["surplus", "table", "record"])
    def test_nothing_is_deleted(
        self, dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path, how: str
    ) -> None:
        dovecot.fill("INBOX", [sample.raw for sample in mailbox(6, seed=5, size=2000)])
        root = tmp_path / "A"
        arguments = ("--from", url(), "--to", f"mbox:{root}")
        archipec("archive", *arguments, "--no-seals")
        if how == "surplus":
            shutil.copy(root / "archive.mbox", root / "archive-2020.mbox")
            shutil.copy(root / "archive.mbox.toc", root / "archive-2020.mbox.toc")
        elif how == "record":
            (root / "archipec.toc").unlink()
        else:
            other = tmp_path / "other"
            (other / "cur").mkdir(parents=True)
            (other / "cur" / "1760000001.M1.host:2,S").write_bytes(b"Subject: in no mailbox\r\n\r\n")
            archipec("archive", "--from", f"maildir:{other}", "--to", "mbox:" + str(root), "--no-seals")
            (other / "cur" / "1760000001.M1.host:2,S").unlink()
            archipec(
                "archive", "--from", f"maildir:{other}", "--to", "mbox:" + str(root), "--no-seals", "--full"
            )
            table = root / "archive.mbox.toc"
            lines = table.read_bytes().splitlines(keepends=True)
            digest = hashlib.sha256(b"Subject: in no mailbox\r\n\r\n").hexdigest().encode()
            table.write_bytes(b"".join(line for line in lines if digest not in line))
        selection = ("--folder", "INBOX", "--since", "1990", "--allow-large")
        result = archipec("prune", *arguments, *selection, "--yes", "--json", expect=None)
        assert result.code in (7, 8), result
        assert "own record" in result.out + result.err
        assert len(dovecot.raw_fetch("INBOX")) == 6

    def test_one_that_is_missing_keeps_only_itself(
        self, dovecot: Dovecot, archipec: Archipec, url: Callable[..., str], tmp_path: Path
    ) -> None:
        dovecot.fill("INBOX", [sample.raw for sample in mailbox(6, seed=5, size=2000)])
        arguments = ("--from", url(), "--to", f"maildir:{tmp_path / 'A'}")
        archipec("archive", *arguments, "--no-seals")
        next(iter(sorted((tmp_path / "A").rglob("cur/*")))).unlink()
        selection = ("--folder", "INBOX", "--since", "1990", "--allow-large")
        archipec("prune", *arguments, *selection, "--yes", "--json", expect=7)
        assert len(dovecot.raw_fetch("INBOX")) == 1
