"""Small XML documents of a known kind, as a tree; names are local ones, because senders leave namespaces out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from archipec.xml import safe_parser

__all__ = ["child", "children_of", "descend", "parse_tree", "root_name", "text_at"]

_MAX_SIZE: Final = 16 << 20
_LOOKED_AT: Final = 16 * 1024
_MAX_TEXT: Final = 1000  # characters of a field
_ROOT: Final = re.compile(rb"<(?:[A-Za-z_][\w.-]{0,40}:)?([A-Za-z_][\w.-]{0,80})[\s/>]")


def root_name(data: bytes) -> str:
    """The name of the root element; empty when its beginning does not show one. Bytes of UTF-16 are read as such."""
    head = data[:_LOOKED_AT]
    if b"\0" in head[:4]:
        head = head.replace(b"\0", b"")
    match = _ROOT.search(head)
    return match[1].decode("ascii") if match else ""


def parse_tree(data: bytes) -> Any | None:
    """The root element; None where the document is broken or too large."""
    from lxml import etree  # type: ignore[import-untyped]

    if len(data) > _MAX_SIZE:
        return None
    try:
        return etree.fromstring(data.lstrip(), safe_parser(only_elements=True))
    except (etree.XMLSyntaxError, ValueError):
        return None


def children_of(element: Any, name: str) -> Iterator[Any]:
    """Yield the direct children of a name."""
    return (one for one in element if _local(one) == name)


def child(element: Any | None, name: str) -> Any | None:
    """The first direct child of a name; None where there is none, or no element."""
    return None if element is None else next(children_of(element, name), None)


def descend(element: Any | None, *names: str) -> Any | None:
    """The first element at the end of a path."""
    for name in names:
        element = child(element, name)
    return element


def text_at(element: Any | None, *names: str) -> str:
    """The text of the first element at the end of a path, on one line; empty where there is none."""
    found = descend(element, *names)
    if found is None:
        return ""
    return " ".join("".join(found.itertext())[: 10 * _MAX_TEXT].split())[:_MAX_TEXT]


def _local(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""  # else an entity that nothing declares
