"""Pieces of work side by side: so many at once, none with what another uses, and one that hangs is gone on without."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from archipec import supervision
from archipec.custody.run import Cancellation
from archipec.custody.side_by_side import Abandoned, Work, side_by_side
from archipec.supervision import SupervisionLimits, plugin_code


class Count:
    """How many are at work at once, at most."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = 0

    def __enter__(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.now -= 1


def test_no_more_than_the_limit_run_at_once() -> None:
    count, together = Count(), threading.Barrier(3, timeout=60)

    def act(_stop: Cancellation) -> int:
        with count:
            together.wait()  # three at once, or never
            return 1

    work = [Work(frozenset({str(number)}), act) for number in range(9)]
    ended = dict(side_by_side(work, 3, Cancellation()))
    assert (sorted(ended), count.most) == (list(range(9)), 3)


def test_what_uses_the_same_thing_takes_turns_and_the_others_do_not_wait() -> None:
    count, other = Count(), threading.Event()

    def shared(_stop: Cancellation) -> int:
        with count:
            assert other.wait(60)
            return 1

    def alone(_stop: Cancellation) -> int:
        other.set()
        return 2

    work = [Work(frozenset({"archive"}), shared) for _ in range(3)] + [Work(frozenset({"own"}), alone)]
    assert dict(side_by_side(work, 4, Cancellation())) == {0: 1, 1: 1, 2: 1, 3: 2}
    assert count.most == 1


def test_a_stop_reaches_those_at_work_and_begins_no_other() -> None:
    stop = Cancellation()
    begun = []

    def act(own: Cancellation) -> str:
        begun.append(own)
        stop.set()
        return "stopped" if own.wait(60) else "not stopped"

    work = [Work(frozenset({str(number)}), act) for number in range(5)]
    assert set(dict(side_by_side(work, 2, stop)).values()) == {"stopped"}
    assert len(begun) <= 2


def test_a_bug_is_raised_when_the_others_have_ended() -> None:
    ended = []

    def bug(_stop: Cancellation) -> int:
        raise LookupError("a bug")

    def other(own: Cancellation) -> int:
        assert own.wait(60)
        ended.append(1)
        return 1

    work = [Work(frozenset({"a"}), bug), Work(frozenset({"b"}), other), Work(frozenset({"c"}), other)]
    with pytest.raises(LookupError):
        list(side_by_side(work, 2, Cancellation()))
    assert ended == [1]


def test_who_takes_no_more_outcomes_waits_for_those_at_work() -> None:
    """The ledger is closed when this has ended: nobody may be at it then."""
    other_begun, ended = threading.Event(), []

    def first(_stop: Cancellation) -> int:
        assert other_begun.wait(60)
        return 1

    def other(own: Cancellation) -> int:
        other_begun.set()
        assert own.wait(60)
        ended.append(1)
        return 2

    work = [Work(frozenset({"a"}), first), Work(frozenset({"b"}), other)]
    outcomes = side_by_side(work, 2, Cancellation())
    assert next(outcomes) == (0, 1)
    outcomes.close()
    assert ended == [1]


@pytest.fixture
def impatient() -> Iterator[None]:
    before = supervision._limits
    supervision.configure(SupervisionLimits(warn=0.05, end=0.2))
    yield
    supervision.configure(before)
    # In this process nothing is held by it.
    for one in [one for one in supervision._tasks if one.left_behind]:
        supervision._tasks.discard(one)


def test_one_that_never_comes_out_of_a_plugin_is_gone_on_without(impatient: None) -> None:
    released = threading.Event()

    def hang(_stop: Cancellation) -> int:
        with plugin_code('"acme" (acme 1.0)', "scan"):
            released.wait(60)
        return 1

    work = [Work(frozenset({"a"}), hang), Work(frozenset({"b"}), lambda _stop: 2)]
    outcomes = dict(side_by_side(work, 2, Cancellation()))
    assert outcomes[1] == 2
    abandoned = outcomes[0]
    assert isinstance(abandoned, Abandoned) and "acme" in abandoned.error.message
