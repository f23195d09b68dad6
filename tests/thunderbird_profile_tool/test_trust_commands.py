"""The commands status, trust and undo as a person meets them; what they do to a profile is in test_trust.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archipec.simulator import Provider, shared_authority, to_pem
from archipec_thunderbird.certificates import Certificate
from testbed.nss import make_databases
from testbed.requirements import require
from testbed.seal_causes import good
from testbed.tool import Tool

ROOT = Certificate(shared_authority().root)
PASSWORD = "una parola ‹è›"


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root.pem"
    path.write_text(to_pem(ROOT.der))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two profiles: the first has no primary password."""
    require("certutil")
    folder = tmp_path / ".thunderbird"
    sections = []
    for number, (name, password) in enumerate((("one", ""), ("two", PASSWORD))):
        profile = folder / name
        profile.mkdir(parents=True)
        make_databases(profile, password)
        (profile / "prefs.js").write_text("// Mozilla User Preferences\n")
        sections.append(f"[Profile{number}]\nName={name}\nIsRelative=1\nPath={name}\n")
    (folder / "profiles.ini").write_text("[Install1]\nDefault=one\n" + "".join(sections))
    return folder


def test_one_line_says_what_changed(tool: Tool, home: Path, root: Path) -> None:
    done = tool("trust", "--ca", root).out
    assert done.startswith(
        f"{home / 'one'}: certificate of {ROOT.name} added; {ROOT.name} is trusted for mail (as it was: "
    )
    assert done.count("\n") == 1
    assert tool("trust", "--ca", root).out == f"{home / 'one'}: nothing was missing, nothing changed\n"
    assert tool("undo", "--dry-run").out == f"{home / 'one'}: 2 changes of 1 run would be taken back\n"
    assert tool("undo").out == f"{home / 'one'}: 2 changes of 1 run taken back\n"
    assert tool("undo").out == f"{home / 'one'}: nothing to undo\n"


def test_status_says_what_a_person_must_know(tool: Tool, home: Path, root: Path) -> None:
    # 3: something needs a person.
    assert tool("status", "--ca", root, expect=3).out == (
        f"{home / 'one'}\n"
        "  Actalis Authentication Root CA: mail trusted, web trusted (Thunderbird's own setting)\n"
        "    AgID CA1 is not known: only seals that carry it can be trusted\n"
        f"  {ROOT.name}: mail not trusted, web not trusted (this profile does not know it)\n"
        "    no intermediate of it is known: only seals that carry it can be trusted\n"
        "  seals with SHA-1: refused\n"
    )
    tool("trust", "--ca", root, "--accept-sha1")
    lines = tool("status", "--ca", root).out.splitlines()
    assert f"  {ROOT.name}: mail trusted, web not trusted (set in this profile, old-style row)" in lines
    assert "  seals with SHA-1: accepted" in lines


def test_shapes(tool: Tool, home: Path, root: Path, tmp_path: Path) -> None:
    message = tmp_path / "message.eml"
    message.write_bytes(good(Provider(seed=3)))
    done = tool("trust", "--ca", root, "--intermediate", message, "--accept-sha1", "--json")
    shape = done.object
    backup = Path(shape.pop("backup"))
    assert (backup / "cert9.db").is_file()
    ca = Certificate(shared_authority().ca)
    assert shape == {
        "profile": str(home / "one"),
        "changes": [
            {"change": "authority", "name": ROOT.name, "sha256": ROOT.sha256},
            {"change": "mail-trust", "name": ROOT.name, "sha256": ROOT.sha256},
            {"change": "intermediate", "name": ca.name, "sha256": ca.sha256},
            {"change": "accept-sha1", "name": None, "sha256": None},
        ],
    }
    assert "SHA-1" in done.err
    status = tool("status", "--ca", root, "--json").object
    assert status == {
        "profile": str(home / "one"),
        "authorities": [
            {
                "name": "Actalis Authentication Root CA",
                "sha256": "55926084ec963a64b96e2abe01ce0ba86a64fbfebcc7aab5afc155b37fd76066",
                "mail": True,
                "web": True,
                "built_in": True,
                "row": None,
                "row_counts": False,
                "stored": False,
                "intermediates": [],
            },
            {
                "name": ROOT.name,
                "sha256": ROOT.sha256,
                "mail": True,
                "web": False,
                "built_in": False,
                "row": "old-style",
                "row_counts": True,
                "stored": True,
                "intermediates": [ca.name],
            },
        ],
        "accepts_sha1": True,
        "primary_password": False,
    }
    assert tool("undo", "--json").object == {
        "profile": str(home / "one"),
        "runs": 1,
        "restored": 4,
        "left": 0,
    }


def test_all_profiles_and_one_password_for_those_that_have_one(tool: Tool, home: Path, root: Path) -> None:
    arguments = ("trust", "--ca", root, "--all-profiles", "--json", "--password-fd", 0)
    shapes = tool(*arguments, stdin=f"{PASSWORD}\n").objects
    assert [Path(shape["profile"]).name for shape in shapes] == ["one", "two"]
    assert all(len(shape["changes"]) == 2 for shape in shapes)


def test_what_fails_in_one_profile_does_not_keep_it_from_the_others(
    tool: Tool, home: Path, root: Path
) -> None:
    # 6: the password was refused; tried once.
    done = tool("trust", "--ca", root, "--all-profiles", "--json", "--password-fd", 0, stdin="no\n", expect=6)
    assert [Path(shape["profile"]).name for shape in done.objects] == ["one"]
    assert json.loads(done.err)["exit_code"] == 6


def test_a_password_is_asked_for_where_somebody_can_answer(tool: Tool, home: Path, root: Path) -> None:
    refused = tool("trust", "--ca", root, "--profile", "two", expect=6)
    assert refused.err.splitlines() == [
        f"error: {home / 'two'} has a primary password",
        "hint: run it on a terminal, or give it with --password-fd",
    ]
    unreadable = tool("trust", "--ca", root, "--profile", "two", "--password-fd", 77, expect=4)
    assert "file descriptor 77" in unreadable.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("trust", "--intermediate", "plain.eml"), 4, "has no seal that carries certificates"),
        (("trust", "--intermediate", "sealed.eml"), 4, "no valid intermediate"),
        (("trust", "--intermediate", "gone.eml"), 4, "no such file"),
        (("trust", "--ca", "plain.eml"), 4, "holds no certificate"),
        (("trust", "--password", PASSWORD), 2, "o such option"),
        (("status", "--profile", "nowhere"), 4, "no profile"),
    ],
)
def test_mistakes(
    tool: Tool, home: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "plain.eml").write_bytes(b"From: a@b.example\r\n\r\nno seal\r\n")
    (tmp_path / "sealed.eml").write_bytes(good(Provider(seed=3)))
    named = [str(tmp_path / one) if one.endswith(".eml") else one for one in arguments]
    assert words in tool(*named, expect=code).err
    assert not list(home.rglob("thunderbird-profile-tool-backup"))
