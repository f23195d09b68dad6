"""The Thunderbird sink's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archipec.contract import Option, file_path
from archipec.errors import ConfigError

__all__ = ["OPTIONS", "Config", "parse", "where"]

OPTIONS = (
    Option(name="path", help="the profile", required=True, part="path", convert=file_path),
    Option(
        name="folder",
        help='the folder under "Local Folders" to put everything below',
        default="archipec",
    ),
)


@dataclass(frozen=True, slots=True)
class Config:
    """A profile, and the folder in it that everything goes below."""

    profile: Path
    folder: str


def parse(values: Mapping[str, Any]) -> Config:
    """Make the configuration from option values; see `archipec.contract.SinkType`."""
    folder: str = values["folder"]
    if not folder.isprintable() or "/" in folder or not folder.strip():
        raise ConfigError(f'option "folder" must be the name of one folder, not {folder!r}')
    return Config(values["path"], folder)


def where(config: Config) -> str:
    """Return the view's URL."""
    from urllib.parse import quote

    from archipec_plugins.files.streams import place_url

    return f"{place_url('thunderbird', config.profile)}?folder={quote(config.folder, safe='')}"
