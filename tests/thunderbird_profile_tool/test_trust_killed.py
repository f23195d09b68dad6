"""Killed at any moment, `trust` and `undo` leave the old state or the new one; Thunderbird itself is asked which."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from archipec.simulator import Provider, to_pem
from archipec_thunderbird.certificates import ACTALIS, Certificate
from archipec_thunderbird.prefs import read_prefs_file
from archipec_thunderbird.status import SHA1_PREFERENCE, read_status
from testbed.cut_off import CutOff
from testbed.requirements import require
from testbed.seal_causes import good
from testbed.thunderbird import SUCCESS, VERIFY_UNTRUSTED, Thunderbird, drop_mbox, new_profile
from testbed.tool import Tool

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(sys.platform != "linux", reason="libraries are preloaded as on Linux"),
]

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
KILLS = 30 if FULL else 3

PROVIDER = Provider(seed=3)
ROOT = Certificate(PROVIDER.authority.root)


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory: pytest.TempPathFactory) -> CutOff:
    require("gcc")
    return CutOff(tmp_path_factory.mktemp("cut-off"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile that Thunderbird has used, with a sealed message."""
    require("thunderbird")
    profile = new_profile(tmp_path_factory.mktemp("template") / "profile")
    drop_mbox(profile, "Posta", [good(PROVIDER)])
    with Thunderbird(profile):
        pass
    return profile


class Case:
    """A copy of the profile in which one run is cut off."""

    def __init__(self, template: Path, folder: Path, command: str) -> None:
        self.profile = folder / "profile"
        shutil.copytree(template, self.profile, symlinks=True)
        root = folder / "root.pem"
        root.write_text(to_pem(ROOT.der))
        self._tool = Tool(folder)
        self._commands = {
            "trust": ("trust", "--ca", root, "--accept-sha1", "--profile", self.profile),
            "undo": ("undo", "--profile", self.profile),
        }
        self.command = command
        if command == "undo":
            self.run("trust")

    def run(self, command: str) -> None:
        self._tool(*self._commands[command])

    def start(self, environment: dict[str, str]) -> int:
        with self._tool.start(*self._commands[self.command], **environment) as process:
            process.communicate(timeout=60)
        return process.returncode

    def is_trusted(self) -> bool:
        """Whether the profile is in the new state; fails when it is in neither."""
        for name in ("cert9.db", "key4.db"):
            with closing(sqlite3.connect(self.profile / name)) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        actalis, root = read_status(self.profile, [ROOT]).authorities
        assert (actalis.web, actalis.mail) == (True, True)
        assert (root.stored, root.mail, root.row_counts) in {(False, False, False), (True, True, True)}
        return root.stored

    def accepts_sha1(self) -> bool:
        return read_prefs_file(self.profile / "prefs.js").get(SHA1_PREFERENCE) is True

    def check_end(self) -> None:
        """Both ways are still open: to the new state, and back to the old one."""
        self.run("trust")
        assert self.is_trusted()
        assert self.accepts_sha1()
        self.run("undo")
        assert not self.is_trusted()
        assert not self.accepts_sha1()


def moments(cut_off: CutOff, template: Path, folder: Path, command: str) -> Iterator[tuple[int, Case]]:
    """Yield cases, cut off at different moments of a run."""
    whole = Case(template, folder / "whole", command)
    assert whole.start(dict(cut_off.counting())) == 0
    assert cut_off.count > 20, "the changes are not seen"
    for number in sorted(random.Random(29).sample(range(1, cut_off.count + 1), min(KILLS, cut_off.count))):
        case = Case(template, folder / str(number), command)
        assert case.start(dict(cut_off.at(number))) == -signal.SIGKILL, f"change {number} was not reached"
        yield number, case


@pytest.mark.parametrize("command", ["trust", "undo"])
def test_killed_at_any_moment(cut_off: CutOff, template: Path, tmp_path: Path, command: str) -> None:
    for _, case in moments(cut_off, template, tmp_path, command):
        case.is_trusted()
        case.check_end()


def test_thunderbird_opens_what_a_kill_left(cut_off: CutOff, template: Path, tmp_path: Path) -> None:
    found = set()
    for number, case in moments(cut_off, template, tmp_path, "trust"):
        # Nobody else has looked at the databases: what SQLite left half-way is Thunderbird's to roll back.
        with Thunderbird(case.profile) as thunderbird:
            code = thunderbird.verdict("Posta").code
            assert code in (SUCCESS, VERIFY_UNTRUSTED), f"after change {number}"
            assert thunderbird.trust(ACTALIS) == (True, True)
        assert case.is_trusted() == (code == SUCCESS)
        found.add(code)
    assert not FULL or found == {SUCCESS, VERIFY_UNTRUSTED}
