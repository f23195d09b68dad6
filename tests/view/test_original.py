"""`archipec.view.original`: what a message says and brings along, out of its bytes."""

from __future__ import annotations

import base64

import pytest

from archipec.view.original import attached, html_of, original_of, pictures_of
from testbed.hostile_mail import FILES, PIXEL, letter, sealed, with_hostile_names
from testbed.office import NOTICE, ORDINARY

SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"


def part(name: str, content: bytes, media_type: str) -> bytes:
    return (
        f"Content-Type: {media_type}\r\nContent-ID: <{name}>\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
        + base64.encodebytes(content)
    )


def test_html_inside_an_envelope() -> None:
    original = original_of(sealed(letter("oggetto", "<p>perché</p>")), certified=True)
    assert original is not None
    assert html_of(original) == "<p>perché</p>"


def test_a_message_without_html() -> None:
    for raw, certified in ((NOTICE, True), (ORDINARY, False)):
        original = original_of(raw, certified=certified)
        assert original is not None
        assert not html_of(original)


def test_a_message_of_a_provider_has_no_original_where_none_is_inside() -> None:
    assert original_of(ORDINARY, certified=True) is None


def test_pictures_are_pictures_by_their_bytes() -> None:
    original = original_of(
        letter(
            "oggetto", "<p></p>", "a@b.it", part("good@x", PIXEL, "image/png"), part("lie@x", PIXEL, "image/svg+xml"),
            part("svg@x", SVG, "image/svg+xml"), part("hidden@x", SVG, "image/png"), part("page@x", b"<script>", "image/gif"),
            part("large@x", PIXEL + bytes(2 << 20), "image/png"),
        ),
        certified=False,
    )  # fmt: skip
    assert original is not None
    address = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"
    assert pictures_of(original) == {"good@x": address, "lie@x": address}


def test_files_are_those_that_the_index_lists() -> None:
    original = original_of(with_hostile_names(), certified=True)
    assert original is not None
    found = [attached(original, number) for number in range(len(FILES))]
    assert all(one is not None and one.content == b"<script>document.title='owned'</script>" for one in found)
    assert attached(original, len(FILES)) is None


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_file_is_told_by_its_position(number: int) -> None:
    original = original_of(NOTICE, certified=True)
    assert original is not None
    found = attached(original, number)
    assert found is not None
    assert found.name == ["Relazione.pdf", "delega.pdf.p7m", "allegati.zip"][number]
