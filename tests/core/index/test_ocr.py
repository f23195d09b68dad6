"""`archipec.index.extraction.ocr`: with a program that stands for ocrmypdf."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from archipec.index.attachments import ReadingOptions
from archipec.index.extraction.ocr import ocr_text
from archipec.simulator.files import pdf, scanned_pdf
from testbed.indexing import file_at, indexed, text_in, with_files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the program is a script of the shell")
OCR = ReadingOptions(ocr=True)


@pytest.fixture(name="program")
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of the program, which is the only one of that name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder / "ocrmypdf"


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)


def test_the_words_on_the_images_are_read(program: Path, tmp_path: Path) -> None:
    write(
        program,
        f'echo "$@" > {tmp_path}/said; head -c 5 scan.pdf >> {tmp_path}/said; printf "Tribunale\\fdi Bari" > text.txt',
    )
    message = indexed(with_files(("scansione.pdf", scanned_pdf()), ("testo.pdf", pdf("parola"))), OCR)
    assert text_in(message, "scansione.pdf") == "Tribunale\ndi Bari"
    assert text_in(message, "testo.pdf") == "parola"
    assert not file_at(message, "scansione.pdf").problem
    said = (tmp_path / "said").read_text()
    assert "--language ita+eng" in said and "--sidecar text.txt" in said and said.endswith("%PDF-")


def test_it_is_used_only_when_it_is_wanted(program: Path) -> None:
    write(program, "echo parola > text.txt")
    message = indexed(with_files(("scansione.pdf", scanned_pdf())))
    assert file_at(message, "scansione.pdf").problem == "no text: its pages are images"


def test_where_italian_is_not_installed_it_reads_without(program: Path) -> None:
    write(program, 'case "$*" in *ita*) exit 3;; esac; echo parola > text.txt')
    assert ocr_text(scanned_pdf()).text.strip() == "parola"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 2", "its pages are images, and ocrmypdf ended with exit code 2"),
        ("exit 3", "its pages are images, and ocrmypdf ended with exit code 3"),
        ("echo > text.txt", "its pages are images, and ocrmypdf found no words on them"),
        ("exit 0", "its pages are images, and ocrmypdf found no words on them"),
    ],
)
def test_why_it_found_nothing(program: Path, script: str, said: str) -> None:
    write(program, script)
    assert ocr_text(scanned_pdf()) == ("", said)


def test_that_it_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    message = indexed(with_files(("scansione.pdf", scanned_pdf())), OCR)
    said = "its pages are images, and ocrmypdf, which reads those, is not installed"
    assert file_at(message, "scansione.pdf").problem == said


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux has them")
def test_one_that_never_ends_is_ended_with_what_it_started(program: Path, tmp_path: Path) -> None:
    write(program, f"sleep 60 & echo $! > {tmp_path}/pid; wait")
    assert ocr_text(scanned_pdf(), seconds=1).problem == (
        "its pages are images, and ocrmypdf takes too long to read them"
    )
    assert has_ended(int((tmp_path / "pid").read_text()), 10)


def has_ended(pid: int, seconds: float) -> bool:
    """Tell whether a process ends within a time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


@pytest.mark.skipif(sys.platform != "linux", reason="only there does the kernel see to it")
def test_it_ends_with_the_worker(program: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "ready"
    os.mkfifo(pipe)
    write(program, f"echo $$ > {pipe}; exec sleep 1000")
    code = "from archipec.index.extraction.ocr import ocr_text; from archipec.simulator.files import scanned_pdf; ocr_text(scanned_pdf())"
    worker = subprocess.Popen([sys.executable, "-I", "-c", code])
    pid = int(pipe.read_text())
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert has_ended(pid, 60)


def test_few_files_of_a_message_are_read_so(program: Path, tmp_path: Path) -> None:
    write(program, f"echo x >> {tmp_path}/times; echo parola > text.txt")
    message = indexed(with_files(*((f"{number}.pdf", scanned_pdf()) for number in range(4))), OCR)
    assert len((tmp_path / "times").read_text().split()) == 2
    assert [bool(one.problem) for one in message.attachments] == [False, False, True, True]
