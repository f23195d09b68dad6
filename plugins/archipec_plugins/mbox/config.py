"""The mbox source's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archipec.contract import Option, choice, file_path

if TYPE_CHECKING:
    from archipec_plugins.mbox.dialect import Dialect

__all__ = ["DIALECT", "OPTIONS", "Config", "dialect_of", "parse", "where"]

DIALECT = Option(
    name="dialect",
    help="how lines that begin with From are quoted: auto to find out, mboxrd, mboxo, or mboxcl2 for not at all",
    default="auto",
    convert=choice("auto", "mboxrd", "mboxo", "mboxcl2"),
)

OPTIONS = (
    Option(
        name="path",
        help="the file, or a folder that holds mbox files",
        required=True,
        part="path",
        convert=file_path,
    ),
    DIALECT,
)


@dataclass(frozen=True, slots=True)
class Config:
    """The file or folder to read; ``dialect`` is None when it is to be found out."""

    path: Path
    dialect: Dialect | None


def dialect_of(word: str) -> Dialect | None:
    """Return the dialect that a value of `DIALECT` means."""
    from archipec_plugins.mbox.dialect import Dialect

    return None if word == "auto" else Dialect(word)


def parse(values: Mapping[str, Any]) -> Config:
    """Make the configuration from option values; see `archipec.contract.SourceType`."""
    return Config(values["path"], dialect_of(values["dialect"]))


def where(config: Config) -> str:
    """Return ``mbox:/path``."""
    from archipec_plugins.files.escape import url_path

    return f"mbox:{url_path(config.path)}"
