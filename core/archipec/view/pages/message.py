"""One message: what it says, what certifies it, what it belongs to, where it is kept; its bytes and its files to save."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from itertools import islice
from typing import Any, Final, NamedTuple

from archipec.custody.ledger.holdings import HeldCopy
from archipec.custody.receipts.query import check_short_receipts
from archipec.errors import ArchipecError
from archipec.index.facts import fact_rows
from archipec.index.header import message_stem
from archipec.index.overview import MessageOverview, overview, recognised
from archipec.index.record import IndexedMessage, Party, Place, Role
from archipec.language import N_, _, current, written
from archipec.message import ContentKey
from archipec.paths import safe_name
from archipec.pec.buffer import FileBuffer
from archipec.pec.kind import UNSEALED
from archipec.pec.sentences import translated
from archipec.pec.transactions import MessageRecord, Transaction
from archipec.report.pdf.typesetting import is_available
from archipec.view.html import clean_html
from archipec.view.naming import named
from archipec.view.original import attached, html_of, original_of, pictures_of
from archipec.view.page import Download, MessageHtml, NoSuchPage, Page, PageRequest
from archipec.view.viewed import OpenView

__all__ = ["PAGES", "Attached", "MessagePage", "TimelineEntry", "frame_of", "message"]

MAX_TEXT: Final = 100_000
"""Characters of a text that the page shows."""

_MAX_FILES: Final = 500
_MAX_PEOPLE: Final = 100
_ID: Final = 16  # digits of a SHA-256 in the name of a file
_SHOWN: Final = (
    (N_("From"), Role.FROM),
    (N_("To"), Role.TO),
    (N_("Cc"), Role.CC),
    (N_("Bcc"), Role.BCC),
)
# What stands elsewhere on the page.
_ELSEWHERE: Final = frozenset(
    {"kind", "system", "oggetto", "header", "message_id", "original", "in_reply_to", "outside_seal"}
)
_SEAL_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "valid": ("good", N_("The seal is valid")),
    "altered": ("bad", N_("The seal is broken: something was changed after it was sealed")),
    "untrusted": ("bad", N_("The seal is not trusted")),
    "expired": ("warn", N_("The certificate of the seal had expired")),
    "malformed": ("bad", N_("The seal can't be read")),
    "unsigned": ("", N_("It has no seal")),
}
_STYLE: Final = (
    "body{margin:1rem;background:#fff;color:#111;font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere;color-scheme:light}"
    "img{max-width:100%;height:auto}table{max-width:100%}pre{white-space:pre-wrap}"
    ".link{text-decoration:underline}.target{color:#555;font-size:.85em;text-decoration:none}"
    ".said{margin:0 0 1rem;padding:.5rem .75rem;background:#f3f4f6;color:#333;font-size:.85rem}.said p{margin:0}"
)


class Attached(NamedTuple):
    """A file of a message, or in a file of it.

    Attributes:
        number: by which it can be saved; None for one that is in another file.
        is_found: what it is found to be: an invoice, a notice, a filing.
        problem: why its text can't be searched; empty when it can.
    """

    name: str
    size: int
    media_type: str
    signers: Sequence[str]
    is_found: Sequence[str]
    problem: str
    depth: int
    number: int | None


class TimelineEntry(NamedTuple):
    """A message of the same transaction.

    Attributes:
        what: "sent", or its kind.
        about: the recipients that it is about.
        proven: whether a valid seal certifies it; of what was sent None: no provider makes it.
        here: it is the message that the page shows.
    """

    key: ContentKey
    date: datetime | None
    what: str
    about: Sequence[str]
    proven: bool | None
    reason: str
    here: bool


class MessagePage(NamedTuple):
    """What the page shows.

    Attributes:
        date: Unix seconds, None when unknown.
        people: (what they are, address and name).
        text: what the sender wrote; of a message of the provider alone, what that wrote.
        is_whole: whether all of the text is here.
        seal: (how good, a sentence about it, the reason).
        facts: of the certification data and the seal, as they stand there.
        more_files: how many there are besides.
        timeline: the messages of its transaction, the oldest first.
        outside: what lies in the message beside what its seal covers.
    """

    key: ContentKey
    subject: str
    date: int | None
    kind: str
    system: str
    message_id: str
    people: Sequence[tuple[str, Party]]
    more_people: int
    folders: Sequence[str]
    text: str
    is_whole: bool
    seal: tuple[str, str, str]
    judged: bool
    facts: Sequence[tuple[str, str]]
    outside: Sequence[str]
    files: Sequence[Attached]
    more_files: int
    problems: Sequence[str]
    transaction: Transaction | None
    timeline: Sequence[TimelineEntry]
    copies: Sequence[HeldCopy]


def message(view: OpenView, key: ContentKey) -> MessagePage:
    """Return what is known of a message: by the ledger and the index, without reading it where they have it.

    Raises:
        ArchipecError: neither has it, and no archive gives it back; or they can't be read.
    """
    one = overview(key, view.ledger, view.sinks, view, view.index, view.now)
    content = one.content
    transaction = (
        None if one.transaction is None else check_short_receipts(one.transaction, view.ledger, None)
    )
    text, is_whole = _text(content)
    people = [(label, who) for label, role in _SHOWN for who in content.parties if who.role is role]
    numbered = list(islice(_files(one), _MAX_FILES))
    return MessagePage(
        key=key,
        subject=content.subject,
        date=content.certified or content.dated,
        kind=content.kind,
        system=content.system,
        message_id=content.message_id,
        people=people[:_MAX_PEOPLE],
        more_people=max(len(people) - _MAX_PEOPLE, 0),
        folders=list(dict.fromkeys(folder for _, folder in one.seen)),
        text=text,
        is_whole=is_whole,
        seal=_seal(one.facts),
        judged=one.judged,
        facts=fact_rows(
            {name: value for name, value in one.facts.items() if name not in _ELSEWHERE}
            | {"outside_seal": []}
        ),
        outside=[
            f"{part['name'] or part['place']} ({part['type']}, {part['size']} bytes)"
            for part in one.facts.get("outside_seal", ())
        ],
        files=numbered,
        more_files=len(content.attachments) - len(numbered),
        problems=content.problems,
        transaction=transaction,
        timeline=[] if transaction is None else _timeline(transaction, key),
        copies=one.copies,
    )


def _text(content: IndexedMessage) -> tuple[str, bool]:
    for place in (Place.INNER, Place.ENVELOPE):
        if texts := [one.text for one in content.texts if one.place is place]:
            text = "\n\n".join(texts)
            return text[:MAX_TEXT], len(text) <= MAX_TEXT
    return "", True


def _seal(facts: Mapping[str, Any]) -> tuple[str, str, str]:
    seal = facts["seal"]
    tone, words = _SEAL_WORDS.get(str(seal["status"]), ("warn", str(seal["status"])))
    return tone, words, translated(str(seal["reason"] or ""))


def _files(one: MessageOverview) -> Iterator[Attached]:
    number = 0
    for position, file in enumerate(one.content.attachments):
        yield Attached(
            file.path if not file.depth else file.name,
            file.size,
            file.media_type,
            file.signers,
            list(recognised(one.content, position)),
            file.problem if one.complete else "",
            file.depth,
            None if file.depth else number,
        )
        number += not file.depth


def _timeline(transaction: Transaction, here: ContentKey) -> list[TimelineEntry]:
    sent = None if transaction.sent is None else transaction.sent.record
    records: dict[ContentKey, MessageRecord] = {} if sent is None else {sent.key: sent}
    found = [
        *([] if transaction.acceptance is None else [transaction.acceptance]),
        *(one for who in transaction.recipients for one in who.receipts),
        *transaction.envelopes,
        *transaction.unproven,
    ]
    records |= {one.key: one for one in found}
    entries = [
        TimelineEntry(
            one.key,
            one.date,
            "sent" if one.is_sendable else one.kind,
            one.about,
            None if one.is_sendable else one.proven,
            "" if one.proven or one.is_sendable else translated(one.reason),
            one.key == here,
        )
        for one in records.values()
    ]
    return sorted(entries, key=lambda one: (one.date is None, one.date.timestamp() if one.date else 0.0))


# -- what is read from the archive ----------------------------------------------------------------------------


def _is_certified(view: OpenView, key: ContentKey) -> bool:
    """Tell whether a message passes for one of a provider, as the index and its files go by it."""
    indexed = None if view.index is None else view.index.get(key)
    facts = view.ledger.holdings.record(key)
    if indexed is None or facts is None:
        one = overview(key, view.ledger, view.sinks, view, view.index, view.now)
        return one.content.kind not in UNSEALED or bool(one.facts.get("rem"))
    return indexed.kind not in UNSEALED or bool(facts.get("rem"))


def frame_of(view: OpenView, key: ContentKey) -> str:
    """Return a document that shows the HTML of a message, made harmless.

    Raises:
        ArchipecError: no archive gives the message back.
    """
    with view.open(key) as file:
        original = original_of(FileBuffer(file), certified=_is_certified(view, key))
        text = "" if original is None else html_of(original)
        if original is None or not text.strip():
            return _document("", [_("This message has no formatted text.")])
        pictures = pictures_of(original) if "cid:" in text.lower() else {}
    cleaned = clean_html(text, pictures)
    said = []
    if cleaned.images:
        said.append(
            _(
                "Images that are not shown: {count}. Whoever wrote this would learn that you look at it."
            ).format(count=written(cleaned.images))
        )
    if cleaned.active:
        said.append(
            _("Scripts, forms and frames that are left out: {count}.").format(count=written(cleaned.active))
        )
    if not cleaned.is_whole:
        said.append(
            _("It is too large, or too tangled, to be shown whole: save the message to see the rest.")
        )
    return _document(cleaned.html, said)


def _document(body: str, said: Sequence[str]) -> str:
    notes = "".join(f"<p>{escape(one)}</p>" for one in said)
    return (
        '<!doctype html><html lang="'
        + current()
        + '"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(_('Message'))}</title><style>{_STYLE}</style>"
        + (f'<div class="said">{notes}</div>' if notes else "")
        + f"<main>{body}</main></html>"
    )


# -- the pages ------------------------------------------------------------------------------------------------


def _answer(asked: PageRequest) -> Mapping[str, Any]:
    key = named(asked.view, asked.path["key"])
    return {
        "page": message(asked.view, key),
        "formatted": asked.value("as") == "html",
        "max_text": MAX_TEXT,
        "makes_pdf": is_available(),
    }


def _frame(asked: PageRequest) -> MessageHtml:
    try:
        return MessageHtml(frame_of(asked.view, named(asked.view, asked.path["key"])))
    except NoSuchPage:
        raise
    except ArchipecError as error:
        # In the frame, where the viewer's own page may not stand.
        return MessageHtml(_document("", [error.message, *([error.hint] if error.hint else [])]))


def _eml(asked: PageRequest) -> Download:
    key = named(asked.view, asked.path["key"])
    file = asked.view.open(key)
    name = message_stem(FileBuffer(file), key.sha256[:_ID])
    file.seek(0)
    return Download(safe_name(f"{name}.eml"), file)


def _attachment(asked: PageRequest) -> Download:
    key, number = named(asked.view, asked.path["key"]), asked.path["number"]
    found = None
    if number.isascii() and number.isdecimal() and len(number) < 5:
        with asked.view.open(key) as file:
            original = original_of(FileBuffer(file), certified=_is_certified(asked.view, key))
            found = None if original is None else attached(original, int(number))
    if found is None:
        raise NoSuchPage(_("the message has no such file"))
    return Download(safe_name(found.name or "attachment.bin"), found.content)


PAGES: Final = (
    Page("/messages/{key}", _answer, "message.html", tab="/messages"),
    Page("/messages/{key}/formatted", _frame, tab="/messages"),
    Page("/messages/{key}/message.eml", _eml, tab="/messages"),
    Page("/messages/{key}/files/{number}", _attachment, tab="/messages"),
)
