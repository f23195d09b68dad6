"""`archipec.config.url`: the shorthand for people."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from archipec.config.url import Shorthand, as_table, split_url
from archipec.errors import ConfigError
from archipec.options import Option


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("imaps://user@host", {"user": "user", "host": "host"}),
        ("imaps://user@host/", {"user": "user", "host": "host"}),
        ("imaps://host", {"host": "host"}),
        ("imaps://host/INBOX", {"host": "host", "path": "INBOX"}),
        ("imaps://u@host:993/INBOX", {"user": "u", "host": "host", "port": "993", "path": "INBOX"}),
        ("imaps://u@host:/INBOX", {"user": "u", "host": "host", "path": "INBOX"}),
        ("imaps://u@pec.it@host:993", {"user": "u@pec.it", "host": "host", "port": "993"}),
        ("imaps://u%40pec.it@host", {"user": "u@pec.it", "host": "host"}),
        (
            "imaps://mario/test@postacert.toscana.it@imaps.postacert.toscana.it:993/INBOX",
            {
                "user": "mario/test@postacert.toscana.it",
                "host": "imaps.postacert.toscana.it",
                "port": "993",
                "path": "INBOX",
            },
        ),
        ("imaps://mario%2Ftest@host/a%2Fb", {"user": "mario/test", "host": "host", "path": "a/b"}),
        ("imaps://u%3Av@host", {"user": "u:v", "host": "host"}),
        ("imaps://u@host/Posta@vecchia/2026", {"user": "u", "host": "host", "path": "Posta@vecchia/2026"}),
        ("imaps://u@host/Citt%C3%A0%20%26%20%22Co%22", {"user": "u", "host": "host", "path": 'Città & "Co"'}),
        ("imaps://u@host/a#b+c", {"user": "u", "host": "host", "path": "a#b+c"}),
        ("imaps://u@host//abs", {"user": "u", "host": "host", "path": "/abs"}),
        ("imaps://u@[::1]:993/x", {"user": "u", "host": "::1", "port": "993", "path": "x"}),
        ("imaps://[2001:db8::1]", {"host": "2001:db8::1"}),
        ("imaps://[fe80::1%25eth0]", {"host": "fe80::1%eth0"}),
        ("imaps://@host", {"user": "", "host": "host"}),
        ("quota:", {}),
        ("maildir:PEC", {"path": "PEC"}),
        ("maildir:~/PEC", {"path": "~/PEC"}),
        ("maildir:/srv/PEC", {"path": "/srv/PEC"}),
        ("maildir:///srv/PEC", {"path": "/srv/PEC"}),
        ("maildir:a dir with spaces", {"path": "a dir with spaces"}),
        ("maildir:a%20dir", {"path": "a dir"}),
        ("maildir:what%3F", {"path": "what?"}),
        ("maildir:100%", {"path": "100%"}),
        ("maildir:a@b/c#d", {"path": "a@b/c#d"}),
        (r"maildir:C:\PEC", {"path": r"C:\PEC"}),
        ("maildir:C:/PEC", {"path": "C:/PEC"}),
        ("maildir:///C:/PEC", {"path": "C:/PEC"}),
        ("maildir:///c:", {"path": "c:"}),
        ("maildir:///C:x", {"path": "/C:x"}),
        (r"maildir:\\server\share\PEC", {"path": r"\\server\share\PEC"}),
        ("maildir:/home/\udce8", {"path": "/home/\udce8"}),
    ],
)
def test_parts(url: str, parts: dict[str, str]) -> None:
    assert split_url(url) == Shorthand(url.partition(":")[0], parts, {})


def test_parameters() -> None:
    url = "IMAPS://host?folders=a%26b&folders=c+d&ca_file=ca.pem&empty=&x=y=z&"
    assert split_url(url) == Shorthand(
        "imaps",
        {"host": "host"},
        {"folders": ("a&b", "c+d"), "ca_file": ("ca.pem",), "empty": ("",), "x": ("y=z",)},
    )


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "an address begins with what it is"),
        ("PEC", "an address begins with what it is"),
        (r"C:\PEC", "an address begins with what it is"),
        ("://host", "an address begins with what it is"),
        ("imaps://user:hunter2@host", "a password does not belong into an address"),
        ("imaps://user@pec.it:hunter2@host", "a password does not belong into an address"),
        ("imaps://user:@host", "a password does not belong into an address"),
        ("imaps://user:hun/ter2@host/INBOX", "a password does not belong into an address"),
        ("imaps://user:hunter2", "what follows the host must be a port number"),
        ("imaps://user:hun?ter2@host", "what follows the host must be a port number"),
        ("imaps://user@::1", "what follows the host must be a port number"),
        ("imaps://[::1", "what follows the host must be a port number"),
        ("imaps://host:٣", "what follows the host must be a port number"),
        ("eml:a?b.eml", 'a "?" in a path as %3F'),
        ("eml:a?=b", 'a "?" in a path as %3F'),
        ("eml:a%ff", "a %XX in this eml address is not UTF-8"),
        ("eml:a?b=%ff", "a %XX in this eml address is not UTF-8"),
    ],
)
def test_refused(url: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        split_url(url)
    assert problem in caught.value.message
    assert "hunter2" not in caught.value.message + caught.value.hint
    assert caught.value.__context__ is None


SERVER = (
    Option(name="user", help="", part="user"),
    Option(name="host", help="", part="host"),
    Option(name="tls", help="", part="scheme"),
    Option(name="folders", help="", part="path"),
)
FOLDER = (Option(name="path", help="", part="path"),)


def table(url: str, options: tuple[Option, ...]) -> tuple[dict[str, object], list[str]]:
    return as_table(split_url(url), options)


def test_parts_go_to_the_options_that_take_them() -> None:
    assert table("imaps://u@h/INBOX?x=1&y=2&y=3", SERVER) == (
        {"user": "u", "host": "h", "tls": "imaps", "folders": "INBOX", "x": "1", "y": ["2", "3"]},
        [],
    )
    assert table("eml:DIR", FOLDER) == ({"path": "DIR"}, [])
    assert table("quota:", ()) == ({}, [])


@pytest.mark.parametrize(
    ("url", "options", "problems"),
    [
        ("eml://DIR/sub", FOLDER, ["takes no host: write eml:DIR"]),
        ("eml://me@here:1/sub", FOLDER, ["takes no user", "takes no host: write eml:DIR", "takes no port"]),
        ("quota:x", (), ["takes no path"]),
        ("imaps://h:1", SERVER, ["takes no port"]),
        ("imaps://u@h?user=v", SERVER, ['option "user" is given twice, as the user and as a parameter']),
        ("eml:a?path=b", FOLDER, ['option "path" is given twice, as the path and as a parameter']),
    ],
)
def test_parts_that_nothing_takes(url: str, options: tuple[Option, ...], problems: list[str]) -> None:
    assert table(url, options)[1] == problems


# -- properties -------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
hosts = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True) | st.sampled_from(["::1", "2001:db8::a"])


@given(
    user=st.none() | texts,
    host=hosts,
    port=st.none() | st.integers(0, 65535).map(str),
    path=texts,
    parameters=st.dictionaries(texts.filter(bool), st.lists(texts, min_size=1, max_size=3), max_size=3),
)
def test_a_url_with_everything_encoded_comes_back(
    user: str | None, host: str, port: str | None, path: str, parameters: dict[str, list[str]]
) -> None:
    url = "imaps://"
    url += "" if user is None else f"{quote(user, safe='')}@"
    url += f"[{host}]" if ":" in host else host
    url += "" if port is None else f":{port}"
    url += f"/{quote(path, safe='')}?"
    url += "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}"
        for name, values in parameters.items()
        for value in values
    )
    parts = {"user": user, "host": host, "port": port, "path": path or None}
    assert split_url(url) == Shorthand(
        "imaps",
        {part: value for part, value in parts.items() if value is not None},
        {name: tuple(values) for name, values in parameters.items()},
    )


@given(
    st.text(st.characters(exclude_characters="%?", exclude_categories=["Cs"]), min_size=1).filter(
        lambda path: path[:2] != "//"
    )
)
@example(" ")
@example("a:b@c")
def test_a_path_needs_no_encoding(path: str) -> None:
    assert split_url(f"eml:{path}").parts == {"path": path}


@given(st.text() | st.from_regex(r"[a-z]{2,5}:(//)?[a-z@:/?&=%\[\]0-9]*", fullmatch=True))
def test_nothing_but_configuration_errors(url: str) -> None:
    try:
        split_url(url)
    except ConfigError as error:
        assert error.message.isprintable()


@given(
    st.text("abkz@/:?&=#%[]4. ", min_size=6),
    st.sampled_from(["imaps://me:{}@host", "imaps://me@x.it:{}@host/INBOX"]),
)
@example("p@ss/w:rd", "imaps://me:{}@host")
@example("123456?a=b", "imaps://me:{}@host")
def test_a_password_is_never_shown(password: str, form: str) -> None:
    """Whatever is in it. Only one that begins like a port and what follows a port can pass for that."""
    try:
        url = split_url(form.format(password))
    except ConfigError as error:
        assert password not in error.message + error.hint
    else:
        assert re.match("[0-9]*[/?]", password)
        assert url.parts.get("port", "0").isdigit()
