"""The dump source at work: opens the source that reads what is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from archipec.contract import Context, Source, SourceType
from archipec_plugins.dump.config import Config
from archipec_plugins.dump.detect import detect
from archipec_plugins.eml import EML
from archipec_plugins.maildir import MAILDIR
from archipec_plugins.mbox import MBOX
from archipec_plugins.thunderbird import THUNDERBIRD
from archipec_plugins.zip import ZIP

__all__ = ["open_source"]

_RECORDS: dict[str, SourceType[Any]] = {
    record.name: record for record in (EML, MAILDIR, MBOX, THUNDERBIRD, ZIP)
}


@contextmanager
def open_source(config: Config, context: Context) -> Iterator[Source]:
    """Open whatever it is.

    Raises:
        PermanentError: nobody reads it, or several would.
    """
    kind = detect(config.path)
    context.log.info("%s is read as %s", config.path, kind)
    record = _RECORDS[kind]
    values = {"path": config.path, "dialect": config.dialect, "loose": config.loose}
    parsed = record.parse({option.name: values[option.name] for option in record.options})
    with record.open(parsed, context) as opened:
        yield opened
