"""Messages are found in mboxes of every dialect, whatever stands in them and however the file is read."""

from __future__ import annotations

import mailbox
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.contract import Source
from archipec.testing.factories import make_context
from archipec_plugins.mbox import MboxSourceConfig
from archipec_plugins.mbox.dialect import Dialect, restored
from archipec_plugins.mbox.mboxrd import quote
from archipec_plugins.mbox.scanner import Scanner, Span, digest_of
from archipec_plugins.mbox.source import open_source

LINE = b"From mario@pec.example.it Sat Nov 21 20:00:00 2026\n"
ONE = b"Subject: one\r\n\r\nFrom here on\r\n>From there\r\n>>From x\r\n\r\nend\r\n"
TWO = b"Subject: two\n\nbare LF\n"


class Bytes:
    """Bytes as a stream, given in pieces of any size."""

    def __init__(self, raw: bytes, step: int = 1 << 20, part_starts: tuple[int, ...] = ()) -> None:
        self.raw = raw
        self.size = len(raw)
        self.step = step
        self.part_starts = part_starts

    def read(self, offset: int, limit: int) -> bytes:
        return self.raw[offset : offset + min(limit, self.step)]

    def check(self, offset: int, length: int) -> None:
        """Any bytes are good."""


def spans(raw: bytes, step: int = 1 << 20, dialect: Dialect | None = None) -> list[Span]:
    return list(Scanner(Bytes(raw, step), dialect, lambda _: 0, lambda *_: None).spans())


def messages(raw: bytes, step: int = 1 << 20, dialect: Dialect | None = None) -> list[bytes]:
    found = []
    for span in spans(raw, step, dialect):
        stored = raw[span.offset : span.offset + span.length]
        assert digest_of(stored).hexdigest() == span.digest
        message = b"".join(restored([stored], span.dialect))
        assert not span.exact or len(message) == len(stored)
        found.append(message)
    return found


def mboxo(*raws: bytes, line: bytes = LINE) -> bytes:
    return b"".join(line + re.sub(rb"(?m)^From ", b">From ", raw) + b"\n" for raw in raws)


def mboxrd(*raws: bytes, line: bytes = LINE) -> bytes:
    return b"".join(line + b"".join(quote([raw])) + b"\n" for raw in raws)


def mboxcl2(*raws: bytes) -> bytes:
    found = b""
    for raw in raws:
        head, _, body = raw.partition(b"\n\n")
        found += LINE + head + b"\nContent-Length: %d\n\n" % len(body) + body + b"\n"
    return found


def test_mboxo_gives_back_from_lines() -> None:
    # ">From" is taken for a quoted "From": the price of a dialect that can't be undone.
    assert messages(mboxo(ONE, TWO)) == [ONE.replace(b"\n>From", b"\nFrom"), TWO]


@pytest.mark.parametrize(
    "line", [b"From archipec@localhost Sat Nov 21 20:00:00 2026\n", b"From - Sat Nov 21 20:00:00 2026\r\n"]
)
def test_mboxrd_is_known_by_who_writes_it(line: bytes) -> None:
    assert messages(mboxrd(ONE, TWO, b"", b"\r\n\r\n", line=line)) == [ONE, TWO, b"", b"\r\n\r\n"]


def test_mboxrd_when_it_is_said() -> None:
    assert messages(mboxrd(ONE, TWO), dialect=Dialect.RD) == [ONE, TWO]


def test_mboxcl2_with_whole_messages_inside() -> None:
    inner = b"Subject: a\n\nforwarded:\n\n" + LINE + b"Subject: inner\n\n>From x\nFrom y\n"
    without_end = b"Subject: b\n\nno final newline"
    raw = mboxcl2(TWO, inner, without_end, b"Subject: c\n\n", b"Subject: d\n\nblank end\n\n\n\n")
    found = messages(raw)
    assert [re.sub(rb"Content-Length: [0-9]+\n", b"", each) for each in found] == [
        TWO,
        inner,
        without_end,
        b"Subject: c\n\n",
        b"Subject: d\n\nblank end\n\n\n\n",
    ]
    assert all(span.dialect is Dialect.CL for span in spans(raw))


def test_a_content_length_that_lies_swallows_nothing() -> None:
    victims = [b"Subject: %d\n\nvictim\n" % number for number in range(5)]
    rest = mboxo(*victims[1:])
    liar = b"Subject: liar\nContent-Length: %d\n\nx\n" % (2 + 1 + len(rest) - 1)
    # First in its file, or behind an honest one.
    assert messages(mboxo(liar) + rest) == [liar, *victims[1:]]
    assert messages(mboxo(victims[0], liar) + rest) == [victims[0], liar, *victims[1:]]


def test_a_wrong_length_among_right_ones() -> None:
    wrong = LINE + b"Subject: w\nContent-Length: 5\n\nlonger than that\n\n"
    found = messages(mboxcl2(TWO) + wrong + mboxcl2(TWO))
    assert len(found) == 3
    assert found[1] == b"Subject: w\nContent-Length: 5\n\nlonger than that\n"


def test_what_a_mail_server_keeps_in_its_mbox() -> None:
    own = b"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 6\n\ntext\n"
    found = messages(LINE + b"From: x\n" + own + b"\n" + mboxcl2(b"Subject: x\n\n>From here\n"))
    assert found == [b"Subject: x\nContent-Length: 11\n\n>From here\n"]


def test_a_torn_end() -> None:
    assert messages(mboxo(TWO) + LINE + b"Subject: torn\n\nhalf a li") == [TWO, b"Subject: torn\n\nhalf a li"]
    assert messages(mboxo(TWO) + LINE) == [TWO, b""]
    assert messages(mboxo(TWO) + LINE[:9]) == [TWO + b"\n" + LINE[:9]]


def test_crlf_throughout() -> None:
    raw = mboxo(ONE, ONE, line=LINE).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert messages(raw) == [ONE.replace(b"\n>From", b"\nFrom")] * 2


def test_text_that_begins_with_from() -> None:
    text = b"Subject: x\n\nbefore\n\nFrom the beginning at 10:30 on 21 Nov 2026 it rained\nand so on: yes\n\nFrom now on\n"
    assert messages(LINE + text + b"\n" + LINE + TWO + b"\n") == [text, TWO]


def test_separators_without_date() -> None:
    raw = b"From mario\nSubject: x\n\nFrom here\nto there\n\nFrom luigi\nSubject: y\n\nz\n\n"
    assert messages(raw) == [b"Subject: x\n\nFrom here\nto there\n", b"Subject: y\n\nz\n"]


def test_what_belongs_to_no_message_is_told() -> None:
    told: list[tuple[int, str]] = []
    scanner = Scanner(Bytes(b"garbage\n\n" + mboxo(TWO)), None, lambda _: 0, lambda *each: told.append(each))
    assert len(list(scanner.spans())) == 1
    assert [offset for offset, _ in told] == [0]


BODY_LINES = st.sampled_from(
    [
        b"",
        b"From x",
        b">From x",
        b">>From x",
        b">",
        b"From ",
        LINE.strip(),
        b"Subject: s",
        b"text",
        b"F",
        b"Fr\r",
        b"\r",
    ]
)
BODIES = st.lists(st.tuples(BODY_LINES, st.sampled_from([b"\n", b"\r\n"])), max_size=12).map(
    lambda lines: b"Subject: x\n\n" + b"".join(line + end for line, end in lines)
)


@settings(max_examples=300, deadline=None)
@given(raws=st.lists(BODIES, min_size=1, max_size=5), step=st.integers(1, 40))
def test_mboxrd_gives_back_what_was_put_in(raws: list[bytes], step: int) -> None:
    raw = mboxrd(*raws, line=b"From - Sat Nov 21 20:00:00 2026\n")
    assert messages(raw, step) == raws


@settings(max_examples=300, deadline=None)
@given(raws=st.lists(BODIES, min_size=1, max_size=5), step=st.integers(1, 40))
def test_pieces_of_any_size_give_the_same(raws: list[bytes], step: int) -> None:
    for raw in (mboxo(*raws), mboxcl2(*raws), b"".join(LINE + each for each in raws)):
        assert spans(raw, step) == spans(raw)


@settings(max_examples=200, deadline=None)
@given(raw=st.lists(BODY_LINES, max_size=20).map(lambda lines: b"\n".join(lines)), step=st.integers(1, 20))
def test_any_bytes_are_read_without_error(raw: bytes, step: int) -> None:
    found = spans(LINE + raw, step)
    assert found
    ends = [span.offset + span.length for span in found]
    assert all(end <= span.offset for end, span in zip(ends, found[1:], strict=False))


@settings(max_examples=200, deadline=None)
@given(raw=BODIES, cuts=st.lists(st.integers(0, 200), max_size=8), dialect=st.sampled_from(Dialect))
def test_restoring_does_not_depend_on_chunks(raw: bytes, cuts: list[int], dialect: Dialect) -> None:
    places = sorted({0, *(min(cut, len(raw)) for cut in cuts), len(raw)})
    chunks = [raw[start:end] for start, end in pairwise(places)]
    assert b"".join(restored(chunks, dialect)) == b"".join(restored([raw], dialect))


@contextmanager
def opened(path: Path, dialect: Dialect | None = None) -> Iterator[Source]:
    with open_source(MboxSourceConfig(path, dialect), make_context(path.parent)) as source:
        yield source


def test_going_on_where_a_file_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "a.mbox"
    path.write_bytes(mboxo(TWO, ONE))
    with opened(path) as source:
        listed = list(source.scan("a", None))
        cursor = listed[-1].cursor
        assert list(source.scan("a", cursor)) == []
    path.write_bytes(mboxo(TWO, ONE, TWO))
    with opened(path) as source:
        (new,) = source.scan("a", cursor)
        assert new.ref not in {one.ref for one in listed}
    # Compacted, or another export: everything is listed anew, and what lies where it lay keeps its ref.
    path.write_bytes(mboxo(TWO, TWO))
    with opened(path) as source:
        assert next(source.scan("a", cursor)).ref == listed[0].ref
        assert len(list(source.scan("a", cursor))) == 2
    # The last message, then torn, has grown.
    path.write_bytes(mboxo(TWO, ONE)[:-1] + b"more\n")
    with opened(path) as source:
        assert len(list(source.scan("a", cursor))) == 2


def test_another_message_in_the_same_place_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.mbox"
    path.write_bytes(mboxo(TWO, TWO))
    with opened(path) as source:
        refs = [one.ref for one in source.scan("a", None)]
    path.write_bytes(mboxo(TWO, TWO.replace(b"bare", b"BARE")))
    with opened(path) as source:
        assert [one.ref for one in source.fetch("a", iter(refs))] == refs[:1]


def test_a_message_larger_than_memory_allows_is_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "a.mbox"
    large = b"Subject: large\n\n" + b"0123456789abcde\n" * (3 << 16)
    path.write_bytes(mboxo(TWO, large, TWO))
    with opened(path) as source:
        found = {
            b"".join(one.chunks) for one in source.fetch("a", [one.ref for one in source.scan("a", None)])
        }
    assert found == {TWO, large}


def test_python_finds_the_same_in_what_python_wrote(tmp_path: Path) -> None:
    path = tmp_path / "a.mbox"
    box = mailbox.mbox(path)
    raws = [b"Subject: %d\n\nFrom line\nbody %d\n" % (number, number) for number in range(50)]
    for raw in raws:
        box.add(raw)
    box.close()
    with opened(path) as source:
        found = [
            b"".join(one.chunks) for one in source.fetch("a", [one.ref for one in source.scan("a", None)])
        ]
    assert found == raws
