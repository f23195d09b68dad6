"""Conformance of sinks."""

from __future__ import annotations

from archipec.testing.sink_batches import SinkBatches
from archipec.testing.sink_copies import SinkCopies
from archipec.testing.sink_hostile import SinkHostile

__all__ = ["SinkConformance"]


class SinkConformance(SinkBatches, SinkCopies, SinkHostile):
    """Cases for a sink.

    Fixtures to give, besides those of `PluginConformance`:
        sink_type: the record.
        table: leads to an empty archive, a new one for each case.

    A case whose message the sink rejects, with a reason, is one that does not apply: ``expected_skips`` says why.

    Fixtures to give where they make sense, else name their cases in ``expected_skips``:
        damage: called with a receipt while the sink is closed; changes a byte of that copy.
        remove: called with a receipt while the sink is closed; takes that copy away.

    Attributes:
        many: messages in the largest batch; lower it for a slow remote store.
        big: bytes of the largest message.
        bookkeeping: patterns (as in `fnmatch`, below the root) of files that the sink writes anew, its index
            for one; everything else in an archive only ever grows.
    """
