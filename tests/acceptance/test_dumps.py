"""Mail that comes as files: every format, made by programs that are not ours, through the public command line."""

from __future__ import annotations

import hashlib
import json
import mailbox
import os
import random
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from archipec.simulator import mailbox as simulated
from testbed.command import Archipec
from testbed.dovecot import Dovecot
from testbed.requirements import find, require
from testbed.strangers import Strangers

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
EXPORT = (4096 if FULL else 200) << 20
LINE = b"From MAILER-DAEMON Sat Nov 21 20:00:00 2026\n"
HEAD = b"From: a@pec.example.it\r\nSubject: nasty\r\n"
NASTY = (
    HEAD + b"\r\n",
    HEAD + b"\r\nbare\rCR\r\n",
    HEAD + b"\r\nFrom here on\r\n\r\n>From there\r\n>>From x\r\n\r\nFrom \r\n",
    HEAD + b"\r\n.\r\n..\r\n",
    HEAD + b"\r\nblank end\r\n\r\n\r\n",
    b"Subject: citt\xe0\r\n\r\n" + b"y" * (2 << 20) + b"\r\n",
)


@pytest.fixture
def archipec(tmp_path: Path) -> Archipec:
    return Archipec(tmp_path / "state")


@pytest.fixture(scope="module")
def samples() -> list[bytes]:
    return [*NASTY, *(sample.raw for sample in simulated(25, seed=17, size=7000))]


def hashes(messages: Iterable[bytes]) -> set[str]:
    return {hashlib.sha256(raw).hexdigest() for raw in messages}


def kept(archive: Path) -> list[bytes]:
    """Return what an archive of Maildirs holds, by the files alone."""
    return [path.read_bytes() for path in archive.rglob("cur/*")]


@pytest.fixture
def imported(archipec: Archipec, tmp_path: Path) -> Callable[..., list[bytes]]:
    """Import a dump, twice; return what the archive then holds."""

    def run(dump: Path, *options: str) -> list[bytes]:
        sink = tmp_path / "archive"
        arguments = (
            "archive",
            "--from",
            f"dump:{dump}{''.join(options)}",
            "--to",
            f"maildir:{sink}",
            "--json",
        )
        report = archipec(*arguments).object
        assert report["stored"] + report["already"] == report["listed"]
        again = archipec(*arguments).object
        assert (again["listed"], again["stored"], again["failed"], again["left"]) == (0, 0, 0, 0)
        return kept(sink)

    return run


# -- made by other programs --------------------------------------------------------------------


def test_maildir_by_python(
    imported: Callable[..., list[bytes]], samples: list[bytes], tmp_path: Path
) -> None:
    box = mailbox.Maildir(tmp_path / "mail", create=True)
    sent = box.add_folder("Inviata")
    for number, raw in enumerate(samples):
        (sent if number % 2 else box).add(raw)
    assert hashes(imported(tmp_path / "mail")) == hashes(samples)
    folders = {path.parent.parent.name for path in (tmp_path / "archive").rglob("cur/*")}
    assert folders == {"INBOX", "Inviata"}


def test_mbox_by_python(imported: Callable[..., list[bytes]], samples: list[bytes], tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "export.mbox")
    for raw in samples:
        box.add(raw)
    box.close()
    # Python quotes "From " and leaves ">From " alone: of a message with both nobody can tell which was which.
    expected = [raw.replace(b"\n>From there", b"\nFrom there") for raw in samples]
    assert hashes(imported(tmp_path / "export.mbox")) == hashes(expected)


@pytest.mark.real
def test_mbox_by_formail(imported: Callable[..., list[bytes]], samples: list[bytes], tmp_path: Path) -> None:
    require("formail")
    program = find("formail")
    assert program is not None
    with (tmp_path / "export").open("wb") as file:
        for raw in samples:
            # formail speaks LF alone.
            file.write(
                subprocess.run([program], input=raw.replace(b"\r\n", b"\n"), stdout=-1, check=True).stdout
            )
    # It puts a From line before each message and a ">" before each From line in it, and changes nothing else.
    expected = [
        re.sub(rb"\n>(From )", rb"\n\1", raw.replace(b"\r\n", b"\n")).rstrip(b"\n") for raw in samples
    ]
    assert hashes(raw.rstrip(b"\n") for raw in imported(tmp_path / "export")) == hashes(expected)


def test_mbox_whose_lines_were_never_quoted(archipec: Archipec, tmp_path: Path) -> None:
    heading = b"From: a@example.it\nDate: Mon, 3 Mar 2025 10:00:00 +0100\n\n"
    messages = [
        b"Subject: uno\n"
        + heading
        + b"Update from the team;\n\nFrom my (non technical) end some queries\n\nfine\n",
        b"Subject: due\n" + heading + b"It looks like one:\nFrom john.doe@example.com 2025-06-15\nfine\n",
        b"Subject: tre\n" + heading + b"text\n\nFrom the President xyz@abc.example\n\nend\n",
    ]
    unclear = (
        b"Subject: quattro\n" + heading + b"text\n\nFrom Mario\nTo: x@example.it\nSubject: inoltro\n\ntext\n"
    )
    export = tmp_path / "export.mbox"
    export.write_bytes(
        b"".join(b"From - Mon Mar  3 10:00:00 2025\n" + raw + b"\n" for raw in (*messages, unclear))
    )
    done = archipec("archive", "--from", f"mbox:{export}", "--to", f"maildir:{tmp_path / 'archive'}")
    assert hashes(kept(tmp_path / "archive")) == hashes([*messages, unclear])
    assert '1 lines that begin with "From " may be text or separate messages' in " ".join(done.err.split())


def without_notes(raw: bytes) -> bytes:
    """Return a message out of Dovecot's mbox without what Dovecot writes into it, its lines ending as on the wire."""
    notes = rb"(?m)^(?:Status|X-Status|X-UID|X-Keywords|Content-Length): [^\n]*\n"
    head, _, body = raw.partition(b"\n\n")
    return (re.sub(notes, b"", head + b"\n") + b"\n" + body).replace(b"\n", b"\r\n")


@pytest.mark.real
def test_maildir_and_mbox_by_doveadm(
    imported: Callable[..., list[bytes]], samples: list[bytes], tmp_path: Path
) -> None:
    require("dovecot", "doveadm")
    with Dovecot(storage="maildir") as server:
        # To a message without a body Dovecot adds a line when it writes an mbox.
        server.fill("INBOX", samples[1:])
        on_server = list(server.raw_fetch("INBOX").values())
        home = server.root / "homes" / "0"
        config = ("doveadm", "-c", str(server.root / "dovecot.conf"))
        subprocess.run([*config, "backup", "-u", server.user, f"mbox:{home / 'dump'}"], check=True)
        shutil.copytree(home / "dump", tmp_path / "mbox")
        (maildir,) = (path.parent for path in home.rglob("cur") if path.parent.name != "dump")
        shutil.copytree(maildir, tmp_path / "maildir")
    files = [path.read_bytes() for name in ("cur", "new") for path in (tmp_path / "maildir" / name).iterdir()]
    assert hashes(re.sub(rb"\r?\n", b"\r\n", raw) for raw in files) == hashes(on_server)
    assert hashes(imported(tmp_path / "maildir")) == hashes(files)
    shutil.rmtree(tmp_path / "archive")
    shutil.rmtree(tmp_path / "state")
    assert hashes(map(without_notes, imported(tmp_path / "mbox"))) == hashes(on_server)


@pytest.mark.real
def test_zip_of_a_maildir_by_info_zip(
    imported: Callable[..., list[bytes]], samples: list[bytes], tmp_path: Path
) -> None:
    require("zip")
    box = mailbox.Maildir(tmp_path / "mail", create=True)
    folder = box.add_folder("Citt&AOA-")
    for number, raw in enumerate(samples):
        (folder if number % 2 else box).add(raw)
    subprocess.run(["zip", "-qr", "mail.zip", "mail"], cwd=tmp_path, check=True)
    assert hashes(imported(tmp_path / "mail.zip")) == hashes(samples)
    folders = {
        str(path.parent.parent.relative_to(tmp_path / "archive"))
        for path in (tmp_path / "archive").rglob("cur/*")
    }
    assert folders == {"mail", "mail/Città"}


@pytest.mark.real
@pytest.mark.parametrize("part", [".", "Mail/Local Folders/Archivio.sbd/2026"])
def test_folders_in_the_layout_of_thunderbird(
    imported: Callable[..., list[bytes]], samples: list[bytes], tmp_path: Path, part: str
) -> None:
    local = tmp_path / "profile" / "Mail" / "Local Folders"
    (local / "Archivio.sbd").mkdir(parents=True)
    (tmp_path / "profile" / "prefs.js").write_text("")
    with (local / "Archivio.sbd" / "2026").open("wb") as file:
        for number, raw in enumerate(samples):
            status = b"%04x" % (0x0008 if number == 3 else 0x0001)
            file.write(b"From - Sat Nov 21 18:48:43 2026\r\nX-Mozilla-Status: " + status)
            file.write(b"\r\nX-Mozilla-Status2: 00000000\r\nX-Mozilla-Keys:      \r\n")
            file.write(re.sub(rb"(?m)^(>*From )", rb">\1", raw) + b"\r\n")
    deleted = samples[3]
    assert hashes(imported(tmp_path / "profile" / part)) == hashes(samples) - hashes([deleted])


# -- our own -----------------------------------------------------------------------------------


def test_an_archive_is_a_source(archipec: Archipec, samples: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "eml").mkdir()
    odd = [*samples, HEAD + b"\r\nno final newline", HEAD + b"\r\nbare\nLF\n\n"]
    for number, raw in enumerate(odd):
        (tmp_path / "eml" / f"{number}.eml").write_bytes(raw)
    steps = [
        ("eml:eml", "mbox:one"),
        ("mbox:one", "maildir:two"),
        ("maildir:two", "mbox:three?split=year"),
        ("dump:three", "maildir:four?layout=date"),
    ]
    for source, sink in steps:
        urls = [re.sub(r":", f":{tmp_path}/", url, count=1) for url in (source, sink)]
        report = archipec("archive", "--from", urls[0], "--to", urls[1], "--json").object
        assert (report["listed"], report["stored"]) == (len(odd), len(odd)), source
    assert len(list((tmp_path / "three").glob("*.mbox"))) > 1
    assert Counter(kept(tmp_path / "two")) == Counter(kept(tmp_path / "four")) == Counter(odd)


def test_source_and_sink_in_one_place_are_refused(archipec: Archipec, tmp_path: Path) -> None:
    place = f"maildir:{tmp_path / 'mail'}"
    result = archipec("archive", "--from", place, "--to", place, expect=4)
    assert "source and sink are the same" in result.err


# -- large -------------------------------------------------------------------------------------


def chunks_of_mail(size: int) -> Iterator[bytes]:
    """Yield that many bytes of mbox, message by message."""
    chance = random.Random(3)
    text = re.sub(rb"(.{76})", rb"\1\r\n", chance.randbytes(1 << 20).hex().encode())
    number, done = 0, 0
    while done < size:
        start = chance.randrange(1 << 20)
        body = text[start : start + chance.choice((4_000, 20_000, 60_000, 900_000))]
        raw = LINE + HEAD + b"Message-ID: <%d@x>\r\n\r\n%b\r\n\n" % (number, body)
        yield raw
        done += len(raw)
        number += 1


def write_export(folder: Path) -> tuple[int, int]:
    """Write an mbox in four zips; return its messages and bytes."""
    folder.mkdir()
    messages = chunks_of_mail(EXPORT)
    count = size = 0
    for part in range(1, 5):
        with (
            zipfile.ZipFile(folder / f"part{part}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
            file.open("INBOX.mbox", "w", force_zip64=True) as member,
        ):
            while size < EXPORT * part // 4:
                raw = next(messages)
                member.write(raw)
                count, size = count + 1, size + len(raw)
    return count, size


def room(folder: Path) -> int:
    """Return the bytes of all files below a folder, as far as they stay."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Path]:
    """A folder that does not stay, as those of pytest do."""
    yield tmp_path / "large"
    shutil.rmtree(tmp_path / "large")


def peak_memory(process: int) -> int:
    """Return the most memory a running process ever had, in bytes; 0 when it has just ended.

    What `os.wait4` tells counts the memory of the process that started it as well.
    """
    with suppress(FileNotFoundError, ProcessLookupError):
        match = re.search(r"VmHWM:\s*([0-9]+) kB", Path(f"/proc/{process}/status").read_text())
        return int(match[1]) * 1024 if match else 0
    return 0


@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is told by /proc")
def test_an_export_in_four_zips_takes_little_memory_and_no_room(archipec: Archipec, large: Path) -> None:
    large.mkdir()
    count, size = write_export(large / "export")
    # The index has its own size: this is what storing takes.
    arguments = (
        "--from",
        f"dump:{large / 'export'}",
        "--to",
        f"mbox:{large / 'archive'}",
        "--no-index",
        "--json",
    )
    process = archipec.start("archive", *arguments)
    memory = disk = 0
    out = err = None
    while out is None:
        memory = max(memory, peak_memory(process.pid))
        disk = max(disk, room(archipec.state))
        with suppress(subprocess.TimeoutExpired):
            out, err = process.communicate(timeout=0.1)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert (report["listed"], report["stored"]) == (count, count)
    assert 10 << 20 < memory < 100 << 20
    assert disk < size // 10, "nothing is unpacked to disk"
    again = archipec("archive", *arguments).object
    assert again["listed"] == 0
    assert again["seconds"] < 1, "what has not changed is not read again"


# -- broken ------------------------------------------------------------------------------------


def no_mail(folder: Path) -> None:
    (folder / "notes.txt").write_text("hello")


def several_formats(folder: Path) -> None:
    (folder / "a.mbox").write_bytes(LINE + HEAD + b"\r\n\n")
    (folder / "b.eml").write_bytes(HEAD + b"\r\n")


def torn_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.zip", "w") as file:
        file.writestr("1.eml", HEAD + b"\r\n")
    (folder / "a.zip").write_bytes((folder / "a.zip").read_bytes()[:-10])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder.rmdir(), "no such file"),
        (lambda folder: None, "there is no mail in"),
        (no_mail, "there is no mail in"),
        (several_formats, "several formats: eml, mbox"),
        (torn_zip, "cut off"),
    ],
)
def test_what_is_no_dump_is_refused_in_one_line(
    make: Callable[[Path], None], reason: str, archipec: Archipec, tmp_path: Path
) -> None:
    (tmp_path / "dump").mkdir()
    make(tmp_path / "dump")
    result = archipec(
        "archive", "--from", f"dump:{tmp_path / 'dump'}", "--to", f"maildir:{tmp_path / 'archive'}", expect=4
    )
    assert reason in result.err
    assert "Traceback" not in result.err


def test_a_bad_zip_beside_a_good_one(archipec: Archipec, tmp_path: Path) -> None:
    (tmp_path / "dump").mkdir()
    torn_zip(tmp_path / "dump")
    with zipfile.ZipFile(tmp_path / "dump" / "b.zip", "w") as file:
        file.writestr("../2.eml", HEAD + b"\r\nout\r\n")
        file.writestr("2.eml", HEAD + b"\r\ngood\r\n")
    result = archipec(
        "archive", "--from", f"zip:{tmp_path / 'dump'}", "--to", f"maildir:{tmp_path / 'archive'}", expect=3
    )
    assert hashes(kept(tmp_path / "archive")) == hashes([HEAD + b"\r\ngood\r\n", HEAD + b"\r\nout\r\n"])
    assert "a.zip: it is cut off" in result.err


def test_the_format_of_another_distribution_is_read_too(tmp_path: Path) -> None:
    """One folder and one field of its record make a format known to ``dump:``; its faults are its own."""
    strangers = Strangers(tmp_path)
    strangers.install(
        """
        def detects(sample):
            if sample.names >= {"broken"}:
                raise KeyError("lost")
            if sample.names >= {"odd"}:
                return True
            return Claim.PART if sample.beginning.startswith(b"PIGEON") else Claim.NONE

        globals().update(yields(source(Pigeon, detects=detects)))
        """
    )
    loft = tmp_path / "loft"
    loft.mkdir()
    (loft / "post").write_bytes(b"PIGEON 1\n")
    report = strangers("archive", "--from", f"dump:{loft}", "--to", f"eml:{tmp_path / 'A'}", "--json").object
    assert report["stored"] == 2
    single = strangers(
        "archive", "--from", f"dump:{loft / 'post'}", "--to", f"eml:{tmp_path / 'B'}", "--json"
    )
    assert single.object["stored"] == 2
    (loft / "letter.eml").write_bytes(b"From: a@b.it\r\n\r\none\r\n")
    mixed = strangers("archive", "--from", f"dump:{loft}", "--to", f"eml:{tmp_path / 'C'}", expect=4)
    assert "several formats: eml, pigeon" in mixed.err
    (loft / "broken").write_bytes(b"")
    broken = strangers("archive", "--from", f"dump:{loft}", "--to", f"eml:{tmp_path / 'C'}", expect=1)
    assert 'the plugin "pigeon" (archipec-acme 2.5) failed in detects with KeyError' in broken.err
    (loft / "broken").rename(loft / "odd")
    odd = strangers("archive", "--from", f"dump:{loft}", "--to", f"eml:{tmp_path / 'C'}", expect=1)
    assert "broke the contract in detects: it gave a bool, not a Claim" in odd.err
