"""`archipec.view.html`: what is left of HTML that was made to act on who looks at it."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archipec.view.html import MAX_HTML, clean_html
from testbed.hostile_mail import hostile_html

TRAP = "http://trap.example"
HOSTILE = hostile_html(TRAP)
PICTURE = "data:image/png;base64,AAAA"
ATTRIBUTES = frozenset(
    [
        "align",
        "alt",
        "bgcolor",
        "border",
        "cellpadding",
        "cellspacing",
        "class",
        "color",
        "colspan",
        "dir",
        "face",
        "height",
        "lang",
        "rowspan",
        "scope",
        "size",
        "span",
        "src",
        "start",
        "style",
        "title",
        "type",
        "valign",
        "value",
        "width",
    ]
)


class _Elements(HTMLParser):
    """What a document consists of."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.depth = self.deepest = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("br", "col", "hr", "img"):
            self.depth += 1
            self.deepest = max(self.deepest, self.depth)

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1


def elements(html: str) -> _Elements:
    found = _Elements()
    found.feed(html)
    found.close()
    return found


def assert_harmless(html: str) -> None:
    found = elements(html)
    for tag, attributes in found.elements:
        assert tag not in (
            "a",
            "script",
            "style",
            "svg",
            "form",
            "input",
            "iframe",
            "meta",
            "base",
            "link",
            "object",
        )
        assert attributes.keys() <= ATTRIBUTES, (tag, attributes)
        assert re.fullmatch(
            r"(data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*)?", attributes.get("src", "")
        )
        assert not re.search(
            r"[(\\@:]", re.sub(r"rgba?\([\d., %]*\)|[\w-]+: ?", "", attributes.get("style", ""))
        )
    # Somewhat deeper than what is written: a table has a body.
    assert found.deepest <= 300


@pytest.mark.parametrize("html", HOSTILE.values(), ids=HOSTILE)
def test_what_acts_or_reaches_out_is_gone(html: str) -> None:
    cleaned = clean_html(html, {})
    assert_harmless(cleaned.html)
    # Where a link leads is text.
    shown = re.sub(r'<span class="target">.*?</span>', "", cleaned.html)
    assert TRAP not in re.sub(r">[^<]*<", "><", f">{shown}<")


def test_it_is_said_what_is_left_out() -> None:
    cleaned = clean_html(HOSTILE["image"], {})
    assert cleaned.images >= 2 and cleaned.active
    assert clean_html(HOSTILE["script"], {}).active == 2
    assert clean_html("<img src=http://a/b width=1 height=1>", {}).images == 0
    assert clean_html("<p>testo</p><style>p{}</style>", {})[1:] == (0, 0, True)


def test_how_text_looks_is_kept() -> None:
    html = (
        '<p style="color: #333; text-align:center; background: rgb(1, 2, 3)">a <b>b</b></p>'
        '<table width="600" border="1"><tr><td bgcolor="#eeeeee" colspan="2">c</td></tr></table>'
    )
    cleaned = clean_html(html, {}).html
    assert "color:#333;text-align:center;background:rgb(1, 2, 3)" in cleaned.replace("; ", ";").replace(
        ": ", ":"
    )
    assert (
        '<td bgcolor="#eeeeee" colspan="2">c</td>' in cleaned
        and 'width="600"' in cleaned
        and "<b>b</b>" in cleaned
    )


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<a href='https://a.example/x?b=1&amp;c=2'>qui</a>", "qui [https://a.example/x?b=1&amp;c=2]"),
        ("<a href='https://a.example/'>https://a.example</a>", "https://a.example"),
        ("<a href='mailto:a@b.it'>a@b.it</a>", "a@b.it"),
        (
            "<a href='https://a.example'>https://banca.example</a>",
            "https://banca.example [https://a.example]",
        ),
        ("<a href='javascript:x'>qui</a>", "qui"),
        ("<a href=' java\nscript:x'>qui</a>", "qui"),
        ("<a href='#sotto'>qui</a>", "qui"),
        ("<a href='http://a/\u202egnp.exe'>qui</a>", "qui [http://a/gnp.exe]"),
        ("<a href='http://a/" + "x" * 900 + "'>qui</a>", "qui [http://a/" + "x" * 291 + "…]"),
        ("<a href='http://a'><a href='http://b'>due</a>", "[http://a]due [http://b]"),
    ],
)
def test_where_a_link_leads_is_seen(html: str, shown: str) -> None:
    text = re.sub(r"<[^>]*>", "", clean_html(html, {}).html)
    assert text.strip() == shown


def test_a_picture_that_the_message_brings_along_is_shown() -> None:
    cleaned = clean_html('<img src="cid:logo@x" alt="logo"><img src="CID:altro">', {"logo@x": PICTURE})
    assert f'src="{PICTURE}"' in cleaned.html
    assert cleaned.images == 1


@pytest.mark.parametrize("name", ["deep", "tangled", "wide"])
def test_however_deep_or_long_it_is_text_is_left(name: str) -> None:
    cleaned = clean_html(HOSTILE[name], {})
    assert_harmless(cleaned.html)
    assert cleaned.html
    assert len(cleaned.html) < 10 * MAX_HTML


def test_more_than_is_shown_is_said() -> None:
    assert not clean_html("<p>testo</p>" * (MAX_HTML // 8), {}).is_whole
    assert clean_html("<p>testo</p>", {}).is_whole


PIECES = st.sampled_from(
    ["<b>", "</b>", "<p>", "</p>", "<table>", "<td>", "</table>", "<a href='http://x/'>", "</a>", "<svg>", "</svg>", "<style>",
     "</style>", "<math>", "<!--", "-->", "<![CDATA[", "]]>", "<select>", "</select>", "<img src='cid:a'>", "<noscript>",
     "<template>", "<title>", "<form>", "x", "&lt;script&gt;", "<p style='color:url(x)'>", "<img src=javascript:x onerror=y>",
     "<textarea>", "</textarea>", "\0", "<", ">", "'", '"', "&#x3c;", "<plaintext>", "<xmp>", "</xmp>", "<font color=red>"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=60).map("".join) | st.text(max_size=200))
def test_nothing_that_acts_comes_out_of_any_html(html: str) -> None:
    cleaned = clean_html(html, {"a": PICTURE})
    assert_harmless(cleaned.html)
    # What a browser makes of it has nothing more to lose.
    assert_harmless(clean_html(cleaned.html, {"a": PICTURE}).html)
