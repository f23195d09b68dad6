"""The zip source's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archipec.contract import Option, file_path
from archipec_plugins.files.unsealed import LOOSE
from archipec_plugins.mbox.config import DIALECT, dialect_of

if TYPE_CHECKING:
    from archipec_plugins.mbox.dialect import Dialect

__all__ = ["OPTIONS", "Config", "parse", "where"]

OPTIONS = (
    Option(
        name="path",
        help="the zip file, or a folder that holds zip files",
        required=True,
        part="path",
        convert=file_path,
    ),
    DIALECT,
    LOOSE,
)


@dataclass(frozen=True, slots=True)
class Config:
    """The zip or folder of zips to read.

    Attributes:
        dialect: of an mbox in it, None to find out.
        loose: also take messages that lack their envelope.
    """

    path: Path
    dialect: Dialect | None
    loose: bool


def parse(values: Mapping[str, Any]) -> Config:
    """Make the configuration from option values; see `archipec.contract.SourceType`."""
    return Config(values["path"], dialect_of(values["dialect"]), values["loose"])


def where(config: Config) -> str:
    """Return ``zip:/path``."""
    from archipec_plugins.files.escape import url_path

    return f"zip:{url_path(config.path)}"
