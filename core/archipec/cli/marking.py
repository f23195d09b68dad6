"""Marks transactions as dealt with, and takes such marks back: ``archipec receipts --handled`` and ``--reopen``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import click

from archipec.cli.archives import OpenArchives
from archipec.cli.naming import only_transaction
from archipec.cli.transactions import as_json as transaction_json
from archipec.cli.transactions import headline
from archipec.custody.receipts.query import check_short_receipts, find
from archipec.custody.run import now
from archipec.errors import DONE, ConfigError
from archipec.language import _
from archipec.pec.transactions import HandledMark, Transaction
from archipec.terminal import json_line, printable

__all__ = ["Marking", "mark_transactions"]


class Marking(NamedTuple):
    """Which transactions were dealt with, which were not after all, and what was done."""

    handled: tuple[str, ...]
    reopened: tuple[str, ...]
    note: str

    @classmethod
    def of(cls, handled: Iterable[str], reopen: Iterable[str], note: str) -> Marking | None:
        """Return what the options say, None without any; the id ``-`` stands for those on standard input, one a line.

        Raises:
            click.UsageError: nothing says what was done.
        """
        marking = cls(tuple(_ids(handled)), tuple(_ids(reopen)), note.strip())
        if marking.handled and not marking.note:
            raise click.UsageError(_("--handled needs --note TEXT: say what was done about it"))
        return marking if marking.handled or marking.reopened else None


def mark_transactions(opened: OpenArchives, marking: Marking, direction: str, *, as_json: bool) -> int:
    """Mark transactions, and say each that was.

    Every id is looked up before the first is marked: one that names nothing changes nothing.

    Raises:
        UnknownId: an id names nothing, or several.
        ConfigError: there is no ledger that keeps marks.
    """
    if not opened.known:
        raise ConfigError(
            _("what was dealt with is recorded in the ledger, and this archive is read without one"),
            hint=_("mark it where it was archived, with the --state that was used there"),
        )
    handled = [_one(opened, name, direction) for name in marking.handled]
    reopened = [_one(opened, name, direction) for name in marking.reopened]
    at = now()
    for one in handled:
        if not one.concerns:
            click.echo(_("nothing is wrong with it: {headline}").format(headline=headline(one)), err=True)
            continue
        opened.ledger.handled.mark(one.direction, one.name, one.concerns, marking.note, at)
        mark = HandledMark(datetime.fromtimestamp(at, UTC), marking.note, one.concerns)
        _say(one, mark, _("handled: {note}").format(note=printable(marking.note)), as_json=as_json)
    for one in reopened:
        if opened.ledger.handled.take_back(one.direction, one.name):
            _say(one, None, _("needs a person again"), as_json=as_json)
        else:
            click.echo(_("it was not marked as handled: {headline}").format(headline=headline(one)), err=True)
    return DONE


def _one(opened: OpenArchives, name: str, direction: str) -> Transaction:
    found = find(opened.ledger, opened.sinks, name, datetime.now(UTC), direction)
    return check_short_receipts(only_transaction(name, found, direction), opened.ledger, opened.reader)


def _say(one: Transaction, mark: HandledMark | None, words: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json_line(transaction_json(replace(one, handled=mark))))
    else:
        click.echo(f"{headline(one)}\n  {words}")


def _ids(given: Iterable[str]) -> Iterator[str]:
    for one in given:
        if one == "-":
            yield from filter(None, map(str.strip, sys.stdin))
        else:
            yield one
