"""Forgets pipelines, mailboxes and archives that are no more. Only the ledger forgets: no mailbox and no archive is touched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

from archipec.config.pipeline import AD_HOC, Pipeline
from archipec.custody.attempts import is_running, places_of
from archipec.custody.ledger import Ledger
from archipec.custody.ledger.forgetting import ForgetScope
from archipec.custody.locks import hold_endpoint
from archipec.errors import ConfigError, Refused, TransientError, counted
from archipec.language import _
from archipec.message import ContentKey, Json
from archipec.options import nearest

__all__ = ["Forgetting", "KnownArchive", "forget", "plan_to_forget"]

_OUTBOX: Final = "conservation+"
"""How the addresses of conservation providers begin, whose copies are in an outbox on this machine."""


class KnownArchive(NamedTuple):
    """An archive: its number in the ledger, and how many messages it has by that."""

    number: int
    where: str
    messages: int


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What is to be forgotten.

    Attributes:
        pipelines: (name, source's ``where``), empty where archives alone are forgotten.
        tries: how often they were run.
        sources: mailboxes that nothing else reads; messages: how many they had when they were last listed.
        archives: those that nothing else stores into.
        unsearched: messages that no other archive is known to have: they leave the index.
    """

    pipelines: tuple[tuple[str, str], ...]
    tries: int
    sources: tuple[str, ...]
    messages: int
    archives: tuple[KnownArchive, ...]
    unsearched: int
    scope: ForgetScope

    def as_json(self) -> dict[str, Json]:
        """Return the JSON object of ``forget --json``."""
        return {
            "pipelines": [{"pipeline": name, "source": source} for name, source in self.pipelines],
            "tries": self.tries,
            "sources": list(self.sources),
            "messages": self.messages,
            "archives": [{"where": one.where, "messages": one.messages} for one in self.archives],
            "unsearched": self.unsearched,
        }


def plan_to_forget(
    ledger: Ledger,
    state: Path,
    names: Sequence[str],
    configured: Sequence[Pipeline],
    *,
    keep_archives: bool = False,
) -> Forgetting:
    """Return what names of pipelines, and addresses of mailboxes or archives, mean; nothing is forgotten yet.

    Args:
        state: the folder of the ledger.
        names: a pipeline's name means what is recorded of it and is not configured now; an address is a ``where``.
        configured: the pipelines that there are.
        keep_archives: forget no archive with a pipeline or mailbox.

    Raises:
        ConfigError: nothing is called so, or it is in the configuration.
        Refused: the only record of an outbox, of a deposit or of a deletion would be lost.
        TransientError: one of them is running.
    """
    current = {(one.name, one.source.where) for one in configured}
    known = [key for key in ledger.forgets.tried() if key not in current]
    places = ledger.forgets.sink_places()
    runs: dict[tuple[str, str], None] = {}
    sinks: dict[str, None] = {}
    for name in names:
        chosen = [key for key in known if name in (key[0], key[1], unquote(key[1]))]
        archive = next((place for place in places if name in (place, unquote(place))), None)
        if not chosen and archive is None:
            raise _unknown(name, [key[0] for key in known], configured)
        runs |= dict.fromkeys(chosen)
        if archive is not None:
            sinks[archive] = None
    sources = _sources(runs, known, current)
    numbers = [number for one in sources if (number := ledger.forgets.source_number(one)) is not None]
    _refuse_running(ledger, state, runs)
    for archive in sinks:
        if any(archive == one.where for pipeline in configured for one in pipeline.sinks):
            raise _configured(archive)
    stored = _places(ledger)
    others = {where for key in known if key not in runs for where in stored[key]}
    others |= {place.where for pipeline in configured for place in places_of(pipeline.sinks)}
    tried = {where for key in runs for where in stored[key]}
    own = [] if keep_archives else _only_theirs(ledger, tried, numbers, others)
    archives = tuple(_archive(ledger, places[where], where) for where in dict.fromkeys([*sinks, *own]))
    for one in archives:
        _refuse_outbox(ledger, one)
    _refuse_open_deletions(ledger, numbers)
    remaining = {key[0] for key in (*known, *current) if key not in runs}
    scope = ForgetScope(
        list(runs),
        sorted({name for name, _source in runs} - remaining - {AD_HOC}),
        numbers,
        [one.number for one in archives],
    )
    return Forgetting(
        pipelines=tuple(runs),
        tries=ledger.forgets.tries(scope.runs),
        sources=tuple(sources),
        messages=sum(ledger.sources.counts(number)[0] for number in numbers),
        archives=archives,
        unsearched=sum(map(len, ledger.forgets.only_in(scope.sinks))) if archives else 0,
        scope=scope,
    )


def forget(
    plan: Forgetting,
    ledger: Ledger,
    state: Path,
    again: Callable[[], Forgetting],
    unindex: Callable[[Sequence[int], Iterable[Iterable[ContentKey]]], None],
) -> None:
    """Forget it. Mailboxes and archives stay locked meanwhile, and are not touched.

    Args:
        again: makes the same plan once more, when nothing can come between any more.
        unindex: takes messages, some thousands at a time, out of an index that was filled from archives of these numbers;
            called before the ledger forgets them.

    Raises:
        Refused: as `plan_to_forget`.
        TransientError: another run uses one of them, or changed what is known of them.
    """
    with ExitStack() as held:
        for where in dict.fromkeys([*plan.sources, *(one.where for one in plan.archives)]):
            held.enter_context(hold_endpoint(state, where))
        # A run may have ended since the plan was made: with a deposit, a deletion, another mailbox in the archive.
        if again() != plan:
            raise TransientError(
                _("what is known of it has changed meanwhile: nothing was forgotten"),
                hint=_("look at it again, without --yes"),
            )
        if plan.archives:
            unindex(plan.scope.sinks, ledger.forgets.only_in(plan.scope.sinks))
        ledger.forgets.forget(plan.scope)


def _sources(
    runs: Iterable[tuple[str, str]], known: Iterable[tuple[str, str]], current: Iterable[tuple[str, str]]
) -> list[str]:
    """Return the mailboxes that nothing else reads."""
    given = list(runs)
    remaining = {source for key in (*known, *current) if key not in given for source in key[1:]}
    return list(dict.fromkeys(source for _name, source in given if source and source not in remaining))


def _places(ledger: Ledger) -> defaultdict[tuple[str, str], set[str]]:
    """Return where each pipeline stored when it was last run."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for one in ledger.runs.last_attempts():
        found[one.pipeline, one.source].update(place.where for place in one.sinks)
    return found


def _only_theirs(ledger: Ledger, tried: Iterable[str], sources: Sequence[int], others: set[str]) -> list[str]:
    """Return the archives that only these mailboxes were stored into, or tried to be, and no other."""
    places = {where: number for source in sources for number, where in ledger.copies.sinks_of(source)}
    numbers = ledger.forgets.sink_places()
    places |= {where: numbers[where] for where in sorted(tried) if where in numbers}
    return [
        where
        for where, number in places.items()
        if where not in others and not ledger.forgets.other_sources(number, sources)
    ]


def _archive(ledger: Ledger, number: int, where: str) -> KnownArchive:
    return KnownArchive(
        number, where, sum(messages for messages, _size in ledger.copies.holdings(number).values())
    )


# -- what is refused -------------------------------------------------------------------------------------


def _unknown(name: str, names: Sequence[str], configured: Sequence[Pipeline]) -> ConfigError:
    wanted = name in {one.name for one in configured}
    if wanted or any(name in (one.source.where, unquote(one.source.where)) for one in configured):
        return _configured(name)
    return ConfigError(
        _('nothing is known that is called "{name}"{nearest}').format(
            name=name, nearest=nearest(name, names)
        ),
        hint=_("`archipec status` lists pipelines, and the addresses of their mailboxes and archives"),
    )


def _configured(name: str) -> ConfigError:
    return ConfigError(
        _('"{name}" is in the configuration').format(name=name),
        hint=_("take it out of archipec.toml first; nothing was forgotten"),
    )


def _refuse_running(ledger: Ledger, state: Path, runs: Iterable[tuple[str, str]]) -> None:
    chosen = set(runs)
    for one in ledger.runs.last_attempts():
        if (one.pipeline, one.source) in chosen and is_running(one, state):
            raise TransientError(
                _("{pipeline} is running").format(pipeline=one.pipeline),
                hint=_("run again when it has ended"),
            )


def _refuse_open_deletions(ledger: Ledger, sources: Iterable[int]) -> None:
    if waiting := sum(map(ledger.forgets.open_deletions, sources)):
        raise Refused(
            _("{deletions} not over: what became of the messages is known here alone").format(
                deletions=counted(waiting, "deletion")
            ),
            hint=_("run `archipec prune` once more: it finds out"),
        )


def _refuse_outbox(ledger: Ledger, archive: KnownArchive) -> None:
    holdings = ledger.copies.holdings(archive.number)
    waiting = sum(holdings[state][0] for state in ("pending", "rejected") if state in holdings)
    keep = _("forget the rest with --keep-archives")
    if waiting:
        raise Refused(
            _("{archive}: {deposits} not confirmed, and nothing else says so").format(
                archive=archive.where, deposits=counted(waiting, "deposit")
            ),
            hint=_("`archipec settle --to {archive}` asks for the reports; {keep}").format(
                archive=archive.where, keep=keep
            ),
        )
    if archive.where.startswith(_OUTBOX) and archive.messages:
        raise Refused(
            _("{archive}: this is the only record of its outbox and of what the provider conserves").format(
                archive=archive.where
            ),
            hint=keep,
        )
