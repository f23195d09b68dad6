"""The parser for XML from outside reads the document at hand and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree  # type: ignore[import-untyped]

from archipec.xml import safe_parser

BILLION = b"<!DOCTYPE a [" + b"".join(
    b'<!ENTITY l%d "%s">' % (n + 1, b"&l%d;" % n * 10) for n in range(9)
) + b"]><a>&l9;</a>"  # fmt: skip


def test_nothing_is_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("<!ENTITY inner 'secret'>")
    for text in (
        f'<!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}">]><a>&x;</a>',
        f'<!DOCTYPE a SYSTEM "{secret.as_uri()}"><a>&inner;</a>',
        f'<!DOCTYPE a [<!ENTITY % x SYSTEM "{secret.as_uri()}">%x;]><a>&inner;</a>',
    ):
        try:
            root = etree.fromstring(text.encode(), safe_parser())
        except etree.XMLSyntaxError:
            continue
        assert b"secret" not in etree.tostring(root)
        assert root.text is None
        assert root.getroottree().docinfo.doctype


def test_entities_stay_what_they_are() -> None:
    try:
        root = etree.fromstring(BILLION, safe_parser())
    except etree.XMLSyntaxError:
        return
    assert len(etree.tostring(root)) < 10_000


def test_huge_trees_are_refused() -> None:
    deep = b"<a>" * 300 + b"</a>" * 300
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(deep, safe_parser())


def test_what_is_left_out() -> None:
    text = b"<a> <b>x<!-- c -->y<?p i?></b> </a>"
    assert etree.tostring(etree.fromstring(text, safe_parser())) == text
    assert etree.tostring(etree.fromstring(text, safe_parser(only_elements=True))) == b"<a> <b>xy</b> </a>"
    without = etree.fromstring(text, safe_parser(without_blanks=True))
    assert etree.tostring(without) == b"<a><b>x<!-- c -->y<?p i?></b></a>"
