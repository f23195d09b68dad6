"""The words on images of text, by the program ocrmypdf, where it is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from archipec.index.extraction.limits import MAX_FILE_TEXT, OCR_SECONDS, TOO_MUCH_TEXT, Extracted

__all__ = ["ocr_text"]

_PROGRAM: Final = "ocrmypdf"
_LANGUAGES: Final = (
    "ita+eng",
    "",
)  # the second, what the program takes by itself, where Italian is not installed
_MISSING_DEPENDENCY: Final = 3  # ocrmypdf's exit code
# The kernel ends the program with this process, however that ends: a worker may be killed at any time.
_TIED: Final = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"  # PR_SET_PDEATHSIG of prctl(2)
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)


def ocr_text(data: bytes, seconds: float = OCR_SECONDS) -> Extracted:
    """The text that can be seen on the pages of a PDF that has none.

    Args:
        seconds: after which the program is ended.
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        return Extracted("", f"its pages are images, and {_PROGRAM}, which reads those, is not installed")
    with tempfile.TemporaryDirectory(prefix="archipec-ocr-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "scan.pdf").write_bytes(data)
        code: int | None = _MISSING_DEPENDENCY
        for languages in _LANGUAGES:
            code = _run(program, languages, folder, seconds)
            if code != _MISSING_DEPENDENCY:
                break
        if code is None:
            return Extracted("", f"its pages are images, and {_PROGRAM} takes too long to read them")
        text = _text(folder / "text.txt")
    if code or not text.strip():
        why = f"ended with exit code {code}" if code else "found no words on them"
        return Extracted("", f"its pages are images, and {_PROGRAM} {why}")
    return Extracted(text, TOO_MUCH_TEXT if len(text) == MAX_FILE_TEXT else "")


def _run(program: str, languages: str, folder: Path, seconds: float) -> int | None:
    """Run the program; return its exit code, None where it was ended because it took too long."""
    command = [program, "--quiet", "--jobs", "1", "--output-type", "pdf", "--optimize", "0"]
    command += ["--language", languages] if languages else []
    command += ["--sidecar", "text.txt", "scan.pdf", "out.pdf"]
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-c", _TIED, *command]
    process = subprocess.Popen(  # noqa: S603 - a program that the user installed, on a file of our own
        command,
        cwd=folder,
        env=os.environ | {"TMPDIR": str(folder), "OMP_THREAD_LIMIT": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it started."""
    if sys.platform == "win32":
        process.kill()
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.poll()  # all of them have ended; macOS says so by another error
    process.wait()


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_FILE_TEXT).replace("\f", "\n")
    except OSError:
        return ""
