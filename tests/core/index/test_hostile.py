"""Files that are made to do harm: whoever reads them ends in time, in bounds, and reads the next one."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from archipec.index.attachments import AttachmentReader
from archipec.index.extraction.limits import TOO_LONG, TOO_MUCH_UNPACKED, ReadingBudget
from archipec.index.record import MAX_TEXT, IndexedMessage
from archipec.pec.mime import entity
from archipec.simulator import Attachment, compose
from archipec.simulator.files import signed, zipped
from testbed.hostile_files import hostile_files, raw_zip
from testbed.indexing import indexed, text_in, with_files

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
COUNT, TOGETHER = (10_000, 250) if FULL else (120, 120)
LAST = Attachment("dopo.txt", b"l'ultima parola", "text/plain")

# Reads each message from its file as a worker does, with its time, and says how much memory that took.
READER = """
import json, resource, signal, sys
from pathlib import Path
from archipec.index.analyzer import SECONDS, ReadingSettings, make_analyzer
from archipec.pec.anchors import Anchors
from archipec.pec.buffer import FileBuffer
analyze = make_analyzer(ReadingSettings(anchors=Anchors()))
for path in sorted(Path(sys.argv[1]).iterdir()):
    if hasattr(signal, "SIGALRM"):
        signal.alarm(SECONDS)
    with path.open("rb") as file:
        answer = analyze(FileBuffer(file))
    print(json.dumps([path.name, answer, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts memory otherwise")
@pytest.mark.parametrize("seed", range(COUNT // TOGETHER))
def test_each_is_read_within_bounds_and_so_is_what_follows(seed: int, tmp_path: Path) -> None:
    names = []
    for number, (name, content) in enumerate(hostile_files(TOGETHER, seed)):
        raw = compose(attachments=[Attachment(name, content, "application/octet-stream"), LAST])
        (tmp_path / f"{number:04}").write_bytes(raw)
        names.append(name)
    reader = subprocess.run(
        [sys.executable, "-I", "-c", READER, str(tmp_path)], capture_output=True, text=True, check=False
    )
    answers = [json.loads(line) for line in reader.stdout.splitlines()]
    assert reader.returncode == 0, (reader.stderr, names[len(answers)], tmp_path)
    assert len(answers) == len(names)
    for name, (number, answer, _) in zip(names, answers, strict=True):
        message = IndexedMessage.from_json(answer)
        assert text_in(message, LAST.name) == "l'ultima parola", (number, name)
        assert sum(len(one.text) for one in message.texts) <= MAX_TEXT
        assert len(message.attachments) < 3000
        # What nothing foresaw is a mistake of the reader's.
        odd = [
            one for one in message.attachments if "while reading it" in one.problem or "memory" in one.problem
        ]
        assert not odd, (number, name, odd)
    peak = max(used for *_, used in answers) // (1 << 10 if sys.platform == "linux" else 1 << 20)
    assert peak < 1000, f"{peak} MiB"


@pytest.mark.parametrize(
    "whole", [zipped({"a.txt": b"parola " * 99, "b.txt": b"altra " * 99}), signed(signed(b"parola " * 99))]
)
def test_what_is_unpacked_of_one_message_is_bounded(whole: bytes) -> None:
    reader = AttachmentReader("", budget=ReadingBudget(unpacked=1000))
    reader.read_part(entity(b"\r\n" + whole))
    assert [one.problem for one in reader.files if one.problem] == [TOO_MUCH_UNPACKED]
    ample = AttachmentReader("", budget=ReadingBudget(unpacked=10_000))
    ample.read_part(entity(b"\r\n" + whole))
    assert not [one.problem for one in ample.files if one.problem]


def test_unpacking_stops_where_the_bound_is() -> None:
    reader = AttachmentReader("", budget=ReadingBudget(unpacked=1000))
    reader.read_part(entity(b"\r\n" + zipped({"a.txt": random.Random(1).randbytes(1 << 20)})))
    assert reader.budget.unpacked > -(1 << 17)


def test_reading_ends_when_its_time_is_over() -> None:
    reader = AttachmentReader("", budget=ReadingBudget(ends=0.0))
    reader.read_part(entity(b"\r\n" + zipped({"a.txt": b"parola"})))
    assert [one.problem for one in reader.files] == [TOO_LONG]


def test_a_text_without_end_is_cut() -> None:
    for media_type in (b"text/plain", b"text/html"):
        raw = b"Content-Type: " + media_type + b"\r\n\r\n" + b"parola " * (1 << 20)
        (text,) = indexed(raw).texts
        assert len(text.text) <= MAX_TEXT
        assert "only the first 4 MiB of its text are read" in indexed(raw).problems


def test_a_file_too_large_is_not_even_decoded() -> None:
    message = indexed(with_files(("grande.bin", bytes(50 << 20))))
    assert message.attachments[0].problem == "not read: 68 MiB, more than the 64 MiB that are read"


def test_a_bomb_is_named() -> None:
    message = indexed(
        with_files(("a.zip", raw_zip([("b", bytes(1000), 1 << 30), ("c", bytes(1000), 16 << 20)])))
    )
    assert [one.problem for one in message.attachments] == [
        "",
        "not read: 1024 MiB, more than the 32 MiB that are read",
        "expands from 1000 to 16777216 bytes; refused as a possible zip bomb",
    ]
