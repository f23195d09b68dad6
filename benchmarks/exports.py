"""A mailbox as other programs hand it over: an MBOX, a Maildir, a folder of .eml files, a zip of those."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.corpus import Corpus


def write_export(sample: Corpus, form: str, path: Path) -> None:
    """Write every message of a corpus in one of FORMS to a path where nothing is yet."""
    FORMS[form](sample, path)


def _mbox(sample: Corpus, path: Path) -> None:
    # mboxrd with the messages' own line ends: they come out as they went in.
    with path.open("wb") as file:
        for raw, received in sample.messages():
            assert received is not None
            file.write(b"From MAILER-DAEMON %s\n" % received.strftime("%a %b %d %H:%M:%S %Y").encode())
            for line in raw.splitlines(keepends=True):
                file.write(b">" + line if line.lstrip(b">").startswith(b"From ") else line)
            file.write(b"\n")


def _maildir(sample: Corpus, path: Path) -> None:
    for name in ("cur", "new", "tmp"):
        (path / name).mkdir(parents=True)
    for number, (raw, received) in enumerate(sample.messages()):
        assert received is not None
        (path / "cur" / f"{received.timestamp():.0f}.{number}.bench:2,S").write_bytes(raw)


def _eml(sample: Corpus, path: Path) -> None:
    path.mkdir()
    for number, (raw, _) in enumerate(sample.messages()):
        (path / f"{number:06}.eml").write_bytes(raw)


def _zip(sample: Corpus, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, (raw, _) in enumerate(sample.messages()):
            archive.writestr(f"{number:06}.eml", raw)


FORMS: Mapping[str, Callable[[Corpus, Path], None]] = {
    "mbox": _mbox,
    "maildir": _maildir,
    "eml": _eml,
    "zip": _zip,
}
