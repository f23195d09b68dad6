"""Writes the report of a pipeline after each run: a page, a table, a PDF, always as of now."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from archipec.contract import Context, Option, PostStep, PostStepType, RunView, file_path
from archipec.durability import write_file
from archipec.errors import ConfigError, from_os_error
from archipec.hookspecs import hookimpl
from archipec.language import _
from archipec.paths import safe_name

_FORMATS: Final = ("html", "csv", "pdf", "json")
_PLACEHOLDER: Final = re.compile(r"\{(pipeline|date)\}")


class ReportStep:
    """An `archipec.contract.PostStep` that writes files, each whole or not at all.

    Args:
        files: by format, where each is written.
    """

    def __init__(self, files: Mapping[str, Path], context: Context) -> None:
        self._files = files
        self._log: logging.Logger = context.log
        self._now = context.now

    def run(self, run: RunView) -> None:
        """Write the report in each format that is configured."""
        for name, path in self._files.items():
            place = named(path, run.pipeline, self._now())
            document = run.compose(name)
            try:
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_file(place, document)
            except OSError as error:
                raise from_os_error(error, place) from error
            self._log.info("the report of %s is in %s", run.pipeline, place)


def named(path: Path, pipeline: str, now: datetime) -> Path:
    """Return a path with its placeholders filled in. A pipeline's name never makes it another folder."""
    # Not loaded by a command that only looks which plugins there are.
    from zoneinfo import ZoneInfo

    day = now.astimezone(ZoneInfo("Europe/Rome"))
    values = {"pipeline": safe_name(pipeline), "date": f"{day:%Y-%m-%d}"}
    return Path(_PLACEHOLDER.sub(lambda found: values[found[1]], str(path)))


@contextmanager
def _open(config: Mapping[str, Path], context: Context) -> Iterator[PostStep]:
    yield ReportStep(config, context)


def _parse(values: Mapping[str, Any]) -> dict[str, Path]:
    files = {name: values[name] for name in _FORMATS if values[name] is not None}
    if not files:
        raise ConfigError(
            _("give at least one of the options {options}: a file to write").format(
                options=", ".join(_FORMATS)
            )
        )
    return files


def _where(config: Mapping[str, Path]) -> str:
    return "report:" + "&".join(f"{name}={quote(str(path))}" for name, path in config.items())


REPORT = PostStepType[Mapping[str, Path]](
    api=1,
    name="report",
    summary="writes what `archipec report` writes, after each run",
    schemes=("report",),
    options=(
        Option(
            name="html",
            help="file for the page; {pipeline} and {date} in a file stand for the pipeline's name and the day",
            part="path",
            convert=file_path,
        ),
        Option(name="csv", help="file for the table", convert=file_path),
        Option(name="pdf", help="file for the PDF", convert=file_path),
        Option(name="json", help="file for the JSON object", convert=file_path),
    ),
    parse=_parse,
    where=_where,
    open=_open,
)


@hookimpl
def archipec_poststeps() -> Iterable[PostStepType[Any]]:
    """Yield the report step."""
    yield REPORT
