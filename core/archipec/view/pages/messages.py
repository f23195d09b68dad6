"""Messages: all of them or those that are searched for, the newest first, with folders and kinds beside."""

from __future__ import annotations

import glob
import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import IO, Any, BinaryIO, Final, NamedTuple, cast
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from archipec.custody.ledger.holdings import held_in
from archipec.errors import USAGE, ArchipecError, ConfigError, Scope, counted
from archipec.index.finding import snippet_pieces
from archipec.index.header import message_stem
from archipec.index.search import DIRECTIONS, HAS, SEALS, Found, SearchRequest, behind_ledger, message_request
from archipec.language import _, written
from archipec.message import ContentKey
from archipec.paths import safe_name
from archipec.pec.buffer import FileBuffer
from archipec.pec.kind import GROUPS
from archipec.view.naming import named
from archipec.view.page import Download, Page, PageRequest
from archipec.view.viewed import OpenView

__all__ = ["PAGES", "FoundMessage", "MessagesPage", "SideEntry", "messages", "zip_of"]

PAGE: Final = 50
_MOST_BY_RANK: Final = 200
_MOST_IN_ZIP: Final = 1000
_ROME: Final = ZoneInfo("Europe/Rome")
_ID: Final = 16  # digits of a SHA-256 in the name of a file
_LONGEST: Final = 1000  # characters of a field
# What the form asks for, in the order in which it stands in an address.
_TEXTS: Final = ("q", "from", "to", "party", "since", "until", "attachment", "direction", "order")
_LISTS: Final = ("kind", "seal", "folder", "has")
_BY_LEDGER: Final = frozenset({"folder"})


class BadRequest(ConfigError):
    """What was asked for can't be understood."""

    exit_code = USAGE


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form asks for; every field as it was typed."""

    texts: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, asked: PageRequest) -> Asked:
        """Return what an address asks for."""
        return cls(
            {name: asked.value(name)[:_LONGEST] for name in _TEXTS},
            {name: asked.values(name) for name in _LISTS},
        )

    @property
    def by_rank(self) -> bool:
        """Whether the best come first."""
        return self.texts["order"] == "best" and bool(self.texts["q"])

    @property
    def narrowed(self) -> bool:
        """Whether anything is asked for besides words and their order."""
        return any(self.lists.values()) or any(
            value for name, value in self.texts.items() if name not in ("q", "order")
        )

    def address(self, **changes: str | tuple[str, ...]) -> str:
        """Return the address of a page that asks for this, but for some changes."""
        fields: list[tuple[str, str]] = []
        for name in (*_TEXTS, *_LISTS, "before", "from_number"):
            value = changes.get(name, self.texts.get(name, self.lists.get(name, "")))
            fields += [(name, one) for one in ((value,) if isinstance(value, str) else value) if one]
        return f"/messages?{urlencode(fields)}" if fields else "/messages"

    def request(self) -> SearchRequest:
        """Return the search that it means.

        Raises:
            ConfigError: a kind, a day or another choice is not one.
        """
        texts, lists = self.texts, self.lists
        for name, choices in (("seal", SEALS), ("has", HAS)):
            for value in lists[name]:
                if value not in choices:
                    raise BadRequest(_not_one_of(name, value, choices))
        if texts["direction"] and texts["direction"] not in DIRECTIONS:
            raise BadRequest(_not_one_of("direction", texts["direction"], DIRECTIONS))
        filters: dict[str, Any] = {
            "kinds": lists["kind"],
            "seals": lists["seal"],
            "folders": [glob.escape(one) for one in lists["folder"]],
            "attachment": texts["attachment"],
            "has": lists["has"],
        }
        one = message_request(
            filters, since=texts["since"] or None, until=texts["until"] or None, what="search"
        )
        return replace(
            one,
            words=texts["q"],
            senders=(texts["from"],) if texts["from"] else (),
            recipients=(texts["to"],) if texts["to"] else (),
            parties=(texts["party"],) if texts["party"] else (),
            direction=texts["direction"],
        )


def _not_one_of(name: str, value: str, choices: Sequence[str]) -> str:
    return _('{name}: "{value}" is not one of {choices}').format(
        name=name, value=value, choices=", ".join(choices)
    )


class FoundMessage(NamedTuple):
    """A message in the list.

    Attributes:
        date: Unix seconds, 0 when unknown.
        snippet: (text, whether it was searched for).
    """

    key: ContentKey
    id: str
    date: int
    kind: str
    seal: str
    direction: str
    sender: str
    recipients: Sequence[str]
    subject: str
    attachments: int
    snippet: Sequence[tuple[str, bool]]


class SideEntry(NamedTuple):
    """A folder or kind beside the list; the address chooses it, or takes the choice back."""

    name: str
    messages: int
    address: str
    chosen: bool


class MessagesPage(NamedTuple):
    """What the page shows.

    Attributes:
        older, newest: addresses of other pages of the list; empty where there is nothing more.
        behind: archived messages that are not in the index yet.
    """

    asked: Asked
    found: Sequence[FoundMessage]
    kinds: Sequence[SideEntry]
    folders: Sequence[SideEntry]
    older: str
    newest: str
    behind: int


def messages(view: OpenView, asked: Asked, before: int | None = None, start: int = 0) -> MessagesPage:
    """Return a page of what is asked for.

    Args:
        before: the number of the last message on the page before this one (`Hit.number`).
        start: where the best come first: how many were shown already.

    Raises:
        ConfigError, QueryError: what is asked for can't be understood.
        ArchipecError: there is no index, or it can't be read.
    """
    request = asked.request()
    older = newest = ""
    if asked.by_rank:
        start = min(max(start, 0), _MOST_BY_RANK)
        found = list(islice(view.search(request, by_rank=True), start, start + PAGE + 1))
        if len(found) > PAGE and start + PAGE < _MOST_BY_RANK:
            older = asked.address(from_number=str(start + PAGE))
        newest = asked.address() if start else ""
    else:
        found = list(islice(view.search(replace(request, before=before)), PAGE + 1))
        if len(found) > PAGE:
            older = asked.address(before=str(found[PAGE - 1].hit.number))
        newest = asked.address() if before is not None else ""
    return MessagesPage(
        asked,
        [_found(one) for one in found[:PAGE]],
        _side(asked, "kind", _kinds(view)),
        _side(asked, "folder", _folders(view)),
        older,
        newest,
        behind_ledger(view.index, view.ledger) if view.shown.known and view.index is not None else 0,
    )


def _found(one: Found) -> FoundMessage:
    hit = one.hit
    return FoundMessage(
        hit.key,
        one.id,
        hit.date,
        hit.kind,
        one.seal,
        one.direction,
        hit.sender,
        hit.recipients,
        hit.subject,
        hit.attachments,
        snippet_pieces(hit.snippet),
    )


def _kinds(view: OpenView) -> Mapping[str, int]:
    index = view.index
    if index is None:
        return {}
    held = ("true", ()) if view.archives is None or not view.shown.known else held_in(view.sinks)
    return view.shown.remembered.get(
        "kinds", (index.count(), view.ledger.holdings.state()), lambda: index.kind_counts(held)
    )


def _folders(view: OpenView) -> Mapping[str, int]:
    if not view.shown.known:
        return {}
    sinks = None if view.archives is None else view.sinks
    return view.shown.remembered.get(
        "folders", view.ledger.holdings.state(), lambda: view.ledger.holdings.folder_counts(sinks)
    )


def _side(asked: Asked, name: str, counts: Mapping[str, int]) -> list[SideEntry]:
    chosen = asked.lists[name]
    entries = []
    for value, number in counts.items():
        others = tuple(one for one in chosen if one != value)
        is_chosen = value in chosen
        changed = others if is_chosen else (*others, value)
        entries.append(SideEntry(value, number, asked.address(**{name: changed}), is_chosen))
    return entries


# -- several messages in one file ---------------------------------------------------------------------------


def zip_of(view: OpenView, keys: Sequence[ContentKey]) -> BinaryIO:
    """Return a zip file of messages, their exact bytes, with a list of their SHA-256; at its beginning, to be closed.

    What can't be read back is named in a file of its own, ``NOT-INCLUDED.txt``.

    Raises:
        ArchipecError: an archive can't be used at all.
    """
    sums: list[str] = []
    missing: list[str] = []
    file = cast("IO[bytes]", tempfile.TemporaryFile(prefix="archipec-"))  # noqa: SIM115  (it is returned)
    try:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, strict_timestamps=False) as packed:
            for key in keys:
                try:
                    stored = view.open(key)
                except ArchipecError as error:
                    if error.scope > Scope.MESSAGE:
                        raise
                    missing.append(f"{key.sha256}: {error.message}")
                    continue
                with stored:
                    name = safe_name(f"{message_stem(FileBuffer(stored), key.sha256[:_ID])}.eml")
                    stored.seek(0)
                    entry = _entry(name)
                    entry.file_size = key.size
                    with packed.open(entry, "w") as target:
                        shutil.copyfileobj(stored, target)
                sums.append(f"{key.sha256}  {name}")
            packed.writestr(_entry("SHA256SUMS"), _lines(sums))
            if missing:
                packed.writestr(_entry("NOT-INCLUDED.txt"), _lines(missing))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return cast("BinaryIO", file)


def _entry(name: str) -> zipfile.ZipInfo:
    # Of the same messages the same file.
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o600 << 16
    return entry


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{one}\n" for one in lines)


# -- the pages --------------------------------------------------------------------------------------------


def _answer(asked: PageRequest) -> Mapping[str, Any]:
    page = messages(asked.view, Asked.of(asked), _number(asked, "before"), _number(asked, "from_number") or 0)
    return {
        "page": page,
        "fields": page.asked.texts,
        "chosen": page.asked.lists,
        "nothing": dict.fromkeys((*_TEXTS[1:], *_LISTS), ""),
        "choices": {"seal": SEALS, "has": _has(asked.view), "direction": DIRECTIONS, "group": tuple(GROUPS)},
    }


def _has(view: OpenView) -> tuple[str, ...]:
    return HAS if view.shown.known else tuple(one for one in HAS if one != "missing-receipt")


def _number(asked: PageRequest, name: str) -> int | None:
    value = asked.value(name)
    digits = value.removeprefix("-")
    if not value:
        return None
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
        raise BadRequest(_('"{name}" is not a place in the list').format(name=name))
    return int(value)


def _zip(asked: PageRequest) -> Download:
    names = asked.values("id")
    if not names:
        raise BadRequest(
            _("no message was chosen"), hint=_("go back, and tick those that the file should hold")
        )
    if len(names) > _MOST_IN_ZIP:
        raise BadRequest(
            _("{messages} were chosen, and a file holds {most} at most").format(
                messages=counted(len(names), "message"), most=written(_MOST_IN_ZIP)
            )
        )
    keys = list(dict.fromkeys(named(asked.view, name) for name in names))
    digest = hashlib.sha256("".join(sorted(key.sha256 for key in keys)).encode()).hexdigest()[:8]
    day = f"{datetime.now(_ROME):%Y-%m-%d}"
    return Download(f"archipec {day} {digest}.zip", zip_of(asked.view, keys), "application/zip")


PAGES: Final = (
    Page("/messages", _answer, "messages.html"),
    Page("/messages/selection.zip", _zip, tab="/messages"),
)
