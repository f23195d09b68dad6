"""Finds out whether an archive on a server is the very mailbox that is archived, under another name.

Names of hosts prove nothing either way. What the servers say of their folders does: messages are numbered for ever by
UIDVALIDITY and UID (RFC 9051 §2.3.1.1). A copy of a whole mailbox may have kept those numbers, and young mailboxes may
share them by chance; so where they agree, a folder is made in the archive, and looked for in the mailbox. Its name is
recorded before it is made: what a run that was killed left of it, the next one takes away.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

from archipec.config.endpoint import Endpoint
from archipec.contract import (
    Fingerprint,
    Sink,
    SinkType,
    SourceType,
    SupportsFingerprint,
    SupportsProbe,
    SupportsProbeCheck,
)
from archipec.custody.ledger import Ledger
from archipec.custody.run import Run
from archipec.errors import ArchipecError, PermanentError
from archipec.language import _

__all__ = ["same_store"]

_SPECIFIC: Final = 100_000
"""UIDVALIDITY from which on it is no number that many folders have: servers take the time of a folder's making."""


def same_store(
    source: Endpoint[SourceType[Any]],
    sinks: Sequence[Endpoint[SinkType[Any]]],
    run: Run[Any],
    on_sink_error: Callable[[Endpoint[SinkType[Any]], ArchipecError], None] | None = None,
) -> str:
    """Return why a sink is the mailbox of the source itself, empty when none is, as far as that can be known.

    Args:
        on_sink_error: called with what a sink raises: nothing is known of that sink then; without it, the error is raised.

    Raises:
        ArchipecError: source or sink can't be asked now.
    """
    for sink in sinks:
        if sink.where == source.where:
            return _("source and sink are the same, {where}").format(where=sink.where)
        if sink.record.root(sink.config) is not None:
            continue  # files of our own: the first deletion will show
        with ExitStack() as held:
            try:
                opened = _ask(sink, run, held)
            except ArchipecError as error:
                if on_sink_error is None:
                    raise
                on_sink_error(sink, error)
                continue
            probes = _Probes(run.ledger, run.ledger.copies.sink_number(sink.where))
            if opened is not None and _is_mailbox(source, run, *opened, probes):
                return _("{archive} is the mailbox {mailbox} itself, under another name").format(
                    archive=sink.where, mailbox=source.where
                )
    return ""


class _Probes:
    """Folders made in a sink for a short time, under the same name until it is known to be gone."""

    def __init__(self, ledger: Ledger, sink: int) -> None:
        self._ledger = ledger
        self._sink = sink

    @contextmanager
    def make(self, sink: SupportsProbe) -> Iterator[str]:
        name = self._ledger.deletions.probe(self._sink) or f"archipec-{secrets.token_hex(8)}"
        self._ledger.deletions.set_probe(self._sink, name)
        try:
            with sink.probe(name):
                yield name
        except PermanentError:
            self._ledger.deletions.set_probe(self._sink, "")
            raise
        self._ledger.deletions.set_probe(self._sink, "")

    def clear(self, sink: Sink) -> None:
        """Take away what a run that was killed left."""
        if self._ledger.deletions.probe(self._sink) and isinstance(sink, SupportsProbe):
            with suppress(PermanentError), self.make(sink):
                pass


def _ask(sink: Endpoint[SinkType[Any]], run: Run[Any], held: ExitStack) -> tuple[Sink, Fingerprint] | None:
    opened = held.enter_context(run.open(sink))
    return (opened, opened.fingerprint()) if isinstance(opened, SupportsFingerprint) else None


def _is_mailbox(
    source: Endpoint[SourceType[Any]], run: Run[Any], sink: Sink, archive: Fingerprint, probes: _Probes
) -> bool:
    probes.clear(sink)
    with run.open(source) as opened:
        return isinstance(opened, SupportsFingerprint) and _is_same(
            opened, opened.fingerprint(), sink, archive, probes
        )


def _is_same(source: object, mailbox: Fingerprint, sink: Sink, archive: Fingerprint, probes: _Probes) -> bool:
    if mailbox.unique_ids:
        return _numbered_alike(mailbox, archive)
    numbers = {one.uidvalidity for one in archive.folders.values()}
    if not any(one.uidvalidity in numbers for one in mailbox.folders.values()):
        return False
    if isinstance(source, SupportsProbeCheck) and isinstance(sink, SupportsProbe):
        try:
            with probes.make(sink) as name:
                return source.shows(name)
        except PermanentError:
            pass  # no folder can be made there: the numbers alone must do
    return _agree(mailbox, archive)


def _agree(mailbox: Fingerprint, archive: Fingerprint) -> bool:
    """Return whether every folder with messages has a folder of the same name and numbers on the other side."""
    filled = {name: one for name, one in mailbox.folders.items() if one.messages}
    return bool(filled) and all(archive.folders.get(name) == one for name, one in filled.items())


def _numbered_alike(mailbox: Fingerprint, archive: Fingerprint) -> bool:
    """Return whether POP3's unique ids are made of an inbox's UIDVALIDITY and UIDs, as most servers make them."""
    for name, one in archive.folders.items():
        if name.upper() != "INBOX" or one.uidvalidity < _SPECIFIC or not one.messages:
            continue
        number = re.compile(rf"(?<![0-9]){one.uidvalidity}(?![0-9])|{one.uidvalidity:08x}", re.IGNORECASE)
        if all(number.search(unique_id) for unique_id in mailbox.unique_ids):
            return True
    return False
