"""A name from outside becomes one of a file on every system, and the same one as in earlier versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.paths import FORBIDDEN, allowed, is_reserved, safe_name
from testbed.windows_names import is_windows_device


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "__._etc_passwd"),
        ("C:\\autoexec.bat", "C__autoexec.bat"),
        ("-rf", "_rf"),
        (".bashrc", "_bashrc"),
        ("con", "_con"),
        ("LPT1.txt", "_LPT1.txt"),
        ("com\u00b9 .tar.gz", "_com\u00b9 .tar.gz"),
        ("CONOUT$", "_CONOUT$"),
        ("contratto.pdf", "contratto.pdf"),
        (" fattura. ", "fattura"),
        ("e\u0301.pdf", "\u00e9.pdf"),
        ("a\tb\u202e\udcff.exe", "a_b__.exe"),
        ("x" * 200 + ".pdf", "x" * 116 + ".pdf"),
        ("a." + "x" * 200, "a." + "x" * 118),
        ("\u00e8" * 100, "\u00e8" * 60),
        ("", "_"),
        ("...", "_"),
    ],
)
def test_names_stay_what_they_were(name: str, safe: str) -> None:
    """Exported again into the same folder, a file is found under its name."""
    assert safe_name(name) == safe


@pytest.mark.parametrize("name", ["nul", "Prn.eml", "aux .x", "com0", "lpt\u00b3.a.b", "CONIN$"])
def test_devices_are_reserved(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["", "null", "com10", "com", "con1", "_con", "a.con", "com\u0663"])
def test_other_names_are_not(name: str) -> None:
    assert not is_reserved(name)


@given(st.text(max_size=40))
def test_what_is_allowed_stays_so(name: str) -> None:
    once = allowed(name)
    assert allowed(once) == once
    assert not FORBIDDEN & set(once)
    assert is_reserved(once) or not once or not is_windows_device(once)


@given(
    st.one_of(
        st.text(max_size=300), st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    )
)
def test_any_name_becomes_one_of_a_file(name: str) -> None:
    safe = safe_name(name)
    assert safe and safe not in (".", "..")
    assert Path(safe).name == safe
    assert not set(safe) & set('<>:"/\\|?*')
    assert safe.isprintable()
    assert len(safe.encode()) <= 130
    assert safe == safe.strip(" ") and not safe.endswith(".") and not safe.startswith(".")
    assert safe_name(safe) == safe


def test_plain_names_stay() -> None:
    for name in ("contratto.pdf", "Perché è così (1).p7m", "IT01234567890_FPR04.xml.p7m", "senza estensione"):
        assert safe_name(name) == name
