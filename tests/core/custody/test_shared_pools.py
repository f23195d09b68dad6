"""The workers of a command stay from one pipeline to the next, as long as that is safe and they do the same."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from archipec.custody.analysis.shared import SharedPools
from archipec.custody.run import Cancellation
from archipec.errors import PermanentError
from testbed.analyzers import Keeping, message


def analyze(
    shared: SharedPools, *analyses: Keeping, count: int = 3, finish: bool = True
) -> Sequence[Keeping]:
    with shared.lent(analyses, Cancellation()) as pool:
        pool.offer((number, message(number)) for number in range(count))
        if finish:
            pool.finish()
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
        with shared.lent([first], Cancellation()) as pool:
            pool.offer([(1, message(1))])
            analyze(shared, second)
            pool.finish()
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
        with shared.lent([hanging], Cancellation()) as pool:
            pool.offer([(1, message(1, "X-Hang: one"))])
        (next_one,) = analyze(shared, Keeping("one", seconds=600), count=2)
    assert hanging.answers == {}
    assert sorted(next_one.answers) == [0, 1]


def test_after_trouble_the_next_pipeline_begins_anew() -> None:
    refusing, following = Keeping("one", "make_telltale", refuse=PermanentError("full")), telltale()
    with SharedPools() as shared:
        analyze(shared, refusing)
        analyze(shared, following)
    assert len(following.answers) == 3
