"""When messages may leave their source: the rules of a pipeline's ``[pipeline.prune]``, parsed and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from archipec.config.age import Age, read_age
from archipec.config.selection import OPTIONS as SELECTION_OPTIONS
from archipec.config.selection import Selection, read_selection
from archipec.errors import ConfigError
from archipec.language import _
from archipec.message import Quota
from archipec.options import Option, boolean, byte_size, choice, read_options

_PERCENT: Final = re.compile(r"(\d{1,3})\s*%?")
_MAX_SHARE: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePolicy:
    """What of that which is archived may be deleted. The default allows nothing.

    Every rule that is given must allow a message.

    Attributes:
        older_than: how old a message must be, by a date that its sender did not choose.
        verified_for: how long every required copy must have been found intact each time it was read back.
        free_to: percent of the quota to get down to, oldest messages first.
        when_above: percent of the quota up to which nothing is deleted.
        quota: bytes of the mailbox, where the server does not tell.
        receipts_complete: keep what was sent, and its receipts, until all of them have come.
        max_share: percent of a folder's messages that one run may delete.
        trash: what of the trash is emptied: nothing (""), what prune put there ("own"), everything proven ("all").
        auto: prune at the end of ``archive``.
        selections: further choices, within the pipeline's; a message must be in each.
    """

    older_than: Age | None = None
    verified_for: Age | None = None
    free_to: int | None = None
    when_above: int | None = None
    quota: int | None = None
    receipts_complete: bool = False
    max_share: int = _MAX_SHARE
    trash: str = ""
    auto: bool = False
    selections: tuple[Selection, ...] = ()

    def __str__(self) -> str:
        """What lets messages go, as text; empty when nothing does."""
        parts = [
            _("older than {older_than}").format(older_than=self.older_than)
            if self.older_than is not None
            else "",
            _("verified for {verified_for}").format(verified_for=self.verified_for)
            if self.verified_for is not None
            else "",
            _("down to {free_to} % of the quota").format(free_to=self.free_to)
            if self.free_to is not None
            else "",
            _("all receipts have come") if self.receipts_complete else "",
            *map(str, self.selections),
            _("trash: {trash}").format(trash=self.trash) if self.trash else "",
        ]
        return "; ".join(part for part in parts if part)

    @property
    def has_rule(self) -> bool:
        """Whether anything says which messages may go."""
        return (
            self.older_than is not None
            or self.verified_for is not None
            or self.free_to is not None
            or any(selection != Selection() for selection in self.selections)
        )

    @property
    def asks_date(self) -> bool:
        """Whether it depends on when messages came."""
        return self.older_than is not None or self.free_to is not None

    def quota_of(self, reported: Quota | None, listed: int) -> Quota | None:
        """Return a mailbox's quota: as the server reports it, or its size as configured, its use then at least as listed.

        Args:
            listed: bytes of the messages known.
        """
        if self.quota is None:
            return reported
        return Quota(listed if reported is None else reported.used, self.quota)


def _percent(value: object) -> int:
    match = _PERCENT.fullmatch(str(value).strip())
    if match is None or isinstance(value, bool) or int(match[1]) > 100:
        raise ValueError(_('must be a share such as "70%"'))
    return int(match[1])


def _quota(value: object) -> int:
    size = byte_size(value)
    if not size:
        raise ValueError(_('must be a size such as "2 GB"'))
    return size


OPTIONS: Final[tuple[Option, ...]] = (
    Option(name="older_than", help="age from which messages may go", convert=read_age),
    Option(name="verified_for", help="time since when copies have been found intact", convert=read_age),
    Option(name="free_to", help="share of the quota to get down to, oldest first", convert=_percent),
    Option(name="when_above", help="share of the quota up to which nothing is deleted", convert=_percent),
    Option(
        name="quota", help="size of the mailbox, where the server doesn't tell", unit="bytes", convert=_quota
    ),
    Option(
        name="receipts_complete",
        help="keep what was sent until all its receipts have come",
        default=False,
        convert=boolean,
    ),
    Option(
        name="max_share",
        help="share of a folder that one run may delete",
        default=_MAX_SHARE,
        convert=_percent,
    ),
    Option(name="trash", help="what of the trash to empty", default="", convert=choice("own", "all")),
    Option(name="auto", help="prune at the end of archive", default=False, convert=boolean),
)
"""What a policy is configured with; the options of a selection besides."""

_OWN: Final = frozenset(option.name for option in OPTIONS)
_SELECTION: Final = frozenset(option.name for option in SELECTION_OPTIONS)


def read_policy(table: Mapping[str, object], what: str = "prune") -> PrunePolicy:
    """Make a policy from its settings (`OPTIONS` and those of a selection).

    Args:
        what: names the settings in problems.

    Raises:
        ConfigError: with every problem.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    selection = Selection()
    try:
        own = {name: value for name, value in table.items() if name in _OWN or name not in _SELECTION}
        values = read_options(OPTIONS, own, what)
    except ConfigError as error:
        problems += error.problems
    try:
        chosen = {name: value for name, value in table.items() if name in _SELECTION}
        selection = read_selection(chosen, what)
    except ConfigError as error:
        problems += error.problems
    free_to, when_above = values.get("free_to"), values.get("when_above")
    if free_to is not None and when_above is not None and free_to >= when_above:
        problems.append(
            _('{what}: "free_to" {free_to}% must be below "when_above" {when_above}%').format(
                what=what, free_to=free_to, when_above=when_above
            )
        )
    if problems:
        raise ConfigError(problems)
    return PrunePolicy(**values, selections=(selection,) if selection != Selection() else ())
