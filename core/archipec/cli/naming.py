"""Which pipelines, stored messages and transactions a command line names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archipec.custody.ledger.holdings import SHORTEST_ID
from archipec.custody.ledger.schema import PROMISED
from archipec.errors import USAGE, ArchipecError, ConfigError, counted
from archipec.language import _, written
from archipec.message import ContentKey
from archipec.options import nearest
from archipec.terminal import printable, say_error

if TYPE_CHECKING:  # `status` asks for names of pipelines alone, and loads nothing of messages
    from archipec.cli.archives import OpenArchives
    from archipec.pec.transactions import Transaction

__all__ = ["all_named", "check_names", "named_messages", "only_transaction", "short_id"]

_CANDIDATES = 20


class UnknownId(ConfigError):
    """An id names nothing, or what it says fits several."""

    exit_code = USAGE


def check_names(names: Sequence[str], known: Sequence[str], mistake: ArchipecError | None = None) -> None:
    """Refuse names of pipelines that there are not.

    Args:
        mistake: why the configuration can't be read; said before.

    Raises:
        ConfigError: naming those that there are.
    """
    unknown = [
        _('unknown pipeline "{name}"{nearest}').format(name=name, nearest=nearest(name, known))
        for name in names
        if name not in known
    ]
    if unknown:
        if mistake is not None:
            say_error(mistake)
        there = ", ".join(dict.fromkeys(known))
        raise ConfigError(
            unknown,
            hint=_("known: {there}").format(there=there)
            if there
            else _("nothing is configured or was ever archived"),
        )


def named_messages(opened: OpenArchives, name: str) -> list[ContentKey]:
    """Return the messages that an id names: one, or all that share a Message-ID or an `identificativo`.

    Raises:
        UnknownId: none; or it is the beginning of several hashes.
    """
    # What of an argument is no text names nothing.
    plain = name.encode("utf-8", "replace").decode("utf-8").strip().strip("<>").strip()
    found = opened.ledger.holdings.named(plain)
    if opened.only:
        found = _in_these(opened, found)
    if not found:
        raise UnknownId(
            _('no archived message is called "{name}"').format(name=printable(name)),
            hint=_(
                "an id is the beginning of a SHA-256, a Message-ID or an identificativo: see `archipec "
                "search`"
            ),
        )
    if len(found) > 1 and all(key.sha256.startswith(plain.lower()) for key in found):
        lines = [short_id(opened, key) for key in found[:_CANDIDATES]]
        raise UnknownId(
            [
                _('{found} archived messages begin with "{plain}"').format(found=len(found), plain=plain),
                *lines,
            ],
            hint=_("give more digits"),
        )
    return found


def _in_these(opened: OpenArchives, keys: Sequence[ContentKey]) -> list[ContentKey]:
    """Return the messages that one of the archives holds, or should hold."""
    copies = opened.ledger.copies.copies_of(keys)
    return [key for key in keys if any(copies[key][1].get(number) in PROMISED for number in opened.sinks)]


def short_id(opened: OpenArchives, key: ContentKey) -> str:
    """Return the shortest beginning of a SHA-256, of `SHORTEST_ID` digits at least, that names the message alone."""
    length = SHORTEST_ID
    while length < len(key.sha256) and len(opened.ledger.holdings.named(key.sha256[:length])) > 1:
        length += 1
    return key.sha256[:length]


def all_named(opened: OpenArchives, names: Sequence[str]) -> list[ContentKey]:
    """Return the messages that several ids name, each once, in that order.

    Raises:
        UnknownId: as of `named_messages`.
    """
    return list(dict.fromkeys(key for name in names for key in named_messages(opened, name)))


def only_transaction(name: str, found: Sequence[Transaction], direction: str) -> Transaction:
    """Return the only transaction that was found for a name.

    Raises:
        UnknownId: none was, or several.
    """
    if len(found) == 1:
        return found[0]
    if not found:
        nothing = {
            "out": _('nothing that was sent is called "{name}"'),
            "in": _('nothing that was received is called "{name}"'),
        }.get(direction, _('nothing is called "{name}"'))
        raise UnknownId(
            nothing.format(name=printable(name)),
            hint=_("give its Message-ID, its PEC identifier, or words of its subject and addresses"),
        )
    from archipec.cli.transactions import headline

    lines = [f"{headline(one)}  {one.name}" for one in found[:_CANDIDATES]]
    if len(found) > _CANDIDATES:
        lines.append(_("and {more} more").format(more=written(len(found) - _CANDIDATES)))
    sent = found[0].direction == "out"
    number = counted(len(found), "sent message") if sent else counted(len(found), "received message")
    raise UnknownId(
        [_('{messages} fit "{name}"').format(messages=number, name=printable(name)), *lines],
        hint=_("give the PEC identifier of the one that you mean"),
    )
