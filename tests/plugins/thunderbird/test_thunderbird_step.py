"""The thunderbird step looks, or sets what is missing, and says what it can't do; on databases of NSS's own certutil."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import PostStepType
from archipec.errors import AuthError, ConfigError
from archipec.testing import PostStepConformance
from archipec.testing.factories import configure, make_context, make_run
from archipec_plugins.thunderbird import THUNDERBIRD_STEP
from archipec_thunderbird.certificates import actalis_root
from archipec_thunderbird.lock import ProfileLock
from archipec_thunderbird.status import read_status
from testbed.command import Archipec
from testbed.nss import add_trust, make_databases
from testbed.requirements import require
from testbed.seal_causes import good


def new_profile(folder: Path, flags: str, password: str = "") -> Path:
    """A profile in which somebody gave the Actalis root this trust."""
    require("certutil")
    folder.mkdir()
    make_databases(folder, password)
    (folder / "prefs.js").touch()
    add_trust(folder, actalis_root().der, flags, password)
    return folder


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return new_profile(tmp_path / "profile", "C,,")


def trusted(profile: Path) -> tuple[bool | None, bool | None]:
    """Whether the profile trusts Actalis for (web, mail)."""
    actalis = read_status(profile).authorities[0]
    return actalis.web, actalis.mail


class TestThunderbirdStep(PostStepConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_parse_reports_every_problem_at_once": "its options take any text, and true or false",
    }

    @pytest.fixture
    def poststep_type(self) -> PostStepType[Any]:
        return THUNDERBIRD_STEP

    @pytest.fixture
    def table(self, profile: Path) -> Mapping[str, object]:
        return {"profile": str(profile), "trust": True}

    @pytest.fixture
    def other_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"profile": str(new_profile(tmp_path / "other", "C,,"))}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"profile": str(tmp_path / "nowhere")}

    @pytest.fixture
    def effect(self, profile: Path) -> Callable[[], object]:
        return lambda: trusted(profile)


def run(tmp_path: Path, profile: Path, *, trust: bool) -> None:
    config = configure(THUNDERBIRD_STEP, {"profile": str(profile), "trust": trust})
    with THUNDERBIRD_STEP.open(config, make_context(tmp_path)) as step:
        step.run(make_run([]))


def test_it_only_looks_unless_told(tmp_path: Path, profile: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run(tmp_path, profile, trust=False)
    assert 'does not trust "Actalis Authentication Root CA" for mail' in caplog.text
    assert "thunderbird-profile-tool trust" in caplog.text
    assert trusted(profile) == (True, False)
    run(tmp_path, profile, trust=True)
    assert trusted(profile) == (True, True)
    caplog.clear()
    run(tmp_path, profile, trust=False)
    assert caplog.text == ""


def test_a_primary_password_is_a_person_s_business(tmp_path: Path) -> None:
    profile = new_profile(tmp_path / "locked", "C,,", "segreto")
    with pytest.raises(AuthError, match="primary password"):
        run(tmp_path, profile, trust=True)
    assert trusted(profile) == (True, False)


def test_no_profile(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no profile of Thunderbird"):
        run(tmp_path, tmp_path / "gone", trust=False)


def test_a_pipeline_runs_it(tmp_path: Path, profile: Path) -> None:
    (tmp_path / "eml").mkdir()
    (tmp_path / "eml" / "1.eml").write_bytes(good())
    archipec = Archipec(tmp_path / "state")
    arguments = ("archive", "--from", f"eml:{tmp_path / 'eml'}", "--to", f"maildir:{tmp_path / 'PEC'}")
    with ProfileLock(profile):
        refused = archipec(*arguments, "--then", f"thunderbird:{profile}?trust=true", expect=5)
    assert "Thunderbird is running" in refused.err
    assert trusted(profile) == (True, False)
    archipec(*arguments, "--then", f"thunderbird:{profile}?trust=true")
    assert trusted(profile) == (True, True)
