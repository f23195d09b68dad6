"""Which messages a pipeline takes: by folder, size, period and kind.

A selection answers in stages, each costing more than the one before: from what a listing shows, then from the
header, then from the whole message. Until it can tell, it says so (None).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from archipec.config.age import is_age, read_age
from archipec.errors import ConfigError, counted
from archipec.language import N_, _, written
from archipec.options import Option, byte_size, nearest, read_options, strings
from archipec.pec.kind import GROUPS, KINDS, ORDINARIA, OTHER_NAMES, in_group

# Certified mail began in 2005; outside these years a period is a slip of the pen.
_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_HASH = re.compile("[0-9a-f]{4,64}")
_PERIOD = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
SENT_GROUPS: Final[Mapping[str, str]] = MappingProxyType(
    {"sent-certified": "certificato", "sent-ordinary": "esterno"}
)
"""Groups of sent messages by the kind of recipients that their acceptance certifies; one with both is in both."""

_SENT: Final = frozenset(SENT_GROUPS)
_KNOWN: Final = frozenset(KINDS)
_WORDS: Final = frozenset((*GROUPS, *KINDS, *SENT_GROUPS))
# Stands for every kind that this version does not know, and that no word can name.
_OTHER: Final = "x-other"


class MessageFacts(NamedTuple):
    """What is known of a message so far; None for what is not.

    Attributes:
        folder: its folder's name.
        size: bytes.
        date: Unix seconds; the received date of a listing stands in until a better one is known.
        kind: as `archipec.pec.kind` names it.
        message_id: without angle brackets; empty when it has none.
        sha256: of its exact bytes.
        sent: the kinds of recipients ("certificato", "esterno") in the acceptance of this message, empty when
            no acceptance is recorded: what is not known is taken.
        unrecognised: whether it passes for certified mail of a kind that this version does not know: to archive,
            it is taken whatever `only` and `except` say.
    """

    folder: str
    size: int | None = None
    date: float | None = None
    kind: str | None = None
    message_id: str | None = None
    sha256: str | None = None
    sent: frozenset[str] | None = None
    unrecognised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A choice of messages. The default takes all of them without looking.

    Attributes:
        only: kinds and groups of kinds taken (`archipec.pec.kind`, `SENT_GROUPS`); empty takes all.
        exclude: kinds and groups left out.
        since: the first day taken, in Europe/Rome.
        until: the last day taken, in Europe/Rome.
        min_size: bytes of the smallest message taken.
        max_size: bytes of the largest message taken.
        message_ids: Message-IDs taken, without angle brackets and in lower case; empty takes all.
        ids: beginnings of the SHA-256 of messages taken, or their Message-IDs as above; empty takes all.
        folders: globs (``*``, ``?``, ``[…]``; ``*`` also stands for the hierarchy separator), matched without
            regard to case; empty takes all.
    """

    only: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    since: date | None = None
    until: date | None = None
    min_size: int | None = None
    max_size: int | None = None
    message_ids: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()
    _hashes: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _kinds: frozenset[str] | None = field(init=False, repr=False, compare=False)
    _start: float | None = field(init=False, repr=False, compare=False)
    _end: float | None = field(init=False, repr=False, compare=False)
    _takes_all: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kinds = None
        if self.only or self.exclude:
            kinds = frozenset(kind for kind in (*KINDS, _OTHER) if self._wants_kind(kind))
        object.__setattr__(self, "_kinds", kinds)
        object.__setattr__(self, "_hashes", tuple(one for one in sorted(self.ids) if is_hash(one)))
        object.__setattr__(self, "_start", None if self.since is None else _midnight(self.since))
        object.__setattr__(self, "_takes_all", not str(self))
        object.__setattr__(
            self, "_end", None if self.until is None else _midnight(self.until + timedelta(days=1))
        )

    @property
    def span(self) -> tuple[float | None, float | None]:
        """The first second of the days taken, and the one after the last, in Unix seconds; None where there is no limit."""
        return self._start, self._end

    def answer(self, known: MessageFacts) -> bool | None:
        """Tell whether a message is taken, from what is known of it so far.

        Returns:
            None while what is known does not decide.
        """
        if self.folders and not self.wants_folder(known.folder):
            return False
        answers = (
            self._answer_size(known.size),
            self._answer_date(known.date),
            known.unrecognised or self._answer_kind(known.kind, known.sent),
            self._answer_message_id(known.message_id),
            self._answer_ids(known.message_id, known.sha256),
        )
        if False in answers:
            return False
        return None if None in answers else True

    def _answer_size(self, size: int | None) -> bool | None:
        if self.min_size is None and self.max_size is None:
            return True
        if size is None:
            return None
        return (self.min_size is None or size >= self.min_size) and (
            self.max_size is None or size <= self.max_size
        )

    def _answer_date(self, date: float | None) -> bool | None:
        if self._start is None and self._end is None:
            return True
        if date is None:
            return None
        return (self._start is None or date >= self._start) and (self._end is None or date < self._end)

    def _answer_kind(self, kind: str | None, sent: frozenset[str] | None) -> bool | None:
        if self._kinds is None:
            return True
        if kind is None:
            return None
        if (kind if kind in _KNOWN else _OTHER) not in self._kinds:
            return False
        if not self.asks_sent(kind):
            return True
        return None if sent is None else self._wants_sent(sent)

    def _answer_message_id(self, message_id: str | None) -> bool | None:
        if not self.message_ids:
            return True
        return None if message_id is None else message_id.casefold() in self.message_ids

    def _answer_ids(self, message_id: str | None, sha256: str | None) -> bool | None:
        if not self.ids or (message_id is not None and message_id.casefold() in self.ids):
            return True
        if self._hashes and sha256 is None:
            return None
        if sha256 is not None and (sha256 in self.ids or sha256.startswith(self._hashes)):
            return True
        return None if message_id is None and len(self._hashes) < len(self.ids) else False

    def wants_folder(self, folder: str) -> bool:
        """Tell whether anything in a folder can be taken."""
        return not self.folders or _matches(self.folders, folder)

    def wants_kind(self, kind: str) -> bool:
        """Tell whether messages of a kind can be taken."""
        return self._kinds is None or (kind if kind in _KNOWN else _OTHER) in self._kinds

    @property
    def period(self) -> tuple[float | None, float | None]:
        """The Unix times of the first moment taken and of the first that is too late; None for no bound."""
        return self._start, self._end

    def matches_folder(self, glob: str, folder: str) -> bool:
        """Tell whether one of the globs matches a folder's name."""
        return _matches((glob,), folder)

    def __str__(self) -> str:
        """What is asked of messages, as text; empty when nothing is."""
        parts = [
            _("only {only}").format(only=", ".join(sorted(self.only))) if self.only else "",
            _("without {exclude}").format(exclude=", ".join(sorted(self.exclude))) if self.exclude else "",
            _("since {since}").format(since=self.since) if self.since else "",
            _("until {until}").format(until=self.until) if self.until else "",
            _("at least {min_size} bytes").format(min_size=written(self.min_size))
            if self.min_size is not None
            else "",
            _("at most {max_size} bytes").format(max_size=written(self.max_size))
            if self.max_size is not None
            else "",
            f"Message-ID {', '.join(sorted(self.message_ids))}" if self.message_ids else "",
            f"{counted(len(self.ids), 'id')}" if self.ids else "",
            _("in folders {folders}").format(folders=", ".join(self.folders)) if self.folders else "",
        ]
        return "; ".join(part for part in parts if part)

    @property
    def takes_all(self) -> bool:
        """Whether it takes every message of every folder."""
        return self._takes_all

    @property
    def asks_message_id(self) -> bool:
        """Whether answers depend on the Message-ID, for itself or to find an acceptance by."""
        return bool(self.message_ids) or len(self._hashes) < len(self.ids) or self.asks_sent(ORDINARIA)

    @property
    def asks_hash(self) -> bool:
        """Whether answers may depend on the whole message."""
        return bool(self._hashes)

    def asks_sent(self, kind: str | None) -> bool:
        """Tell whether the answer for messages of a kind depends on to whom they were sent."""
        if kind != ORDINARIA:
            return False
        only_sent = bool(self.only & _SENT) and not any(_is(kind, word) for word in self.only)
        return only_sent or bool(self.exclude & _SENT)

    def _wants_sent(self, sent: frozenset[str]) -> bool:
        groups = {group for group, tipo in SENT_GROUPS.items() if tipo in sent}
        if not groups:
            return True
        if groups <= self.exclude:
            return False
        return not self.only or bool(groups & self.only) or any(_is(ORDINARIA, word) for word in self.only)

    def _wants_kind(self, kind: str) -> bool:
        if any(_is(kind, word) for word in self.exclude):
            return False
        if not self.only or any(_is(kind, word) for word in self.only):
            return True
        # What was sent is distinguished later, by its acceptance.
        return kind == ORDINARIA and bool(self.only & _SENT)


def _is(kind: str, word: str) -> bool:
    return kind == word or (word in GROUPS and in_group(kind, word))


@lru_cache(maxsize=8192)
def _matches(globs: tuple[str, ...], folder: str) -> bool:
    name = _folded(folder)
    return any(name == glob or _pattern(glob).fullmatch(name) for glob in map(_folded, globs))


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    import fnmatch

    return re.compile(fnmatch.translate(glob))


def _folded(name: str) -> str:
    """Without case, and with accents written in one way: macOS takes them apart in file names."""
    return unicodedata.normalize("NFC", name).casefold()


def _midnight(day: date) -> float:
    """The Unix time at which a day begins in Italy."""
    from zoneinfo import ZoneInfo

    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("Europe/Rome")).timestamp()


def _period(value: object) -> tuple[date, date]:
    """First and last day of a year, a month or a day; of an age, the day that is so long ago."""
    if is_age(value):
        day_then = read_age(value).before(datetime.now(UTC)).date()
        return day_then, day_then
    match = _PERIOD.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(_("must be a date such as 2024-03-31, 2024-03 or 2024, or an age such as 30d"))
    year, month, day = (int(group) if group else None for group in match.groups())
    assert year is not None
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise ValueError(
            _("must be a date between {first_year} and {last_year}").format(
                first_year=_FIRST_YEAR, last_year=_LAST_YEAR
            )
        )
    try:
        first = date(year, month or 1, day or 1)
    except ValueError:
        raise ValueError(_("must be a date that exists")) from None
    if day:
        return first, first
    following = date(year + 1, 1, 1) if month is None or month == 12 else date(year, month + 1, 1)
    return first, following - timedelta(days=1)


def _first_day(value: object) -> date:
    return _period(value)[0]


def _last_day(value: object) -> date:
    return _period(value)[1]


def _kind_words(value: object) -> frozenset[str]:
    words = [OTHER_NAMES.get(word, word) for word in strings(value)]
    unknown = [
        _('"{word}" is not one{nearest}').format(word=word, nearest=nearest(word, (*_WORDS, *OTHER_NAMES)))
        for word in words
        if word not in _WORDS
    ]
    if unknown or not words:
        raise ValueError(
            _("must be kinds or groups of messages ({unknown})").format(
                unknown="; ".join(unknown) or _("none is given")
            )
        )
    return frozenset(words)


def _message_ids(value: object) -> frozenset[str]:
    ids = frozenset(one.strip("<> \t").casefold() for one in strings(value))
    if not all(ids):
        raise ValueError(_("must be a Message-ID such as <20260915.1234@pec.example.it>"))
    return ids


def is_hash(text: str) -> bool:
    """Tell whether an id is the beginning of a SHA-256, 4 hexadecimal digits or more."""
    return _HASH.fullmatch(text) is not None


def _ids(value: object) -> frozenset[str]:
    ids = frozenset(one.strip("<> \t").casefold() for one in strings(value))
    if not all(ids):
        raise ValueError(_("must be beginnings of SHA-256, or Message-IDs"))
    return ids


def _globs(value: object) -> tuple[str, ...]:
    globs = strings(value)
    if not globs:
        raise ValueError(_("must name at least one folder"))
    return globs


def _option(name: str, text: str, convert: Callable[[object], object], unit: str = "") -> Option:
    return Option(name=name, help=text, convert=convert, unit=unit)


OPTIONS: Final[tuple[Option, ...]] = (
    _option("only", N_("kinds or groups of messages to take"), _kind_words),
    _option("except", N_("kinds or groups of messages to leave out"), _kind_words),
    _option("since", N_("first day (or month, or year) to take, or an age: 30d, 6m, 1y"), _first_day),
    _option("until", N_("last day (or month, or year) to take, or an age"), _last_day),
    _option("min_size", N_("size of the smallest message to take"), byte_size, "bytes"),
    _option("max_size", N_("size of the largest message to take"), byte_size, "bytes"),
    _option("message_id", N_("Message-IDs of the messages to take"), _message_ids),
    _option("ids", N_("beginnings of the SHA-256, or Message-IDs, of the messages to take"), _ids),
    _option("folders", N_("globs of the folders to take"), _globs),
)
"""What a selection is configured with, in TOML (``[pipeline.select]``) and on the command line."""


def read_selection(table: Mapping[str, object], what: str = "selection") -> Selection:
    """Make a selection from its settings (`OPTIONS`).

    Args:
        what: names the settings in problems.

    Raises:
        ConfigError: with every problem.
    """
    values = read_options(OPTIONS, table, what)
    values["exclude"] = values.pop("except")
    values["message_ids"] = values.pop("message_id")
    selection = Selection(**{name: value for name, value in values.items() if value is not None})  # type: ignore[arg-type]
    problems = []
    if selection._kinds is not None and not selection._kinds:
        problems.append(_('{what}: "only" and "except" leave no kind of message').format(what=what))
    if selection.since and selection.until and selection.since > selection.until:
        problems.append(
            _('{what}: "since" {since} is after "until" {until}').format(
                what=what, since=selection.since, until=selection.until
            )
        )
    if selection.max_size is not None and (selection.min_size or 0) > selection.max_size:
        problems.append(
            _('{what}: "min_size" {min_size} is above "max_size" {max_size}').format(
                what=what, min_size=selection.min_size, max_size=selection.max_size
            )
        )
    if problems:
        raise ConfigError(problems)
    return selection
