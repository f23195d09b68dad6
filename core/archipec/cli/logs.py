"""What is logged: on standard error for who looks on, and in a file (``--log-file``) for who looks later.

The file has more: when each pipeline began and how it ended, and every error that was said, by the journal
(`archipec.terminal.JOURNAL`), which is written nowhere else.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

from archipec.errors import from_os_error
from archipec.language import _
from archipec.terminal import JOURNAL, printable, say

__all__ = ["end_logging", "start_logging"]

_LARGEST = 10 << 20  # bytes; then a new one is begun, and the one before it is kept
_LONG = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Masked(logging.Formatter):
    """Masks secrets in all of a record, the traceback included. What servers and files say in it stays in its line."""

    def format(self, record: logging.LogRecord) -> str:
        from archipec.masking import mask

        try:
            return mask(super().format(record))
        except Exception as error:  # noqa: BLE001 - a plugin's arguments don't fit its message
            return _("{levelname}: {name} logged what can't be shown: {name2}").format(
                levelname=record.levelname, name=record.name, name2=type(error).__name__
            )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  as logging calls it
        """Return the record's line: nothing in it steers a terminal, or begins another line that looks like one of ours."""
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Return a traceback, each of its lines set off from those of the log."""
        return "\n".join(f"  {printable(line)}" for line in super().formatException(ei).splitlines())


class _LogFile(logging.StreamHandler):  # type: ignore[type-arg]
    """Appends to a file that its owner alone may read; what can't be written is dropped, and that is said at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lost: OSError | None = None
        try:
            if path.is_file() and path.stat().st_size > _LARGEST:
                path.replace(path.with_name(f"{path.name}.1"))
            # A pipe that nobody reads from is not waited for.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
            descriptor = os.open(path, flags, 0o600)
            if sys.platform != "win32":
                os.set_blocking(descriptor, True)
        except OSError as error:
            raise from_os_error(error, path) from error
        super().__init__(open(descriptor, "a", encoding="utf-8", errors="backslashreplace"))  # noqa: SIM115  closed by close

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  as logging calls it
        """Keep the first failure to write."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif self._lost is None:
            self._lost = error

    def close(self) -> None:
        """Close the file, and say what went wrong with it."""
        super().close()
        try:
            self.stream.close()
        except OSError as error:
            self._lost = self._lost or error
        if self._lost is not None:
            reason = from_os_error(self._lost, self._path).message
            say(_("warning: what was logged is not all there: {reason}").format(reason=reason))
            self._lost = None


def start_logging(*, verbose: bool, quiet: bool, file: Path | None) -> None:
    """Log to standard error, and to a file where one is given.

    Args:
        quiet: keep from standard error what will be put right by itself: a connection that is tried again.

    Raises:
        ArchipecError: the file can't be opened.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masked(_LONG if verbose else "%(levelname)s: %(message)s"))
    handler.setLevel(logging.DEBUG if verbose else logging.WARNING)
    if quiet:
        handler.addFilter(lambda record: not getattr(record, "passing", False))
    handlers: list[logging.Handler] = [handler]
    if file is not None:
        log = _LogFile(file)
        log.setFormatter(_Masked(_LONG))
        handlers.append(log)
        JOURNAL.addHandler(log)
        JOURNAL.setLevel(logging.INFO)
    logging.basicConfig(handlers=handlers, level=logging.DEBUG if verbose else logging.WARNING)


def end_logging(code: int) -> None:
    """Log how the command ended, and close the file."""
    for handler in JOURNAL.handlers:
        if isinstance(handler, _LogFile):
            JOURNAL.info("ended with exit code %d", code)
            handler.close()
