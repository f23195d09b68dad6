"""The one XML parser for documents from outside: it opens nothing else, expands nothing, and gives up on huge ones."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import XMLParser  # type: ignore[import-untyped]

__all__ = ["safe_parser"]


@cache
def safe_parser(
    *, only_elements: bool = False, without_comments: bool = False, without_blanks: bool = False
) -> XMLParser:
    """Return a parser for `lxml.etree.fromstring`: no network, no DTD, no entities, no huge trees.

    What the document itself declares stays in its ``docinfo``: whoever wants no document type at all looks there.

    Args:
        only_elements: leave out comments and processing instructions: text on both sides of one is one text.
        without_comments: leave out comments alone.
        without_blanks: leave out text of blanks alone, which only indents.
    """
    from lxml import etree  # type: ignore[import-untyped]  # not at every start: it takes 20 ms

    return etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        dtd_validation=False,
        no_network=True,
        huge_tree=False,
        remove_comments=only_elements or without_comments,
        remove_pis=only_elements,
        remove_blank_text=without_blanks,
    )
