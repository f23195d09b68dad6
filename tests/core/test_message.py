"""A message has one key, however it comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.errors import TransientError
from archipec.message import ContentKey


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_the_key_is_the_same_in_pieces(chunks: list[bytes]) -> None:
    key = ContentKey.of(b"".join(chunks))
    assert ContentKey.of_chunks(chunks) == ContentKey.of_chunks(map(memoryview, chunks)) == key


def test_half_a_message_has_no_key() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise TransientError("cut off")

    with pytest.raises(TransientError, match="cut off"):
        ContentKey.of_chunks(chunks())
