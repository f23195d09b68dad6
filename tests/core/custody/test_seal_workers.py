"""The worker processes that judge: whatever a message does to one, every message gets its verdict."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from archipec.custody.seals import process as judge_process
from archipec.custody.seals import worker as judges_module
from archipec.custody.seals.worker import SealWorkers, _Worker
from archipec.errors import TransientError
from archipec.pec.anchors import Anchors
from archipec.simulator import mailbox


class Deadly(bytes):
    """A message that ends the process that takes it in."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def test_verdicts_come_in_order_for_every_message() -> None:
    samples = list(mailbox(150, seed=31, size=7000))
    with SealWorkers(Anchors()) as judges:
        verdicts = list(judges.judge((number, sample.raw) for number, sample in enumerate(samples)))
    assert [number for number, _ in verdicts] == list(range(150))
    statuses = {verdict.status for _, verdict in verdicts}
    assert statuses == {"untrusted", "unsigned"}
    assert [verdict.record["kind"] for _, verdict in verdicts] == [sample.kind for sample in samples]


def test_a_message_that_kills_its_worker_costs_the_others_nothing() -> None:
    samples = list(mailbox(6, seed=31, size=7000))
    messages = [(number, sample.raw) for number, sample in enumerate(samples)]
    messages.insert(3, (99, Deadly(b"From: x\r\n\r\n")))
    with SealWorkers(Anchors()) as judges:
        verdicts = dict(judges.judge(iter(messages)))
    assert verdicts[99].status == "malformed"
    assert "can't be judged" in verdicts[99].record["seal"]["reason"]
    assert [verdicts[number].record["kind"] for number in range(6)] == [sample.kind for sample in samples]


def test_a_worker_that_ends_at_every_message_blames_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges_module, "_HARMLESS", Deadly(b"Subject: harmless\r\n\r\n"))
    with SealWorkers(Anchors()) as judges, pytest.raises(TransientError, match="can't be judged now"):
        list(judges.judge([(1, Deadly(b"From: x\r\n\r\n"))]))


def test_each_message_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(judge_process, "_give_time", given.append)
    monkeypatch.setattr(judge_process, "_judge", lambda raw, anchors: (raw,))
    judge_process._judge_all([b"one", b"two"], Anchors())
    assert given == [judge_process._SECONDS, judge_process._SECONDS, 0]
    assert judge_process._SECONDS > 0


def test_a_worker_ends_with_the_pipe_it_reads_from() -> None:
    """Where the system has no way to tie it to the command, or a thread has started it."""
    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(_Worker, Anchors()).result()
    try:
        worker.send([(0, b"From: x\r\n\r\n")])
        assert len(worker.receive()) == 1
        worker._requests.close()
        assert worker._process.wait(60) == 0
    finally:
        worker.end()
