"""Conformance of post-steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from archipec.contract import ContentKey, PostStep, PostStepType, Quota, RunView
from archipec.errors import ArchipecError
from archipec.testing.base import UnderTest
from archipec.testing.factories import PluginRecord, make_run
from archipec.testing.messages import nasty_messages
from archipec.testing.plugin import PluginConformance


class PostStepConformance(PluginConformance):
    """Cases for a post-step.

    Fixtures to give, besides those of `PluginConformance`:
        poststep_type: the record.
        effect: returns what the step has done, as something that can be compared (the files it wrote, the
            messages a server received); its case goes to ``expected_skips`` when nothing can be seen.
        messages: those the run stored, when the step wants special ones.
    """

    @pytest.fixture
    def poststep_type(self) -> PostStepType[Any]:
        """The record under test."""
        raise NotImplementedError("give the fixture `poststep_type`")

    @pytest.fixture
    def record(self, poststep_type: PostStepType[Any]) -> PluginRecord:
        """The record under test."""
        return poststep_type

    @pytest.fixture
    def effect(self) -> Callable[[], object] | None:
        """What the step has done so far."""
        return None

    @pytest.fixture
    def messages(self) -> Sequence[bytes]:
        """What the run stored."""
        return list(nasty_messages().values())

    def exercise(self, opened: PostStep) -> None:
        """Run the step after a run with one message."""
        opened.run(make_run([nasty_messages()["plain"]], quota=Quota(used=900, limit=1000)))

    def test_running_twice_is_running_once(
        self, under_test: UnderTest[PostStep], messages: Sequence[bytes], effect: Callable[[], object] | None
    ) -> None:
        """Rule: a step is idempotent: a run that failed is repeated with the same keys."""
        if effect is None:
            self.not_applicable("the fixture `effect` is not given")
        run = make_run(messages, quota=Quota(used=900, limit=1000))
        untouched = effect()
        with under_test.open() as step:
            step.run(run)
        once = effect()
        with under_test.open() as step:
            step.run(run)
            step.run(run)
        assert effect() == once, "a step must be idempotent: running it again changed what it did"
        assert once != untouched, (
            "the fixture `effect` must show what the step does: running it changed nothing"
        )

    def test_the_report_stays_as_it_is(
        self, under_test: UnderTest[PostStep], messages: Sequence[bytes]
    ) -> None:
        """Rule: a step looks at the run and can't change it."""
        run = make_run(messages, quota=Quota(used=900, limit=1000))
        before = copy.deepcopy(run.report)
        with under_test.open() as step:
            step.run(run)
        assert run.report == before, "a step must not change the report"

    @pytest.mark.parametrize("quota", [None, Quota(0, 1), Quota(5, 1)], ids=["none", "empty", "over"])
    def test_any_run_is_taken(self, under_test: UnderTest[PostStep], quota: Quota | None) -> None:
        """Rule: a run without messages, without quota or over quota is a run like any other."""
        with under_test.open() as step:
            step.run(make_run([], quota=quota))

    def test_a_copy_that_cannot_be_read(self, under_test: UnderTest[PostStep]) -> None:
        """Rule: a stored copy that can't be read is an error of the tree, or the step does without it."""
        lost = ContentKey.of(b"a message that no sink holds")
        empty = make_run([])
        run = RunView(
            pipeline=empty.pipeline,
            report=empty.report,
            quota=None,
            stored=lambda: iter([lost]),
            read=empty.read,
        )
        with under_test.open() as step:
            try:
                step.run(run)
            except ArchipecError as error:
                assert error.message, "an error must say what is wrong"
