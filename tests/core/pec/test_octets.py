"""`archipec.pec.buffer`: a message judged from its file is judged as from memory, whatever it is."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.pec import buffer as octets
from archipec.pec.anchors import Anchors
from archipec.pec.buffer import FileBuffer, iter_blocks
from archipec.pec.inspection import inspect_message, record
from archipec.simulator import compose, mailbox, shared_authority
from archipec.simulator.rem import RemProvider


@pytest.fixture(params=[7, 4096])
def _window(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Windows so small that everything lies across their edges."""
    monkeypatch.setattr(octets, "_WINDOW", request.param)
    yield


@given(
    st.binary(max_size=60),
    st.binary(min_size=1, max_size=9),
    st.integers(0, 70),
    st.none() | st.integers(0, 70),
)
def test_it_finds_and_slices_as_bytes_do(raw: bytes, sought: bytes, start: int, end: int | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(octets, "_WINDOW", 8)
        file = FileBuffer(io.BytesIO(raw))
        for one in (sought, raw[5:12] or sought):
            assert file.find(one, start, end) == raw.find(one, start, end)
            assert file.startswith(one, start, end) == raw.startswith(one, start, end)
        assert file.startswith((b"\r\n", b"\n")) == raw.startswith((b"\r\n", b"\n"))
        assert file[start:end] == raw[start:end]
        last = len(raw) if end is None else min(end, len(raw))
        assert b"".join(iter_blocks(file, min(start, last), last)) == raw[min(start, last) : last]
    assert len(file) == len(raw)


@pytest.mark.usefixtures("_window")
def test_the_verdict_is_the_same() -> None:
    anchors = Anchors((shared_authority().root,))
    for sample in mailbox(60, seed=53, size=7000):
        bare = sample.raw.replace(b"\r\n", b"\n")
        altered = sample.raw[:-400] + sample.raw[-400:].replace(b"a", b"b", 1)
        for raw in (sample.raw, bare, altered, sample.raw[: len(sample.raw) // 2]):
            known = inspect_message(raw, anchors)
            told = inspect_message(FileBuffer(io.BytesIO(raw)), anchors)
            assert told == known
            assert record(FileBuffer(io.BytesIO(raw)), told) == record(raw, known)


@pytest.mark.usefixtures("_window")
def test_the_verdict_on_rem_is_the_same() -> None:
    provider = RemProvider()
    anchors = Anchors((shared_authority().root,))
    for raw in (provider.dispatch(compose()), provider.receipt(compose(), "RelayFailure")):
        for changed in (raw, raw.replace(b"\r\n", b"\n"), raw.replace(b"Gestore", b"gestore"), raw[:-3000]):
            known = inspect_message(changed, anchors)
            told = inspect_message(FileBuffer(io.BytesIO(changed)), anchors)
            assert told == known
            assert record(FileBuffer(io.BytesIO(changed)), told) == record(changed, known)


@pytest.mark.parametrize(
    ("name", "what"), [(b"smime.p7s", "the seal has"), (b"daticert.xml", "daticert.xml has")]
)
def test_what_no_seal_and_no_certification_data_needs_is_not_read(name: bytes, what: str) -> None:
    sample = next(
        one for one in mailbox(40, seed=53, size=7000) if name in one.raw and one.kind != "ordinaria"
    )
    at = sample.raw.index(b"\r\n\r\n", sample.raw.index(name)) + 4
    stuffed = sample.raw[:at] + b"A" * (13 << 20) + b"\r\n" + sample.raw[at:]
    seal = inspect_message(stuffed).seal
    assert what in seal.reason
    assert seal.status in ("malformed", "altered")
