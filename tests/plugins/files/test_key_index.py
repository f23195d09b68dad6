"""`archipec_plugins.files.key_index`: keys to places, in little memory."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from archipec_plugins.files.key_index import KeyIndex, NumberedStrings

# All in one bucket, and full of the same bytes, so that digests occur where no record begins.
SIMILAR = st.lists(st.sampled_from([0, 1]), min_size=8, max_size=8).map(lambda bits: bytes(24) + bytes(bits))


@given(st.lists(st.tuples(SIMILAR, st.binary(min_size=3, max_size=3) | st.just(b"\0\0\0"))), SIMILAR)
def test_gives_every_value_in_order(records: list[tuple[bytes, bytes]], other: bytes) -> None:
    index, expected = KeyIndex(3), defaultdict[bytes, list[bytes]](list)
    for digest, value in records:
        index.add(digest, value)
        expected[digest].append(value)
    for digest in [*expected, other]:
        assert index.values(digest) == expected.get(digest, [])


def test_takes_little_memory() -> None:
    digests = [hashlib.sha256(b"%d" % number).digest() for number in range(100_000)]
    tracemalloc.start()
    index = KeyIndex(20)
    for digest in digests:
        index.add(digest, digest[:20])
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 100 * len(digests)
    assert all(index.values(digest) == [digest[:20]] for digest in digests[::1000])


def test_table_keeps_each_string_once() -> None:
    table = NumberedStrings()
    numbers = [table.number(word) for word in ("cur", "new", "cur", "")]
    assert numbers == [0, 1, 0, 2]
    assert [table[number] for number in numbers] == ["cur", "new", "cur", ""]
