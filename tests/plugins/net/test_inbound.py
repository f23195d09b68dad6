"""What came and is not used up: the same bytes, however they come and whatever is taken at a time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from archipec_plugins.net.inbound import Inbound

SIZES = st.lists(st.integers(1, 300_000), min_size=1, max_size=12)


@given(SIZES, SIZES)
def test_bytes_come_out_as_they_went_in(arrivals: list[int], wanted: list[int]) -> None:
    sent = b"".join(b"%08d" % number for number in range(sum(arrivals) // 8))
    arrived, sizes = 0, iter(arrivals)

    def read_into(buffer: memoryview) -> int:
        nonlocal arrived
        size = min(next(sizes, 300_000), len(buffer), len(sent) - arrived)
        buffer[:size] = sent[arrived : arrived + size]
        arrived += size
        return size

    inbound = Inbound(read_into)
    got = b""
    for size in wanted:
        for at_once in (size // 2, size - size // 2):  # at most what fits beside what comes next
            while inbound.end - inbound.at < at_once and inbound.more():
                assert bytes(inbound.data[inbound.at : inbound.end]) == sent[len(got) : arrived]
            got += inbound.take(min(at_once, inbound.end - inbound.at))
    assert got == sent[: len(got)]
    assert len(got) == min(sum(wanted), len(sent))


def test_what_came_before_tls_is_never_seen() -> None:
    def before(buffer: memoryview) -> int:
        buffer[:8] = b"* BYE x\n"
        return 8

    def after(buffer: memoryview) -> int:
        buffer[:5] = b"* OK\n"
        return 5

    inbound = Inbound(before)
    inbound.more()
    inbound.take(2)
    inbound.begin_anew(after)
    assert inbound.end == inbound.at
    inbound.more()
    assert inbound.take(5) == b"* OK\n"
