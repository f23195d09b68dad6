"""`archipec.index.analyzer`, in worker processes: what a file does to one costs no other message anything."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest

from archipec.custody.analysis.analyzer import Analysis, Analyzer, Answer
from archipec.custody.analysis.pool import AnalysisPool
from archipec.custody.run import Cancellation
from archipec.index.analyzer import FACTORY, LARGEST_ANSWER, ReadingSettings
from archipec.index.attachments import HARMFUL
from archipec.index.record import IndexedMessage
from archipec.pec.anchors import Anchors
from archipec.simulator import Attachment, compose
from archipec.simulator.files import pdf
from testbed.hostile_files import inflating_pdf
from testbed.indexing import TRUSTED


class Reading(Analysis):
    """Keeps what was read, by number."""

    undone = "the messages can't be read"

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.read: dict[int, IndexedMessage] = {}

    def prepare(self) -> Analyzer:
        return Analyzer(
            factory=FACTORY,
            settings=ReadingSettings(anchors=TRUSTED),
            careful=ReadingSettings(anchors=TRUSTED, names_only=True),
            memory=self.memory,
            largest=LARGEST_ANSWER,
        )

    def record(self, answers: Sequence[Answer]) -> None:
        self.read |= {number: IndexedMessage.from_json(answer) for number, answer in answers}


def read(messages: dict[int, bytes], memory: int = 1 << 30) -> dict[int, IndexedMessage]:
    reading = Reading(memory)
    with AnalysisPool([reading], Cancellation()) as pool:
        pool.offer(messages.items())
        pool.finish()
    assert not pool.errors
    return reading.read


@pytest.mark.skipif(
    sys.platform != "linux", reason="where nothing bounds a process's memory, nothing ends it"
)
def test_a_file_that_ends_the_worker_costs_its_message_the_text_of_its_files_alone() -> None:
    harmless = compose(subject="innocuo", attachments=[Attachment("a.pdf", pdf("parola"))])
    bomb = Attachment("bomba.pdf", inflating_pdf(60 << 20))
    deadly = compose(subject="bomba", text="corpo", attachments=[Attachment("a.pdf", pdf("parola")), bomb])
    messages = {1: harmless, 2: deadly, 3: harmless}
    found = read(messages, memory=300 << 20)
    assert [found[number].subject for number in (1, 2, 3)] == ["innocuo", "bomba", "innocuo"]
    assert [one.text for one in found[1].texts][-1] == "parola"
    assert [one.text for one in found[2].texts] == ["corpo"]
    assert [(one.path, one.problem) for one in found[2].attachments] == [
        ("a.pdf", HARMFUL),
        ("bomba.pdf", HARMFUL),
    ]
    assert found[3] == found[1]


def test_text_of_any_script_fits_into_an_answer() -> None:
    raw = compose(attachments=[Attachment("a.txt", ("\u4e2d" * 400_000).encode(), "text/plain")] * 3)
    assert sum(len(one.text) for one in read({1: raw})[1].texts) > 1_000_000


def test_settings_travel() -> None:
    import pickle

    settings: Any = ReadingSettings(anchors=Anchors((b"x",)), names_only=True)
    assert pickle.loads(pickle.dumps(settings)) == settings
