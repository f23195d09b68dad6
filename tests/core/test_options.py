"""`archipec.options`: settings declared as data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from archipec.errors import ConfigError
from archipec.options import (
    Option,
    boolean,
    byte_size,
    choice,
    file_path,
    nearest,
    port_number,
    positive,
    read_options,
    strings,
    text,
)


@pytest.mark.parametrize(
    ("convert", "value", "expected"),
    [
        (text, "x", "x"),
        (positive, 3, 3),
        (positive, "3", 3),
        (port_number, "65535", 65535),
        (boolean, True, True),
        (boolean, "No", False),
        (boolean, "on", True),
        (boolean, 0, False),
        (choice("a", "b"), "b", "b"),
        (strings, "a", ("a",)),
        (strings, ["a", "b"], ("a", "b")),
        (byte_size, 1500, 1500),
        (byte_size, "1500", 1500),
        (byte_size, "20 MB", 20_000_000),
        (byte_size, "20mb", 20_000_000),
        (byte_size, "2GiB", 2 << 30),
        (byte_size, "7 B", 7),
    ],
)
def test_values(convert: Callable[[object], object], value: object, expected: object) -> None:
    converted = convert(value)
    assert converted == expected
    assert type(converted) is type(expected)


REFUSED: dict[Callable[[object], object], tuple[object, ...]] = {
    text: ("", 5, None, ["a"]),
    positive: (0, -1, True, "0", "1.5", "²", "", None, 1.5, [1]),
    port_number: (0, 65536, "http"),
    boolean: ("", "maybe", 2, None, []),
    choice("a"): ("b", ["a"], None),
    strings: ("", [""], [1], 5, {"a": 1}, None),
    byte_size: ("", "MB", "1.5 MB", "-1", True, None, "1 XB", "5 B K"),
    file_path: ("", 5, None, "a\0b", "~nobody-here/x"),
}


@pytest.mark.parametrize(
    ("convert", "value"), [(convert, value) for convert, values in REFUSED.items() for value in values]
)
def test_refused_values(convert: Callable[[object], object], value: object) -> None:
    with pytest.raises(ValueError, match=r"^must be "):
        convert(value)


def test_a_path_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert file_path("a b") == tmp_path / "a b"
    assert file_path("~/x") == file_path(Path("~/x")) == tmp_path / "home/x"


def test_nearest() -> None:
    assert nearest("maildr", ["maildir", "mbox"]) == ', did you mean "maildir"?'
    assert nearest("zzz", ["maildir", "mbox"]) == ""
    assert nearest("x", []) == ""


OPTIONS = (
    Option(name="path", help="where", required=True),
    Option(name="port", help="number", default=993, convert=port_number),
    Option(name="password", help="secret", secret=True),
)


def test_read_options_fills_in_every_option() -> None:
    assert read_options(OPTIONS, {"path": "x"}, "it") == {"path": "x", "port": 993, "password": None}
    assert read_options(OPTIONS, {"path": "x", "port": "1"}, "it")["port"] == 1


def test_read_options_hands_a_secret_through_untouched() -> None:
    secret = object()
    assert read_options(OPTIONS, {"path": "x", "password": secret}, "it")["password"] is secret


def test_read_options_names_every_problem_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read_options(OPTIONS, {"prot": 1, "port": "x", "zzz": 1}, 'source "imap"')
    assert caught.value.problems == (
        'source "imap": unknown option "prot", did you mean "port"?',
        'source "imap": unknown option "zzz"',
        'source "imap": option "path" is missing (where)',
        'source "imap": option "port" must be a whole number above 0, not \'x\'',
    )
