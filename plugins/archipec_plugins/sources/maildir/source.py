"""The Maildir source at work: finds the Maildirs below a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archipec.contract import Context
from archipec.errors import PermanentError, Scope
from archipec_plugins.sources.dump.boxes import HeaderSource, LeftOut, Names
from archipec_plugins.sources.dump.files import check_place, subfolders, trouble
from archipec_plugins.sources.eml.names import escape
from archipec_plugins.sources.maildir.box import KEPT_IN, MaildirBox
from archipec_plugins.sources.maildir.names import folder_name

__all__ = ["find_maildirs", "open_source"]


@contextmanager
def open_source(path: Path, context: Context) -> Iterator[HeaderSource]:
    """Open a Maildir, or a folder of Maildirs.

    Raises:
        PermanentError: there is none.
    """
    check_place(path)
    left_out = LeftOut(context)
    boxes = list(find_maildirs(path, context, left_out))
    if not boxes:
        raise PermanentError(
            f"there is no Maildir in {path}", hint='a Maildir is a folder that holds "cur" and "new"'
        )
    yield HeaderSource(lambda: find_maildirs(path, context, left_out), left_out)


def find_maildirs(path: Path, context: Context, left_out: LeftOut) -> Iterator[MaildirBox]:
    """Yield the Maildirs below a folder, itself included."""
    names = Names()
    try:
        for relative, entries in subfolders(str(path), but=(*KEPT_IN, "tmp")):
            kept = [entry for entry in entries if entry.name in KEPT_IN and entry.is_dir()]
            if any(entry.is_symlink() for entry in kept):
                left_out.note(escape(relative or "."), "it is a Maildir of links")
            elif kept:
                yield MaildirBox(
                    names.take(folder_name(relative)), f"{path}/{relative}".rstrip("/"), context, left_out
                )
    except OSError as error:
        raise trouble(error, path, Scope.ENDPOINT) from error
