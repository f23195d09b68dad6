"""The option that every archive of files has."""

from __future__ import annotations

from typing import Final

from archipec.contract import Option, file_path

__all__ = ["DIRECTORY"]

DIRECTORY: Final = Option(
    name="path",
    help="the directory to keep the files in",
    required=True,
    part="path",
    convert=file_path,
)
