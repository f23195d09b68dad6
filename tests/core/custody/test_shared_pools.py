"""The workers of a command stay from one pipeline to the next, as long as that is safe and they do the same."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import pytest

from archipec.custody.analysis import pool
from archipec.custody.analysis.shared import SharedPools
from archipec.custody.run import Cancellation
from archipec.errors import PermanentError
from testbed.analyzers import Keeping, message


def analyze(
    shared: SharedPools, *analyses: Keeping, count: int = 3, finish: bool = True
) -> Sequence[Keeping]:
    with shared.lent(analyses, Cancellation()) as lent:
        lent.offer((number, message(number)) for number in range(count))
        if finish:
            lent.finish()
    return analyses


def telltale(name: str = "one") -> Keeping:
    return Keeping(name, "make_telltale")


def processes(*analyses: Keeping) -> set[int]:
    return {pid for one in analyses for pid in one.answers.values()}


def test_one_worker_serves_one_pipeline_after_the_other_and_ends_with_the_command() -> None:
    first, second, third = telltale(), telltale(), telltale()
    with SharedPools() as shared:
        for one in (first, second, third):
            analyze(shared, one)
        (pid,) = processes(first, second, third)
        assert [len(one.answers) for one in (first, second, third)] == [3, 3, 3]
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_pipelines_side_by_side_have_workers_of_their_own() -> None:
    first, second, third = telltale(), telltale(), telltale()
    with SharedPools() as shared:
        with shared.lent([first], Cancellation()) as lent:
            lent.offer([(1, message(1))])
            analyze(shared, second)
            lent.finish()
        analyze(shared, third)
    assert processes(first).isdisjoint(processes(second))
    assert processes(third) <= processes(first, second)


def test_who_wants_something_else_found_out_gets_another_worker() -> None:
    first, other, more = telltale("one"), telltale("two"), (telltale("two"), telltale("three"))
    with SharedPools() as shared:
        analyze(shared, first)
        analyze(shared, other)
        analyze(shared, *more)
    assert len(processes(first)) == len(processes(other)) == len(processes(*more)) == 1
    assert len(processes(first, other, *more)) == 3


def test_what_a_pipeline_leaves_unfinished_is_not_answered_to_the_next() -> None:
    hanging = Keeping("one", seconds=600)
    with SharedPools() as shared:
        with shared.lent([hanging], Cancellation()) as lent:
            lent.offer([(1, message(1, "X-Hang: one"))])
        (next_one,) = analyze(shared, Keeping("one", seconds=600), count=2)
    assert hanging.answers == {}
    assert sorted(next_one.answers) == [0, 1]


def test_after_trouble_the_next_pipeline_begins_anew() -> None:
    refusing, following = Keeping("one", "make_telltale", refuse=PermanentError("full")), telltale()
    with SharedPools() as shared:
        analyze(shared, refusing)
        analyze(shared, following)
    assert len(following.answers) == 3


@pytest.mark.parametrize(
    ("processors", "pipelines", "workers"), [(8, 1, 4), (8, 4, 2), (8, 8, 1), (2, 64, 1)]
)
def test_pipelines_side_by_side_share_the_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int, pipelines: int, workers: int
) -> None:
    """Workers are as many as processors, or one a pipeline: each takes memory."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(processors)), raising=False)
    assert pool._most_workers(pipelines) == workers
    with SharedPools(pipelines) as shared, shared.lent([telltale()], Cancellation()) as lent:
        assert lent._pools == pipelines


def test_a_pool_with_answers_that_are_not_recorded_is_not_kept() -> None:
    """The next pipeline would never record them, and the index that they are for is closed when the command ends."""
    first, second = telltale(), telltale()
    with SharedPools() as shared:
        with shared.lent([first], Cancellation()) as lent:
            lent.offer([(1, message(1))])
            lent._count_done(lent._done.get())
            assert not first.answers
        assert len(first.answers) == 1
        analyze(shared, second)
    assert len(first.answers) == 1 and len(second.answers) == 3
