"""Thunderbird's own NSS, for profiles in a format that this tool does not know; and where it is found."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from archipec.errors import AuthError
from archipec.simulator import shared_authority
from archipec_thunderbird import trust as trust_module
from archipec_thunderbird.certificates import Certificate
from archipec_thunderbird.nss.changes import self_test
from archipec_thunderbird.nss.library import find_libraries, load_order
from archipec_thunderbird.nss.objects import Level, Usage
from archipec_thunderbird.nss.password import UnknownFormat
from archipec_thunderbird.nss.store import open_store
from archipec_thunderbird.nss.trust_row import find_trust
from archipec_thunderbird.trust import TrustRequest, open_key, trust
from archipec_thunderbird.undo import Undone, undo
from testbed.nss import add_trust, change_password, listed_trust, make_databases
from testbed.requirements import require, thunderbird_program

ROOT = Certificate(shared_authority(3).root)
OTHER = Certificate(shared_authority(4).root)
WANTED = TrustRequest(authorities=[ROOT, OTHER])


@pytest.fixture
def libraries() -> Path:
    require("thunderbird")
    program = thunderbird_program()
    assert program is not None
    found = find_libraries(Path(program).parent)
    assert found is not None
    return found


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this tool refuse to sign by itself."""

    def refuse(*_: object) -> NoReturn:
        raise UnknownFormat("signatures of a new kind")

    monkeypatch.setattr(trust_module, "self_test", refuse)


@pytest.mark.real
@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("password", ["", "una parola"], ids=["no-password", "password"])
def test_nss_sets_the_trust_that_this_tool_then_records_and_undoes(
    tmp_path: Path, libraries: Path, password: str
) -> None:
    require("certutil")
    make_databases(tmp_path, password)
    add_trust(tmp_path, ROOT.der, "C,,", password)
    outcome = trust(tmp_path, WANTED, lambda: password, libraries=libraries)
    assert [step.change for step in outcome.steps] == ["mail-trust", "authority", "mail-trust"]
    with open_store(tmp_path) as store:
        key = open_key(store, lambda: password)
        self_test(store, key)  # what the newer NSS signed is what this tool would have signed
        found = {one: find_trust(store, one, key) for one in (ROOT, OTHER)}
        for row in found.values():
            assert row is not None
            assert (row.counts, row.level(Usage.MAIL)) == (True, Level.ANCHOR)
    assert trust(tmp_path, WANTED, lambda: password, libraries=libraries).steps == ()
    change_password(tmp_path, password, "un'altra")
    assert undo(tmp_path, lambda: "un'altra") == Undone(records=1, restored=3, left=0)
    assert list(listed_trust(tmp_path, "un'altra").values()) == ["C,,"]
    with open_store(tmp_path) as store:
        row = find_trust(store, ROOT, open_key(store, lambda: "un'altra"))
        assert row is not None
        assert row.counts


@pytest.mark.real
@pytest.mark.usefixtures("unknown")
def test_nss_refuses_a_wrong_password(tmp_path: Path, libraries: Path) -> None:
    require("certutil")
    make_databases(tmp_path, "una parola")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(AuthError, match="wrong"):
        trust(tmp_path, WANTED, lambda: "no", libraries=libraries)
    (tmp_path / ".parentlock").unlink()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("libraries", [None, "empty", "broken"], ids=str)
def test_without_nss_nothing_is_touched(tmp_path: Path, libraries: str | None) -> None:
    require("certutil")
    profile, folder = tmp_path / "profile", tmp_path / "libraries"
    profile.mkdir()
    folder.mkdir()
    make_databases(profile)
    if libraries == "broken":
        (folder / "libnss3.so").write_bytes(b"no library")
    before = {path.name: path.read_bytes() for path in profile.iterdir()}
    with pytest.raises(UnknownFormat):
        trust(profile, WANTED, lambda: "", libraries=folder if libraries else None)
    (profile / ".parentlock").unlink()
    assert {path.name: path.read_bytes() for path in profile.iterdir()} == before


# Layouts from documentation and public packages; of these only the first was run.
LAYOUTS = {
    "linux": (
        ["libnspr4.so", "libplc4.so", "libplds4.so", "libnssutil3.so", "libmozsqlite3.so", "libnss3.so"],
        ["libxul.so", "libsoftokn3.so", "libssl3.so"],
    ),
    "darwin": (["libmozglue.dylib", "libnss3.dylib"], ["XUL", "libsoftokn3.dylib"]),
    "win32": (["mozglue.dll", "nss3.dll"], ["softokn3.dll", "xul.dll"]),
}


@pytest.mark.parametrize("system", LAYOUTS)
def test_libraries_are_found_and_ordered(tmp_path: Path, system: str) -> None:
    needed, others = LAYOUTS[system]
    assert load_order(tmp_path, system) == []
    for name in (*others, *reversed(needed)):
        (tmp_path / name).touch()
    assert [path.name for path in load_order(tmp_path, system)] == needed
    assert find_libraries(tmp_path, system) == tmp_path
    (tmp_path / needed[-1]).unlink()
    assert load_order(tmp_path, system) == [], "without NSS itself the rest is of no use"


def test_debian_takes_nspr_from_the_system(tmp_path: Path) -> None:
    for name in ("libnssutil3.so", "libmozsqlite3.so", "libnss3.so"):
        (tmp_path / name).touch()
    assert [path.name for path in load_order(tmp_path, "linux")] == [
        "libnssutil3.so",
        "libmozsqlite3.so",
        "libnss3.so",
    ]


def test_a_system_that_nobody_knows(tmp_path: Path) -> None:
    assert find_libraries(tmp_path, "plan9") is None
