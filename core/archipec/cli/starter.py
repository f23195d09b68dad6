"""The first archipec.toml: its text, with comments, and putting it in place."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from archipec.config.pipeline import load
from archipec.durability import sync_directory, write_file
from archipec.errors import ConfigError, from_os_error
from archipec.language import _
from archipec.plugins.registry import Registry

__all__ = ["Starter", "refuse_existing", "write_new"]


@dataclass(frozen=True)
class Starter:
    """A configuration of one pipeline.

    Attributes:
        source: its table; sinks: theirs. Texts, numbers, truth values and lists of texts.
        about: what the source's preset stands for; may be empty.
        expire: the day on which the password expires.
    """

    name: str
    source: Mapping[str, object]
    about: str
    sinks: Sequence[Mapping[str, object]]
    expire: date | None

    def text(self, today: date) -> str:
        """Return the TOML file."""
        expire = (
            f"credentials_expire = {self.expire}"
            if self.expire
            else _(
                "# credentials_expire = 2027-01-31   # the day your password expires: `archipec status` warns"
            )
        )
        lines = [
            _("# Which mailbox is archived where. Written by `archipec init` on {today}.").format(
                today=today
            ),
            _("# A password never belongs in here, only where it is:"),
            _('# "env:NAME", "file:PATH", "command:CMD" or "keyring:SERVICE"; without any, archipec asks.'),
            "",
            "[[pipeline]]",
            f"name = {_value(self.name)}",
            expire,
            "",
            "[pipeline.source]",
            *self._source(),
            "",
            _(
                "# [pipeline.select]                        # what to take; everything unless this says "
                "otherwise"
            ),
            '# only = ["envelopes", "receipts"]',
        ]
        for sink in self.sinks:
            lines += ["", "[[pipeline.sink]]", *(f"{key} = {_value(value)}" for key, value in sink.items())]
        lines += [
            "",
            _(
                "# [pipeline.prune]                         # what `archipec prune` may delete; nothing "
                "without it"
            ),
            _('# older_than = "1y"                        # or free_to = "70%" of the mailbox, oldest first'),
            '# when_above = "90%"',
        ]
        return "\n".join(lines) + "\n"

    def _source(self) -> list[str]:
        lines = []
        for key, value in self.source.items():
            comment = f"   # {self.about}" if key == "provider" and self.about else ""
            lines.append(f"{key} = {_value(value)}{comment}")
        if self.source["type"] == "imap":
            lines.append(
                _(
                    '# folders = ["*"]                          # names or globs; trash, drafts and junk by '
                    "name only"
                )
            )
        return lines


def refuse_existing(path: Path) -> None:
    """Stop where there is a configuration already.

    Raises:
        ConfigError: there is one.
    """
    if path.exists() or path.is_symlink():
        raise ConfigError(
            _("there is a configuration at {path} already").format(path=path),
            hint=_("add a [[pipeline]] to it by hand, or write another with --config FILE"),
        )


def write_new(path: Path, text: str, registry: Registry) -> None:
    """Put a configuration in place, whole or not at all, for this user's eyes only, and never over another.

    Raises:
        ConfigError: it can't be used, or there is one by now.
        ArchipecError: it can't be written.
    """
    unproven = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(unproven, text.encode("utf-8"))
        try:
            load(unproven, registry)
            _move(unproven, path)
        finally:
            unproven.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise from_os_error(error, path) from error


def _move(source: Path, target: Path) -> None:
    try:
        # Unlike a rename, this fails when somebody was faster.
        os.link(source, target)
    except FileExistsError:
        refuse_existing(target)
    except OSError:
        # A file system without hard links.
        refuse_existing(target)
        source.replace(target)


def _value(value: object) -> str:
    """Write a TOML value. JSON's texts are TOML's, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
