"""Which thread is in a plugin's code, and for how long without a sign of life."""

from __future__ import annotations

import logging
import threading

import pytest

from archipec import supervision
from archipec.errors import ArchipecError, ConfigError, TransientError
from archipec.supervision import (
    SupervisionLimits,
    beat,
    in_plugin,
    join,
    limits_from,
    plugin_code,
    pulled,
    supervised,
    waiting,
)

PLUGIN = '"acme" (archipec-acme 1.0)'


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("0", SupervisionLimits(end=float("inf"))),
        ("600", SupervisionLimits()),
        ("10", SupervisionLimits(warn=5, end=10, hurried=10, load=5)),
        ("1.5", SupervisionLimits(warn=0.75, end=1.5, hurried=1.5, load=0.75)),
    ],
)
def test_limits(text: str, limits: SupervisionLimits) -> None:
    assert limits_from(text) == limits


@pytest.mark.parametrize("text", ["", "soon", "-1", "inf", "nan"])
def test_limits_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="ARCHIPEC_PLUGIN_PATIENCE must be a number of seconds"):
        limits_from(text)


def test_code_of_the_host_inside_a_plugin_s_is_the_host_s() -> None:
    assert not in_plugin()
    with plugin_code(PLUGIN, "put"):
        assert in_plugin()
        with waiting():
            assert not in_plugin()
            with plugin_code(PLUGIN, "read"):
                assert in_plugin()
        assert in_plugin()
    assert not in_plugin()


def test_what_a_plugin_pulls_is_made_by_the_host() -> None:
    def items() -> list[bool]:
        return [in_plugin()]

    with plugin_code(PLUGIN, "fetch"):
        assert list(pulled(one for _ in range(2) for one in items())) == [False, False]
        assert in_plugin()


class Silence:
    """A thread in a plugin's code, and the watch, which looks when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes: int = 0
        monkeypatch.setattr(supervision, "_start_watch", lambda: None)
        monkeypatch.setattr(supervision, "_limits", SupervisionLimits(warn=10, end=100, hurried=20, load=5))
        monkeypatch.setattr(supervision, "_moved", lambda _thread: self.bytes)
        monkeypatch.setattr(supervision, "_hurried", False)
        self.errors: list[ArchipecError] = []
        self.entered, self.leave, self.beaten = threading.Event(), threading.Event(), threading.Event()
        self.wants_beat = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.entered.wait(60)
        (self.task,) = [one for one in supervision._tasks if one.thread is self.thread]

    def _run(self) -> None:
        with supervised(self.errors.append), plugin_code(PLUGIN, "commit"):
            self.entered.set()
            while not self.leave.is_set():
                if self.wants_beat.wait(0.01):
                    self.wants_beat.clear()
                    beat()
                    self.beaten.set()

    def pass_by(self, seconds: float) -> None:
        """Let time pass, a second at a time."""
        for _ in range(int(seconds)):
            supervision._look_at(self.task, 1.0)


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Silence:
    # What a test leaves behind is not left to the next one.
    monkeypatch.setattr(supervision, "_tasks", set())
    return Silence(monkeypatch)


def test_a_silent_plugin_is_named_once_then_left(silence: Silence, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        silence.pass_by(99)
    (record,) = caplog.records
    assert PLUGIN in record.getMessage() and "(commit)" in record.getMessage()
    assert not silence.errors
    silence.pass_by(5)
    (error,) = silence.errors
    assert isinstance(error, TransientError) and PLUGIN in error.message
    join(silence.thread)
    silence.leave.set()
    assert silence.thread.is_alive(), "it never comes back into the host's code"


@pytest.mark.parametrize("sign", ["beat", "bytes"])
def test_a_sign_of_life_starts_the_time_anew(silence: Silence, sign: str) -> None:
    silence.pass_by(90)
    if sign == "beat":
        silence.wants_beat.set()
        assert silence.beaten.wait(60)
    else:
        silence.bytes += 1
    silence.pass_by(90)
    assert not silence.errors
    silence.leave.set()
    silence.thread.join(60)
    assert not silence.thread.is_alive()


def test_who_asked_to_stop_waits_less(silence: Silence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "_hurried", True)
    silence.pass_by(25)
    assert len(silence.errors) == 1
