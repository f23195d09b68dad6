"""The Thunderbird sink keeps the contract, as far as a view can."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import SinkType
from archipec.testing import SinkConformance
from archipec_plugins.thunderbird import THUNDERBIRD_SINK
from testbed.thunderbird import new_profile


class TestThunderbird(SinkConformance):
    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_a_copy_behind_a_link_is_none": "its files belong to Thunderbird, and prove nothing",
        "test_settling_is_idempotent": "what is written needs no confirmation",
        "test_parse_reports_every_problem_at_once": "only one option can hold a mistake that parse sees",
        "test_a_copy_that_is_gone": "what somebody deleted stays deleted",
        "test_a_damaged_copy_is_none_and_is_stored_again": "Thunderbird may change what it shows",
    }

    @pytest.fixture
    def sink_type(self) -> SinkType[Any]:
        return THUNDERBIRD_SINK

    @pytest.fixture
    def profile(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return new_profile(tmp_path_factory.mktemp("thunderbird") / "profile")

    @pytest.fixture
    def table(self, profile: Path) -> Mapping[str, object]:
        return {"path": str(profile)}

    @pytest.fixture
    def other_table(self, profile: Path) -> Mapping[str, object]:
        return {"path": str(profile), "folder": "PEC"}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path)}
