"""The HTML of a message, made harmless: what a reader needs of it, and nothing that acts, reaches out or misleads.

Three things stand between a message and the viewer, each enough by itself: what is written here, of elements and
attributes that are known; nh3, which reads that again as a browser does and takes out what is not allowed; and the frame
in which it is shown, whose policy (`archipec.view.guard.FRAME_POLICY`) allows no script, no request and no form.

A link is shown as text with its target behind it. To be followed, it would have to leave the frame, and the page that it
leads to would be opened by a page that a person trusts; so that where it leads is seen, and copied on purpose.
"""

from __future__ import annotations

import html
import re
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import nh3

from archipec.index.extraction.limits import ReadingBudget
from archipec.index.extraction.markup import Full, parse_html

__all__ = ["MAX_HTML", "CleanHtml", "clean_html"]

MAX_HTML: Final = 1 << 20
"""Characters of HTML that are shown."""

_SECONDS: Final = 2.0  # of processor time
# Elements in one another: the time that it takes to read them as a browser does grows with the square of it.
_DEPTH: Final = 100
_MAX_OUTPUT: Final = 4 * MAX_HTML  # characters, images aside
_MAX_TARGET: Final = 300  # characters of a link's target

_GLOBAL_NAMES: Final = "align dir lang style title valign bgcolor width height"
_GLOBAL: Final = frozenset(_GLOBAL_NAMES.split(" "))
_ATTRIBUTES: Final[Mapping[str, frozenset[str]]] = {
    "col": frozenset({"span"}),
    "colgroup": frozenset({"span"}),
    "font": frozenset({"color", "face", "size"}),
    "img": frozenset({"alt", "src"}),
    "li": frozenset({"value"}),
    "ol": frozenset({"start", "type"}),
    "table": frozenset({"border", "cellpadding", "cellspacing"}),
    "td": frozenset({"colspan", "rowspan"}),
    "th": frozenset({"colspan", "rowspan", "scope"}),
}
_TAGS_NAMES: Final = (
    "abbr address article b big blockquote br caption center cite code col colgroup dd del dfn div dl dt em font "
    "footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main ol p pre q s samp section small span strike strong "
    "sub sup table tbody td tfoot th thead tr tt u ul var"
)
_TAGS: Final = frozenset(_TAGS_NAMES.split(" "))
_EMPTY: Final = frozenset({"br", "col", "hr", "img"})
# What is in them is no text of the message.
_HIDDEN_NAMES: Final = (
    "applet audio canvas datalist embed frameset iframe math noembed noframes noscript object script select style "
    "svg template textarea title video xmp plaintext"
)
_HIDDEN: Final = frozenset(_HIDDEN_NAMES.split(" "))
_NUMBERS_NAMES: Final = "width height border cellpadding cellspacing colspan rowspan span size start value"
_NUMBERS: Final = frozenset(_NUMBERS_NAMES.split(" "))
_NUMBER: Final = re.compile(r"[+-]?\d{1,4}%?")
_PLAIN_VALUE: Final = re.compile(r"[\w#%.,+\- ]{1,100}")
_PROPERTIES_NAMES: Final = (
    "background background-color border border-bottom border-bottom-color border-bottom-style border-bottom-width "
    "border-collapse border-color border-left border-left-color border-left-style border-left-width border-right "
    "border-right-color border-right-style border-right-width border-spacing border-style border-top "
    "border-top-color border-top-style border-top-width border-width color font font-family font-size font-style "
    "font-variant font-weight letter-spacing line-height list-style-type margin margin-bottom margin-left "
    "margin-right margin-top max-width min-width padding padding-bottom padding-left padding-right padding-top "
    "text-align text-decoration text-indent text-transform vertical-align white-space width word-break"
)
_PROPERTIES: Final = frozenset(_PROPERTIES_NAMES.split(" "))
# No url(), no function but those of colours, no escape that could spell one.
_VALUE: Final = re.compile(r"(?:[\w#%.,+\-!'\" ]|(?:rgb|hsl)a?\([\d.,%/ ]{1,40}\)){1,200}", re.IGNORECASE)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*(?=:)", re.IGNORECASE)
_SHOWN_SCHEMES: Final = frozenset({"http", "https", "ftp", "mailto", "tel"})
_IGNORED_IN_URLS: Final = re.compile(r"[\x00-\x20\x7f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_RASTER: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*")


class CleanHtml(NamedTuple):
    """HTML that is fit to be shown.

    Attributes:
        html: elements and text, to stand in the body of a document.
        images: how many images are not shown, because they lie elsewhere or are no pictures of pixels.
        active: how many elements were left out that would act, or bring other things in: scripts, forms, frames.
        is_whole: whether all of it is here: its size, and the time that it takes, are bounded.
    """

    html: str
    images: int
    active: int
    is_whole: bool


def clean_html(text: str, images: Mapping[str, str]) -> CleanHtml:
    """Return the HTML of a message as it can be shown. Raises nothing.

    Args:
        text: any text.
        images: by their Content-ID, without angle brackets: pictures that the message brings along, as ``data:`` addresses.
    """
    writer = _Writer(images)
    budget = ReadingBudget(ends=time.process_time() + _SECONDS)
    is_whole = not parse_html(text[:MAX_HTML], writer, budget) and len(text) <= MAX_HTML
    cleaned = _CLEANER.clean(writer.text)
    return CleanHtml(cleaned, writer.images, writer.active, is_whole=is_whole)


class _Writer:
    """Hears of elements as they are parsed, and writes those that are known: closed in order, never too deep."""

    def __init__(self, images: Mapping[str, str]) -> None:
        self.images = 0
        self.active = 0
        self._known = images
        self._pieces: list[str] = []
        self._left = _MAX_OUTPUT
        self._open: list[str] = []
        self._hidden: list[str] = []
        self._link: tuple[str, list[str]] | None = None

    @property
    def text(self) -> str:
        """What was written, with what is still open closed."""
        return "".join([*self._pieces, *(f"</{one}>" for one in reversed(self._open))])

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        tag = tag.lower()
        if self._hidden or tag in _HIDDEN:
            if not self._hidden:
                self.active += tag not in ("style", "title")
            self._hidden.append(tag)
        elif tag == "a":
            self._end_link()
            self._link = (_target(attributes.get("href", "")), [])
            self._begin("span", ' class="link"')
        elif tag in _EMPTY:
            if tag != "img" or self._is_shown(attributes):
                self._write(f"<{tag}{self._attributes(tag, attributes)}>")
        elif tag in _TAGS:
            self._begin(tag, self._attributes(tag, attributes))
        elif tag in ("form", "input", "button", "link", "meta", "base", "frame", "bgsound"):
            self.active += tag not in ("link", "meta", "frame")

    def end(self, tag: str) -> None:
        tag = tag.lower()
        if self._hidden:
            if tag in self._hidden:
                while self._hidden.pop() != tag:
                    pass
        elif tag == "a":
            self._end_link()
        elif tag in self._open:
            self._close(tag)

    def data(self, text: str) -> None:
        if self._hidden:
            return
        if self._link is not None:
            self._link[1].append(text[:_MAX_TARGET])
        self._write(html.escape(text, quote=False))

    def close(self) -> None:
        self._end_link()

    def _begin(self, tag: str, attributes: str) -> None:
        # What is deeper loses its element, never its text.
        if len(self._open) < _DEPTH:
            self._open.append(tag)
            self._write(f"<{tag}{attributes}>")

    def _close(self, tag: str) -> None:
        while True:
            one = self._open.pop()
            self._write(f"</{one}>")
            if one == tag:
                return

    def _end_link(self) -> None:
        """Write where a link leads, unless its text is just that."""
        if self._link is None:
            return
        (target, texts), self._link = self._link, None
        said = "".join(texts).strip()
        if target and said.removesuffix("/") not in (target.removesuffix("/"), target.partition(":")[2]):
            self._write(f' <span class="target">[{html.escape(target)}]</span>')
        if "span" in self._open:
            self._close("span")

    def _is_shown(self, attributes: Mapping[str, str]) -> bool:
        source = attributes.get("src", "").strip()
        if self._image(source):
            return True
        # One of the size of a point is there to tell that the message was opened.
        self.images += not {attributes.get("width"), attributes.get("height")} & {"0", "1"}
        if alt := attributes.get("alt", "").strip():
            self.data(f"[{alt}]")
        return False

    def _image(self, source: str) -> str:
        scheme, _, name = source.partition(":")
        return self._known.get(name.strip("<> "), "") if scheme.lower() == "cid" else ""

    def _attributes(self, tag: str, attributes: Mapping[str, str]) -> str:
        pieces = []
        for name, value in attributes.items():
            if name not in _GLOBAL and name not in _ATTRIBUTES.get(tag, ()):
                continue
            if tag == "img" and name == "src":
                kept = self._image(value.strip())
                self._left += len(kept)
            elif name == "style":
                kept = _style(value)
            elif name in _NUMBERS:
                kept = value.strip() if _NUMBER.fullmatch(value.strip()) else ""
            elif name in ("alt", "title"):
                kept = value[:_MAX_TARGET]
            else:
                kept = value if _PLAIN_VALUE.fullmatch(value) else ""
            if kept:
                pieces.append(f' {name}="{html.escape(kept)}"')
        return "".join(pieces)

    def _write(self, piece: str) -> None:
        self._left -= len(piece)
        if self._left < 0:
            raise Full
        self._pieces.append(piece)


def _target(address: str) -> str:
    """Return where a link leads, as a person can read it; empty where it leads nowhere that can be shown."""
    address = _IGNORED_IN_URLS.sub("", address)
    scheme = _SCHEME.match(address)
    if scheme is None or scheme[0].lower() not in _SHOWN_SCHEMES:
        return ""
    shown = "".join(one if one.isprintable() else "\ufffd" for one in address)
    return shown if len(shown) <= _MAX_TARGET else f"{shown[:_MAX_TARGET]}…"


def _style(value: str) -> str:
    """Return the declarations of a style that only say how text looks."""
    kept = []
    for one in value[:2000].split(";"):
        name, _, what = one.partition(":")
        name, what = name.strip().lower(), what.strip()
        if name in _PROPERTIES and _VALUE.fullmatch(what):
            kept.append(f"{name}: {what}")
    return "; ".join(kept)


def _only_pictures(tag: str, name: str, value: str) -> str | None:
    if name == "src":
        return value if tag == "img" and _RASTER.fullmatch(value) else None
    return value


def _cleaner(attributes: Mapping[str, Sequence[str] | frozenset[str]]) -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=set(_TAGS),
        clean_content_tags=set(_HIDDEN - _TAGS),
        attributes={"*": set(_GLOBAL), **{tag: set(names) for tag, names in attributes.items()}},
        attribute_filter=_only_pictures,
        allowed_classes={"span": {"link", "target"}},
        filter_style_properties=set(_PROPERTIES),
        url_schemes={"data"},
        link_rel=None,
    )


_CLEANER: Final = _cleaner(_ATTRIBUTES)
