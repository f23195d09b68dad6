"""The dump source's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archipec.contract import Option, file_path
from archipec_plugins.files.unsealed import LOOSE
from archipec_plugins.mbox.config import DIALECT

__all__ = ["OPTIONS", "Config", "parse", "where"]

OPTIONS = (
    Option(
        name="path",
        help="the file or folder",
        required=True,
        part="path",
        convert=file_path,
    ),
    DIALECT,
    LOOSE,
)


@dataclass(frozen=True, slots=True)
class Config:
    """What to read; ``dialect`` and ``loose`` are as the sources that read it have them."""

    path: Path
    dialect: str
    loose: bool


def parse(values: Mapping[str, Any]) -> Config:
    """Make the configuration from option values; see `archipec.contract.SourceType`."""
    return Config(values["path"], values["dialect"], values["loose"])


def where(config: Config) -> str:
    """Return ``dump:/path``."""
    from archipec_plugins.files.escape import url_path

    return f"dump:{url_path(config.path)}"
