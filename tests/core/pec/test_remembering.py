"""What is remembered of earlier messages never changes a verdict: changed messages judged cold, and warm in any order."""

from __future__ import annotations

import gc
import io
import json
import os
import random
import re
from datetime import UTC, datetime
from functools import _lru_cache_wrapper

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.errors import IntegrityError
from archipec.pec.anchors import Anchors
from archipec.pec.buffer import FileBuffer
from archipec.pec.cms import SignedData, read_signed_data
from archipec.pec.headers import Header
from archipec.pec.inspection import inspect_message, record
from archipec.pec.mime import EntityHeader, unbase64
from archipec.pec.seal_template import read_seal
from archipec.pec.structure import parse_structure
from archipec.simulator import STYLES, Provider, Style, compose
from archipec.simulator.mime import base64_lines
from testbed.seals import indefinite, signature, signed_entity
from testbed.verdict_mutants import Originals, trust

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
COUNT, COLD = (20_000, 2_000) if FULL else (600, 120)
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def forget() -> None:
    """Empty everything that `pec` remembers."""
    for one in gc.get_objects():
        if isinstance(one, _lru_cache_wrapper) and one.__module__.startswith("archipec."):
            one.cache_clear()


def verdict(raw: bytes, anchors: Anchors) -> str:
    judged = inspect_message(raw, anchors, now=NOW)
    facts = [
        record(raw, judged),
        judged.date,
        judged.certification,
        judged.rem,
        judged.header,
        judged.verdict,
    ]
    return json.dumps(facts, default=repr, sort_keys=True)


@pytest.mark.timeout(3000)
def test_what_is_remembered_changes_no_verdict() -> None:
    messages = list(Originals(seed=7).mutants(COUNT))
    anchors = trust()
    chance = random.Random(8)
    numbers = list(range(COUNT))
    forget()
    found = [verdict(messages[number], anchors[number % len(anchors)]) for number in numbers]
    assert len(set(found)) > COUNT / 4
    for order in (numbers[::-1], chance.sample(numbers, COUNT)):
        for number in order:
            assert verdict(messages[number], anchors[number % len(anchors)]) == found[number], number
    for number in chance.sample(numbers, COLD):
        forget()
        assert verdict(messages[number], anchors[number % len(anchors)]) == found[number], number
        in_file = FileBuffer(io.BytesIO(messages[number]))
        judged = inspect_message(in_file, anchors[number % len(anchors)], now=NOW)
        assert record(in_file, judged) == json.loads(found[number])[0], number


def test_forgetting_forgets() -> None:
    message = Provider().envelope(compose())
    first = parse_structure(message).seal
    again = parse_structure(message).seal
    assert first is not None and again is not None
    assert again.certificates is first.certificates, "the seal was read by a template"
    forget()
    fresh = parse_structure(message).seal
    assert fresh == first and fresh.certificates is not first.certificates


SEALS = {style.name: Provider(style=style).delivery(compose()) for style in STYLES}


def octets(message: bytes) -> bytes:
    part = parse_structure(message).signature
    assert part is not None
    return part.content()


KNOWN = [octets(message) for message in SEALS.values()]
KNOWN += [indefinite(der) for der in KNOWN[:2]]
_ENTITY = signed_entity(SEALS["aruba-2026"])
KNOWN += [
    signature(_ENTITY, [Provider().certificate], when=None),
    signature(_ENTITY, [Provider().certificate], attributes=False),
    signature(_ENTITY, [Provider().certificate] * 2),
]


def in_full(text: bytes) -> SignedData | str:
    try:
        return read_signed_data(unbase64(text))
    except IntegrityError as error:
        return error.message


def by_template(text: bytes) -> SignedData | str:
    try:
        return read_seal(text)
    except IntegrityError as error:
        return error.message


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_a_seal_with_any_octet_changed_is_read_by_no_template_that_it_does_not_fit(style: Style) -> None:
    der = octets(SEALS[style.name])
    assert by_template(base64_lines(der)) == in_full(base64_lines(der))
    for at in range(max(len(der) - 700, 0), len(der)):
        text = base64_lines(der[:at] + bytes((der[at] ^ 1,)) + der[at + 1 :])
        assert by_template(text) == in_full(text), at


@given(st.data())
def test_a_seal_says_the_same_read_by_a_template(data: st.DataObject) -> None:
    """A byte or some of a known seal, before or after base64, made another, more, or fewer; most near its end."""
    der = data.draw(st.sampled_from(KNOWN))
    known = base64_lines(der)
    assert by_template(known) == by_template(known) == in_full(known)
    in_base64 = data.draw(st.booleans())
    text = known if in_base64 else der
    at = len(text) - data.draw(st.one_of(st.integers(0, min(700, len(text))), st.integers(0, len(text))))
    new = data.draw(st.binary(max_size=4))
    changed = text[:at] + new + text[at + data.draw(st.integers(0, 4)) :]
    text = changed if in_base64 else base64_lines(changed)
    assert by_template(text) == in_full(text)


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_the_next_seal_of_a_provider_says_what_it_says(style: Style) -> None:
    provider = Provider(style=style)
    read = {}
    for number in range(3):
        der = octets(provider.acceptance(compose(subject=f"n. {number}")))
        text = base64_lines(der)
        read[number] = by_template(text)
        assert read[number] == in_full(text)
    first, second = read[0], read[1]
    assert isinstance(first, SignedData) and isinstance(second, SignedData)
    assert first.signers[0].message_digest != second.signers[0].message_digest
    assert first.certificates is second.certificates


_TOKENS = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b" ", b"\t", b":", b"from", b"FROM:", b"x-ricevuta", b"\nFrom:", b"a", b"\0"]
)


@given(st.lists(_TOKENS, max_size=30).map(b"".join), st.sampled_from(["From", "X-Ricevuta"]))
def test_fields_are_those_that_their_names_find(head: bytes, name: str) -> None:
    block = b"\n" + head
    pattern = re.compile(rb"\n" + name.encode() + rb"[ \t]*:((?:[^\n]|\n[ \t])*)", re.IGNORECASE)
    expected = [re.sub(rb"[\r\n]", b"", match[1]).strip(b" \t\r\0") for match in pattern.finditer(block)]
    for header in (Header(head), EntityHeader(head)):
        assert header.all(name) == expected
        assert header.first(name) == next(iter(expected), None)
