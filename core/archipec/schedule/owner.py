"""Says whose something is that runs archipec: made by `archipec schedule`, and for which configuration."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

from archipec.errors import PermanentError
from archipec.language import _

__all__ = ["Owner"]

_MARK: Final = "Made by archipec schedule for "
_MARKED: Final = re.compile(re.escape(_MARK) + r"(file:[^\s<]+)")


class Owner(NamedTuple):
    """The configuration for which something is installed.

    Attributes:
        uri: its file: ASCII without spaces, which every format and every character set of a console leaves as it is.
        suffix: what is added to the name under which it is installed; empty for the usual place.
    """

    uri: str
    suffix: str

    @classmethod
    def of(cls, config: Path, usual: Path) -> Owner:
        """Return the owner for a configuration file, where ``usual`` is the place of the one that is not chosen."""
        uri, at_home = (_uri(path) for path in (config, usual))
        return cls(uri, "" if uri == at_home else hashlib.sha256(uri.encode()).hexdigest()[:8])

    @property
    def mark(self) -> str:
        """What is written into all that is installed: one line."""
        return _MARK + self.uri

    def named(self, stem: str, separator: str = "-") -> str:
        """Return the name of what is installed for this configuration."""
        return f"{stem}{separator}{self.suffix}" if self.suffix else stem

    def made(self, definition: str) -> bool:
        """Return whether what a system has was made for this configuration."""
        return _marked(definition) == self.uri

    def check(self, place: str, definition: str) -> None:
        """Let pass what was made for this configuration.

        Args:
            place: the file or the task, for people.
            definition: what the system has there.

        Raises:
            PermanentError: something else is there, which is not to be replaced or removed.
        """
        uri = _marked(definition)
        if not uri:
            raise PermanentError(
                _("{place} was not made by `archipec schedule`: it is neither replaced nor removed").format(
                    place=place
                ),
                hint=_("if you don't need it, remove it yourself; else give it another name"),
            )
        if uri != self.uri:
            raise PermanentError(
                _("{place} runs another configuration, {config}: it is neither replaced nor removed").format(
                    place=place, config=unquote(uri)
                ),
                hint=_("if you don't need it, remove it yourself; else give it another name"),
            )


def _marked(definition: str) -> str:
    # What was UTF-16 and was read as something else has zeros.
    found = _MARKED.search(definition.replace("\0", ""))
    return found[1] if found else ""


def _uri(path: Path) -> str:
    # Links are left as they are: where one leads may change, and the configuration is still the same.
    return Path(os.path.normcase(os.path.abspath(path))).as_uri()  # noqa: PTH100  without following links
