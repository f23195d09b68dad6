"""`archipec_plugins.files.layout`: names from outside become directories that stay inside."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.testing import make_item
from archipec_plugins.files.layout import by_folder, safe_part
from testbed.windows_names import is_windows_device

NAMES = st.text(max_size=40) | st.text("abAB.àÀ/\\: ~\0\u0301", max_size=12) | st.text("x/", min_size=90)


def paths_of(root: Path, *folders: str) -> list[str]:
    """Return the directories of some folders, made one after the other."""
    layout = by_folder(str(root))
    found = []
    for folder in folders:
        found.append(layout(make_item(b"", folder=folder)))
        (root / found[-1]).mkdir(parents=True, exist_ok=True)
    return found


@pytest.mark.parametrize(
    "name",
    [
        "INBOX",
        "Posta inviata",
        "Città & 'Co'",
        "2026",
        "INBOX.Lavoro",
        "~",
        "-rf",
        "a.b",
        "conto",
        "日本語",
        "📬",
    ],
)
def test_ordinary_names_stay(name: str) -> None:
    assert safe_part(name) == name


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("", "_~e3b0c442"),
        (".", "_~cdb4ee2a"),
        ("..", "_~"),
        ("cur", "cur~"),
        ("NEW", "NEW~"),
        (".hidden", "_.hidden~"),
        ("nul", "_nul~"),
        ("CON.txt", "_CON.txt~"),
        ("com1 ", "_com1~"),
        ("a.", "a~"),
        (" a ", "a~"),
        ('Città & "Co"', "Città & _Co_~"),
        ("a\\b:c*?<>|\0\x1b\u202e\udcff", "a_b_c_________~"),
        ("x" * 101, "x" * 91 + "~"),
        ("è" * 60, "è" * 45 + "~"),
    ],
)
def test_names_that_some_system_refuses_are_marked(part: str, name: str) -> None:
    assert safe_part(part).startswith(name)
    assert len(safe_part(part).rpartition("~")[2]) == 8


@given(NAMES)
def test_every_part_is_a_name_on_every_system(part: str) -> None:
    name = safe_part(part)
    assert name == unicodedata.normalize("NFC", name)
    assert 0 < len(name.encode()) <= 100
    assert name.isprintable()
    assert not set(name) & set('<>:"/\\|?*')
    assert not name.startswith((".", " "))
    assert not name.endswith((".", " "))
    assert not is_windows_device(name)
    assert name.lower() not in ("cur", "new", "tmp")


@given(NAMES, NAMES)
def test_two_parts_stay_two(one: str, two: str) -> None:
    same = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", two)
    assert (safe_part(one) == safe_part(two)) == same


@given(st.lists(NAMES, min_size=2, max_size=6, unique_by=lambda name: unicodedata.normalize("NFC", name)))
def test_folders_are_told_apart_also_where_case_is_not(
    tmp_path_factory: pytest.TempPathFactory, folders: list[str]
) -> None:
    root = tmp_path_factory.mktemp("archive")
    paths = paths_of(root, *folders)
    assert len({path.casefold() for path in paths}) == len(folders)
    assert all(len(path.encode()) <= 120 and not Path(path).is_absolute() for path in paths)
    assert all(root in (root / path).resolve().parents for path in paths)
    # The same in the next run, in whatever order the folders come.
    again = paths_of(root, *reversed(folders))
    assert again == paths[::-1]


def test_a_slash_begins_a_directory_within(tmp_path: Path) -> None:
    assert paths_of(tmp_path, "2026/11", "2026", "2026/12") == ["2026/11", "2026", "2026/12"]
    assert paths_of(tmp_path, "../../x", "/x")[0].startswith("_~")


def test_one_directory_for_both_ways_to_write_an_accent(tmp_path: Path) -> None:
    composed, decomposed = "Citt\u00e0", "Citta\u0300"
    assert paths_of(tmp_path, composed, decomposed) == [composed, composed]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / decomposed).mkdir()  # as macOS writes it
    assert paths_of(tmp_path / "other", composed) == [decomposed]


def test_a_file_or_a_link_of_that_name_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "archipec.json").write_bytes(b"{}")
    (tmp_path / "link").symlink_to(tmp_path.parent)
    for name, path in zip(
        ("archipec.json", "link"), paths_of(tmp_path, "archipec.json", "link"), strict=True
    ):
        assert path.startswith(f"{name}~")
