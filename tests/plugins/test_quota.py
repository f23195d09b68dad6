"""The quota step: says at 70 and 90 % how full the mailbox is and what prune would free."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from archipec.contract import PostStepType, Quota
from archipec.testing import PostStepConformance, make_context, make_run
from archipec_plugins.quota import QUOTA


class TestConformance(PostStepConformance):
    """The kit that third parties run."""

    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_running_twice_is_running_once": "it only looks",
        "test_parse_reports_every_problem_at_once": "there are no settings",
        "test_where_tells_places_apart": "there is one",
        "test_a_place_that_cannot_be_used": "there is none",
    }

    @pytest.fixture
    def poststep_type(self) -> PostStepType[Any]:
        return QUOTA

    @pytest.fixture
    def table(self) -> Mapping[str, object]:
        return {}


@pytest.mark.parametrize(
    ("quota", "freeable", "said"),
    [
        (None, 5, ""),
        (Quota(699, 1000), 5, ""),
        (Quota(0, 0), 5, ""),
        (
            Quota(700_000_000, 1_000_000_000),
            250_000_000,
            "70 % full (700.0 MB of 1,000.0 MB): it is filling up; `archipec prune` would free 250.0 MB",
        ),
        (
            Quota(1_900_000, 2_000_000),
            None,
            "95 % full (1.9 MB of 2.0 MB): what arrives may soon be refused; no rule in [pipeline.prune] frees any of it",
        ),
    ],
)
def test_what_it_says(
    quota: Quota | None, freeable: int | None, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    view = replace(make_run(quota=quota), freeable=freeable)
    with caplog.at_level(logging.WARNING), QUOTA.open({}, make_context(tmp_path)) as step:
        step.run(view)
    assert caplog.messages == ([f"the mailbox of studio is {said}"] if said else [])
