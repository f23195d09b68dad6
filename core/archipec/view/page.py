"""What a page of the viewer is: an address, a template, and a function from what was asked to what the template shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from archipec.errors import PermanentError
from archipec.view.viewed import OpenView

__all__ = ["Answer", "Download", "MessageHtml", "NoSuchPage", "Page", "PageRequest", "SeeOther"]


class NoSuchPage(PermanentError):
    """An address names nothing that there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """What a browser asks for.

    Attributes:
        view: what the answer is made of.
        path: the parameters in the address, by name: ``{key}``.
        query: what stands behind the question mark, as sent.
        form: what was posted.
    """

    view: OpenView
    path: Mapping[str, str] = field(default_factory=dict)
    query: Sequence[tuple[str, str]] = ()
    form: Sequence[tuple[str, str]] = ()

    def value(self, name: str, default: str = "") -> str:
        """Return the last value of this name in the query, stripped."""
        return next((value.strip() for key, value in reversed(self.query) if key == name), default)

    def values(self, name: str) -> tuple[str, ...]:
        """Return all values of this name in the query that are not empty, each once."""
        return tuple(
            dict.fromkeys(value.strip() for key, value in self.query if key == name and value.strip())
        )

    def posted(self, name: str) -> tuple[str, ...]:
        """Return all values of this name in the form that are not empty, each once."""
        return tuple(
            dict.fromkeys(value.strip() for key, value in self.form if key == name and value.strip())
        )


class Download(NamedTuple):
    """A file to be saved, never shown.

    Attributes:
        name: any text: what of it no file can be called is replaced.
        body: the bytes, or a file of them at its beginning, which is closed when it was sent.
    """

    name: str
    body: bytes | BinaryIO
    media_type: str = "application/octet-stream"


class MessageHtml(NamedTuple):
    """HTML out of a message, cleaned, for a frame that may do nothing: a whole document."""

    html: str


class SeeOther(NamedTuple):
    """Where to look after something was changed: a path of the viewer, with its query."""

    path: str


Answer: TypeAlias = Mapping[str, Any] | Download | MessageHtml | SeeOther
"""What a page answers with: the variables of its template, or something else than a page."""


class Page(NamedTuple):
    """A page.

    Attributes:
        path: its address, with parameters in braces: ``/messages/{key}``.
        answer: makes the answer, in a thread of its own; an `ArchipecError` becomes a page that says it.
        template: shows the variables; empty where the answer is never variables.
        method: GET, or POST for what changes marks.
        tab: the path of the page in the navigation that this one belongs to; its own unless given.
    """

    path: str
    answer: Callable[[PageRequest], Answer]
    template: str = ""
    method: str = "GET"
    tab: str = ""
