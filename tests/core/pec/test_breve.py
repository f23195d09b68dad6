"""`archipec.pec.breve`: a short delivery receipt against the original."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.pec.breve import Check, check_breve
from archipec.pec.structure import parse_structure
from archipec.simulator import STYLES, Attachment, Provider, Style, compose

PDF = Attachment("contratto.pdf", b"%PDF-1.7 " + bytes(range(256)) * 9)
TEXT = Attachment("nota è.txt".encode().decode(), b"una nota\r\n", "text/plain")
ORIGINAL = compose(subject="Notifica", attachments=[PDF, TEXT])


def short_of(original: bytes, style: Style = STYLES[0]) -> bytes:
    part = parse_structure(Provider(style=style).delivery(original, receipt="breve")).postacert
    assert part is not None
    return part.content()


def rehashed(short: bytes, original: bytes, of: bytes, name: bytes = b"contratto.pdf") -> bytes:
    """The short receipt of another provider, that hashes something else."""
    pattern = re.compile(rb'(filename="' + re.escape(name) + rb'\.hash".*?\r\n\r\n)[0-9a-f]{40}', re.DOTALL)
    changed, number = pattern.subn(rb"\g<1>" + hashlib.sha1(of).hexdigest().encode(), short)
    assert number == 1
    return changed


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_every_engine_s_short_receipt_fits(style: Style) -> None:
    assert check_breve(short_of(ORIGINAL, style), ORIGINAL) == Check("matches", "encoded")


def test_the_hash_of_decoded_content_is_said() -> None:
    short = rehashed(short_of(ORIGINAL), ORIGINAL, PDF.content)
    assert check_breve(short, ORIGINAL) == Check("matches", "encoded and decoded")
    only = compose(attachments=[PDF])
    assert check_breve(rehashed(short_of(only), only, PDF.content), only) == Check("matches", "decoded")


def test_hashes_in_capitals() -> None:
    short = re.sub(rb"\r\n\r\n[0-9a-f]{40}", lambda match: match[0].upper(), short_of(ORIGINAL))
    assert check_breve(short, ORIGINAL).status == "matches"


def test_an_original_kept_with_bare_line_feeds() -> None:
    assert check_breve(short_of(ORIGINAL), ORIGINAL.replace(b"\r\n", b"\n")) == Check("matches", "encoded")


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (compose(subject="Notifica", attachments=[Attachment(PDF.name, PDF.content + b"!"), TEXT]), '"contratto.pdf" has another hash'),
        (compose(subject="Notifica", attachments=[PDF]), "it has 2 parts where the receipt shows 3"),
        (compose(subject="Notifica", text="Altro testo\n", attachments=[PDF, TEXT]), "its text is another"),
        (compose(subject="Notifica"), "it has 0 parts where the receipt shows 3"),
    ],
)  # fmt: skip
def test_another_original_does_not_fit(other: bytes, sentence: str) -> None:
    check = check_breve(short_of(ORIGINAL), other)
    assert check == Check("differs", sentence=f"the delivery receipt does not fit the original: {sentence}")


def test_an_original_without_attachments() -> None:
    plain = compose()
    assert check_breve(short_of(plain), plain) == Check("matches")
    assert check_breve(short_of(plain), compose(text="altro")).status == "differs"


def test_an_attached_message_is_hashed_whole() -> None:
    original = compose(
        attachments=[Attachment("inoltrata.eml", compose(attachments=[PDF]), "message/rfc822")]
    )
    assert check_breve(short_of(original), original) == Check("matches", "encoded")


def test_an_attachment_that_is_a_hash_file_itself() -> None:
    """Its own name ends as those of the receipt's parts do."""
    original = compose(attachments=[Attachment("contratto.pdf.hash", b"a" * 40, "text/plain")])
    assert check_breve(short_of(original), original) == Check("matches", "encoded")
    assert check_breve(original, original) == Check("matches")


@settings(max_examples=300, deadline=1000)
@given(st.binary(max_size=400), st.integers(0, len(ORIGINAL)))
def test_anything_can_be_compared(junk: bytes, at: int) -> None:
    short = short_of(ORIGINAL)
    assert check_breve(short[:at] + junk, ORIGINAL).status in ("matches", "differs")
    assert check_breve(short, ORIGINAL[:at] + junk).status in ("matches", "differs")
    assert check_breve(junk, junk).status == "matches"
