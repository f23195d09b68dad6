"""The worker processes that analyze: whatever a message does to one, every other message gets its answers."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from archipec.custody.analysis import pool as pool_module
from archipec.custody.analysis import process, worker
from archipec.custody.analysis.analyzer import Analyzer
from archipec.custody.analysis.pool import AnalysisPool
from archipec.custody.run import Cancellation
from archipec.errors import PermanentError, TransientError
from testbed.analyzers import Keeping, message

MESSAGES = {number: message(number) for number in range(450)}


def analyzed(*analyses: Keeping, messages: dict[int, bytes] = MESSAGES) -> AnalysisPool:
    """Analyze messages to the end; the pool that did it is returned for its errors."""
    with AnalysisPool(analyses, Cancellation()) as pool:
        pool.offer(messages.items())
        pool.finish()
    return pool


def expected(messages: dict[int, bytes]) -> dict[int, list[object]]:
    return {number: [f"Subject: {number}", len(raw)] for number, raw in messages.items()}


@pytest.fixture(params=[1, 3])
def workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(pool_module, "_most_workers", lambda **_: request.param)
    return int(request.param)


@pytest.mark.usefixtures("workers")
def test_every_analyzer_answers_for_every_message() -> None:
    one, two = Keeping("one"), Keeping("two")
    pool = analyzed(one, two)
    assert (one.answers, two.answers, pool.errors) == (expected(MESSAGES), expected(MESSAGES), [])
    assert (one.prepared, two.prepared) == (1, 1)


@pytest.mark.usefixtures("workers")
@pytest.mark.parametrize("harm", ["Die", "Hang", "Fail", "Exhaust", "Much"])
def test_a_message_that_harms_one_analyzer_costs_nothing_else(harm: str) -> None:
    messages = MESSAGES | {70: message(70, f"X-{harm}: one"), 71: message(71, f"X-{harm}: two")}
    one, two = Keeping("one", seconds=1), Keeping("two", seconds=1)
    pool = analyzed(one, two, messages=messages)
    assert one.answers == expected(messages) | {70: None}
    assert two.answers == expected(messages) | {71: None}
    assert not pool.errors


@pytest.mark.parametrize("harm", ["Die", "Hang", "Fail", "Exhaust", "Much"])
def test_what_an_analyzer_fails_at_is_tried_once_more_with_care(harm: str) -> None:
    messages = MESSAGES | {70: message(70, f"X-{harm}: one")}
    one = Keeping("one", seconds=1, careful="careful")
    pool = analyzed(one, messages=messages)
    assert one.answers == expected(messages)
    assert not pool.errors


def test_care_that_is_of_no_use_costs_the_message_alone() -> None:
    messages = MESSAGES | {70: message(70, "X-Die: one")}
    one = Keeping("one", careful="one")
    assert not analyzed(one, messages=messages).errors
    assert one.answers == expected(messages) | {70: None}


@pytest.mark.parametrize("factory", ["make_deadly", "make_broken", "make_none"])
def test_no_message_is_blamed_for_an_analyzer_that_does_not_work(factory: str) -> None:
    one = Keeping("one", factory)
    pool = analyzed(one)
    assert one.answers == {}
    (error,) = pool.errors
    assert isinstance(error, TransientError)
    assert error.message.startswith("one can't be made now: the program that does it end"), error


@pytest.mark.parametrize("python", ["", "/nowhere/python"])
def test_no_message_is_blamed_for_a_worker_that_can_t_be_started(
    python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    one = Keeping()
    pool = analyzed(one)
    assert one.answers == {}
    assert "can't be started" in pool.errors[0].message
    left = iter(MESSAGES.items())
    pool.offer(left)
    assert next(left)[0] == 0, "nothing is taken for nothing"


def test_a_bug_in_what_records_is_raised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[ZeroDivisionError] = []

    def record(*_: object) -> None:
        raised.append(ZeroDivisionError("a bug of the host"))
        raise raised[-1]

    monkeypatch.setattr(pool_module, "_most_workers", lambda **_: 1)
    monkeypatch.setattr(Keeping, "record", record)
    with AnalysisPool([Keeping()], Cancellation()) as pool:
        with pytest.raises(ZeroDivisionError):
            pool.feed(((number, message(number)) for number in itertools.count()), (0,))
        # As another worker's thread may do at the same time.
        pool._recorders[0].add(worker.Answers(0, [(0, None)], 1))
    assert len(raised) == 1


def test_an_analysis_that_can_t_be_prepared_costs_the_other_nothing() -> None:
    error = PermanentError("its file can't be read")
    one, two = Keeping("one", unprepared=error), Keeping("two")
    pool = analyzed(one, two)
    assert (one.answers, two.answers, pool.errors) == ({}, expected(MESSAGES), [error])


def test_an_analysis_that_can_t_record_costs_the_other_nothing() -> None:
    error = PermanentError("its disk is full")
    one, two = Keeping("one", refuse=error), Keeping("two")
    pool = analyzed(one, two)
    assert (one.answers, two.answers, pool.errors) == ({}, expected(MESSAGES), [error])


def test_answers_are_recorded_many_at_a_time() -> None:
    messages = {number: message(number) for number in range(1600)}
    one = Keeping()
    analyzed(one, messages=messages)
    assert one.answers == expected(messages)
    assert one.times <= 4


def test_a_large_message_is_read_from_its_file_which_is_then_removed(tmp_path: Path) -> None:
    files = {number: tmp_path / str(number) for number in range(3)}
    for number, file in files.items():
        file.write_bytes(message(number, "X-Die: one" if number == 1 else "", size=3 << 20))
    one, two = Keeping("one"), Keeping("two")
    with AnalysisPool([one, two], Cancellation()) as pool:
        pool.offer(files.items())
        pool.finish()
    sizes = {number: None if number == 1 else (3 << 20) + len(message(number)) for number in files}
    assert {number: answer and answer[1] for number, answer in one.answers.items()} == sizes
    assert set(two.answers) == set(files) and None not in two.answers.values()
    assert not list(tmp_path.iterdir())


def test_messages_in_memory_and_in_files_go_to_a_worker_together(tmp_path: Path) -> None:
    messages: dict[int, bytes] = {number: message(number) for number in range(1, 9)}
    given: dict[int, bytes | Path] = dict(messages)
    for number in (2, 3, 8):
        given[number] = tmp_path / str(number)
        (tmp_path / str(number)).write_bytes(messages[number])
    one = Keeping()
    with AnalysisPool([one], Cancellation()) as pool:
        pool.offer(given.items())
        pool.finish()
    assert one.answers == expected(messages)


def test_only_the_analyses_that_lack_a_message_see_it() -> None:
    one, two = Keeping("one"), Keeping("two")
    with AnalysisPool([one, two], Cancellation()) as pool:
        assert pool.feed(MESSAGES.items(), (1,))
        pool.finish()
    assert (one.answers, two.answers) == ({}, expected(MESSAGES))


def test_what_there_is_no_room_for_is_not_taken() -> None:
    """A worker that stands still is given what may be held, and no more; and nobody waits for it."""
    size = pool_module._HELD_BYTES // 4
    left = iter([(number, message(number, "X-Hang: one", size=size)) for number in range(9)])
    one = Keeping("one", seconds=600)
    with AnalysisPool([one], Cancellation()) as pool:
        pool.offer(left)
        pool.offer(left)
    assert [number for number, _ in left] == [4, 5, 6, 7, 8]
    assert one.answers == {}


def test_messages_are_pulled_as_fast_as_they_are_analyzed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_most_workers", lambda **_: 1)
    pulled = most = 0

    def pull() -> Iterator[tuple[int, bytes]]:
        nonlocal pulled, most
        for number in range(2000):
            pulled += 1
            most = max(most, pulled - len(one.answers))
            yield number, message(number)

    one = Keeping()
    with AnalysisPool([one], Cancellation()) as pool:
        assert pool.feed(pull(), (0,))
        pool.finish()
    assert one.answers == expected({number: message(number) for number in range(2000)})
    held = 5 * pool_module._CHUNK_MESSAGES
    assert most <= held + pool_module._TOGETHER + pool_module._CHUNK_MESSAGES


def test_the_wish_to_stop_ends_everything_at_once() -> None:
    stop = Cancellation()
    one = Keeping("one", seconds=600)
    with AnalysisPool([one], stop) as pool:
        pool.offer([(1, message(1, "X-Hang: one"))])
        threading.Timer(0.2, stop.set).start()
        pool.finish()
        assert not pool.feed(MESSAGES.items(), (0,))
    assert one.answers == {} and not pool.errors


def test_no_worker_is_started_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    one = Keeping()
    with AnalysisPool([one], Cancellation()) as pool:
        pool.offer([])
        assert pool.feed([], (0,))
        pool.finish()
    assert one.prepared == 0


@pytest.mark.parametrize(("count", "workers"), [(1, 1), (64, 1), (200, 2), (1000, 4)])
def test_there_are_never_more_workers_than_there_is_to_do(
    count: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_most_workers", lambda **_: 4)
    messages = {number: message(number) for number in range(count)}
    one = Keeping()
    with AnalysisPool([one], Cancellation()) as pool:
        pool.offer(messages.items())
        assert len(pool._hands) == workers
        pool.finish()
    assert one.answers == expected(messages)


@pytest.mark.parametrize(("seconds", "workers"), [(0.0, 4), (600.0, 1)])
def test_more_workers_are_started_for_work_that_takes_long(
    seconds: float, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_most_workers", lambda **_: 4)
    monkeypatch.setattr(pool_module, "_WORTH_A_START", seconds)
    messages = {number: message(number) for number in range(1000)}
    one = Keeping()
    with AnalysisPool([one], Cancellation()) as pool:
        assert pool.feed(messages.items(), (0,))
        assert len(pool._hands) == workers
        pool.finish()
    assert one.answers == expected(messages)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it isn't told which ones a process may use")
def test_a_processor_is_left_to_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    for usable, meanwhile, after in ((1, 1, 1), (2, 1, 2), (3, 2, 3), (64, 4, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, usable=usable: set(range(usable)))
        assert pool_module._most_workers(spared=1) == meanwhile
        assert pool_module._most_workers() == after


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_worker_killed_from_outside_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by the kernel, when memory is short."""
    receive = worker._Process.receive
    killed: list[int] = []

    def receive_and_kill(self: worker._Process) -> object:
        received = receive(self)
        if len(killed) < 3:
            killed.append(self._process.pid)
            os.kill(self._process.pid, signal.SIGKILL)
        return received

    monkeypatch.setattr(worker._Process, "receive", receive_and_kill)
    one = Keeping()
    pool = analyzed(one)
    assert (one.answers, pool.errors, len(killed)) == (expected(MESSAGES), [], 3)


def test_a_worker_ends_with_the_pipe_it_reads_from() -> None:
    """Where the system has no way to tie it to the command."""
    running = worker._Process({0: Analyzer(factory="testbed.analyzers:make_reader", settings="one")})
    try:
        running.send(process.Request((0,), [message(1)]))
        assert running.receive() == (0, [["Subject: 1", len(message(1))]], 24)
        running._requests.close()
        assert running._process.wait(60) == 0
    finally:
        running.end()


def test_each_message_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(process, "_give_time", given.append)
    analyzer = Analyzer(factory="", seconds=17)
    process._answer(io.BytesIO(), 0, [b"one", b"two"], analyzer, lambda _: None)
    assert given == [17, 0, 17, 0]


def test_answers_go_off_before_they_fill_the_memory() -> None:
    """What comes of a few messages may be much larger than they are."""
    sent = io.BytesIO()
    analyzer = Analyzer(factory="")
    process._answer(sent, 3, [b""] * 40, analyzer, lambda _: "x" * 300_000)
    sent.seek(0)
    frames = []
    while (data := process.read_frame(sent, process._FRAME + analyzer.largest)) is not None:
        frames.append(json.loads(data))
    assert len(frames) == 10
    assert [number for number, _ in frames] == [3] * 10
    assert sum(len(answers) for _, answers in frames) == 40


@pytest.mark.parametrize(
    "answers", [b"[0,[1,2,3]]", b"[7,[1]]", b"[0,[]]", b"[0,0]", b"{}", b"[" * 100_000, b"\xff"]
)
def test_a_worker_that_answers_nonsense_is_ended(answers: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hostile message makes of a worker can't make the command do anything but ask again."""
    read = process.read_frame
    left = [answers]

    def read_nonsense(stream: object, most: int) -> bytes | None:
        data = read(stream, most)  # type: ignore[arg-type]
        return left.pop() if left and data and data != b"[]" else data

    monkeypatch.setattr(worker, "read_frame", read_nonsense)
    one = Keeping()
    messages = {1: message(1), 2: message(2)}
    assert not analyzed(one, messages=messages).errors
    assert one.answers == expected(messages)
