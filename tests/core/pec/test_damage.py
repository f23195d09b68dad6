"""What programs do to sealed messages is told, and the copy stays altered."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from archipec.pec.anchors import Anchors
from archipec.pec.inspection import inspect_message
from archipec.pec.mime import children, entity
from archipec.pec.seal import Seal, Status
from archipec.simulator import ARUBA_2018, Provider, compose, shared_authority
from testbed.seals import signature, signed_entity, with_signature

ANCHORS = Anchors((shared_authority().root,))
PROVIDER = Provider(style=ARUBA_2018)
ORIGINAL = compose(text="Buongiorno,\n\n.punto\n\nFrom qui\n>From li\n-- \nstudio\n")


def sealed(text: bytes, attributes: bool = True) -> bytes:
    """An envelope whose original has a text of these bytes, as they stand."""
    message = PROVIDER.envelope(ORIGINAL)
    whole = signed_entity(message)
    original = (
        b"From: a@b.it\r\nSubject: x\r\nContent-Type: text/plain;\r\n\tcharset=x;\r\n\tformat=y\r\n\r\n"
        + text
        + b"\r\n"
    )
    part = next(one for one in children(entity(whole)) if one.media_type == "message/rfc822")
    body = whole[: part.body] + original + whole[part.end :]
    der = signature(body, [PROVIDER.certificate], digest="sha1", attributes=attributes)
    return with_signature(message.replace(whole, body), der)


def judged(message: bytes) -> Seal:
    return inspect_message(message, ANCHORS).seal


def recoded(old: str, new: str) -> Callable[[bytes], bytes]:
    return lambda raw: raw.decode(old).encode(new)


TEXT = "Perché è così: 10 %".encode("latin-1")
DAMAGES: list[tuple[bytes, Callable[[bytes], bytes], str]] = [
    (TEXT, recoded("latin-1", "utf-8"), "text was converted from Latin-1 to UTF-8 after sealing"),
    (TEXT + b" \x80", recoded("cp1252", "utf-8"), "text was converted from Windows-1252 to UTF-8"),
    (TEXT + b" \x81\x93", lambda raw: recoded("latin-1", "utf-8")(raw), "from Latin-1 to UTF-8"),
    (TEXT + b" \xa4", recoded("iso-8859-15", "utf-8"), "text was converted from Latin-9 to UTF-8"),
    ("Perché è".encode(), recoded("utf-8", "latin-1"), "text was converted from UTF-8 to Latin-1"),
    ("Perché 5 €".encode(), recoded("utf-8", "cp1252"), "text was converted from UTF-8 to Windows-1252"),
    (b"a\r\nFrom b\r\n", lambda raw: raw.replace(b"\r\nFrom b", b"\r\n>From b"), 'were given a ">"'),
    (b"a\r\n>From b\r\n", lambda raw: raw.replace(b"\r\n>From b", b"\r\nFrom b"), 'lost their ">"'),
    (b"a\r\n.b\r\n", lambda raw: raw.replace(b"\r\n.b", b"\r\n..b"), "were doubled"),
    (b"a\r\n-- \r\nb", lambda raw: raw.replace(b" \r\n", b"\r\n"), "blanks at the ends of lines were removed"),
    (b"a", lambda raw: raw.replace(b"\r\n\t", b"\r\n "), "tabs were turned into blanks"),
]  # fmt: skip


@pytest.mark.parametrize("attributes", [True, False])
@pytest.mark.parametrize(("text", "damage", "words"), DAMAGES)
def test_what_a_program_did_is_said(
    text: bytes, damage: Callable[[bytes], bytes], words: str, attributes: bool
) -> None:
    message = sealed(text, attributes)
    assert judged(message).status is Status.VALID
    whole = signed_entity(message)
    altered = message.replace(whole, damage(whole))
    assert altered != message
    for copy in (altered, altered.replace(b"\r\n", b"\n")):
        found = judged(copy)
        assert found.status is Status.ALTERED
        assert words in found.reason
        assert "this copy is not what was sealed" in found.reason


@pytest.mark.parametrize("ends", [b"", b"\r\n\r\n", b"\r\n\r\n\r\n"])
def test_line_ends_added_or_removed_at_the_end(ends: bytes) -> None:
    message = sealed(b"a")
    whole = signed_entity(message)
    altered = message.replace(whole, whole.rstrip(b"\r\n") + ends)
    assert altered != message
    assert "the line ends at its end were changed" in judged(altered).reason


def test_other_changes_are_no_more_than_that() -> None:
    message = sealed(TEXT)
    for altered in (
        message.replace(b"10 %", b"20 %"),
        recoded("latin-1", "utf-8")(message.replace(b"10 %", b"20 %")),
    ):
        found = judged(altered)
        assert found.status is Status.ALTERED
        assert found.reason.startswith("what the seal covers was changed after it was sealed")
        assert "undone" not in found.reason


def test_damaged_bytes_at_random_end_in_a_verdict() -> None:
    message, rng = sealed(TEXT), random.Random(7)
    for _ in range(50):
        raw = bytearray(message)
        raw[rng.randrange(len(raw))] = rng.randrange(256)
        assert judged(bytes(raw)).reason
