"""What the command line prints: data and talk apart, secrets masked, and nothing that can't be written stops the work."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archipec import masking
from archipec.cli import output
from archipec.errors import TransientError
from archipec.supervision import plugin_code

SECRET = "a-long-secret"


@pytest.fixture(autouse=True)
def hidden(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One secret is known."""
    for name, value in (("_hidden", set()), ("_forms", set()), ("_encoded", set()), ("_pattern", None)):
        monkeypatch.setattr(masking, name, value)
    masking.hide(SECRET)
    yield


class Streams:
    """Standard output and standard error over two pipes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._data, data = os.pipe()
        self._talk, talk = os.pipe()
        self._raws = [output._Raw(data), output._Raw(talk)]
        self._ends = [self._data, data, self._talk, talk]
        self.talk = output._Text(self._raws[1], None, None)
        self.data = output._Text(self._raws[0], None, self.talk)
        monkeypatch.setattr(output, "_data", self._raws[0])

    def written(self) -> tuple[str, str]:
        """Return what came out of both so far."""
        self.data.flush()
        self.talk.flush()
        for end in (self._data, self._talk):
            os.set_blocking(end, False)
        return self._read(self._data), self._read(self._talk)

    @staticmethod
    def _read(end: int) -> str:
        try:
            return os.read(end, 1 << 16).decode()
        except BlockingIOError:
            return ""

    def reader_leaves(self) -> None:
        os.close(self._data)
        self._ends.remove(self._data)

    def close(self) -> None:
        for end in self._ends:
            os.close(end)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> Iterator[Streams]:
    made = Streams(monkeypatch)
    yield made
    made.close()


def test_data_and_talk_stay_apart_and_secrets_are_in_neither(streams: Streams) -> None:
    streams.data.write(f"data {SECRET}\n")
    streams.talk.write(f"talk {SECRET}\n")
    assert streams.written() == ("data ***\n", "talk ***\n")
    assert output.failure() is None


def test_what_a_plugin_prints_is_talk(streams: Streams) -> None:
    with plugin_code('"acme" (archipec-acme 1.0)', "commit"):
        streams.data.write("hello\n")
        streams.data.flush()
    streams.data.write("data\n")
    assert streams.written() == ("data\n", "hello\n")


def test_masked_json_is_the_same_json(streams: Streams) -> None:
    masking.hide("stored")
    value = {"stored": 5, "error": f'said "{SECRET}" and stored \N{SNOWMAN}'}
    streams.data.write(json.dumps(value) + "\n" + json.dumps({"n": 1}) + "\n")
    first, second = streams.written()[0].splitlines()
    assert json.loads(first) == {"stored": 5, "error": 'said "***" and *** \N{SNOWMAN}'}
    assert json.loads(second) == {"n": 1}


def test_a_text_that_only_begins_like_json_is_masked_too(streams: Streams) -> None:
    streams.data.write(f"{{not json: {SECRET}\n")
    assert streams.written()[0] == "{not json: ***\n"


def test_a_name_that_has_no_encoding_is_shown_escaped(streams: Streams) -> None:
    streams.data.write("caf\udce9.eml\n")
    assert streams.written()[0] == "caf\\udce9.eml\n"


def test_a_reader_that_leaves_has_had_enough(streams: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    # Here, not in the fixture: pytest puts its own in place when a test begins.
    monkeypatch.setattr(sys, "stdout", streams.data)
    streams.reader_leaves()
    streams.data.write("more\n")
    assert output.failure() is None


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "no room left on its disk"),
        (errno.EIO, "input/output error"),
        (errno.EBADF, "standard output is closed"),
    ],
)
def test_what_can_t_be_written_is_said_once_and_dropped(
    streams: Streams, monkeypatch: pytest.MonkeyPatch, number: int, says: str
) -> None:
    monkeypatch.setattr(sys, "stdout", streams.data)
    tried: list[int] = []

    def write(descriptor: int, data: object) -> int:
        tried.append(descriptor)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", write)
    for _ in range(3):
        streams.data.write("lost\n")
    failure = output.failure()
    assert isinstance(failure, TransientError) and says in failure.message
    assert len(tried) == 1, "nothing is tried again where it failed"


def test_closed_output_that_nobody_wrote_to_is_no_failure(
    streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_data", output._Raw(1, OSError(errno.EBADF, "closed")))
    assert output.failure() is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    raw = output._Raw(descriptor)
    monkeypatch.setattr(output, "_data", raw)
    monkeypatch.setattr(sys, "stdout", output._Text(raw, None, None))
    try:
        sys.stdout.write("data\n")
        failure = output.failure()
    finally:
        os.close(descriptor)
    assert failure is not None and "no room left on its disk" in failure.message
