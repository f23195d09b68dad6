"""What both command lines share: an error is shown the same way, a misspelt command is named, text steers no terminal."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from archipec import cli
from archipec.cli.terminal import on_signals
from archipec.custody.run import Cancellation
from archipec.errors import ConfigError, TransientError
from archipec.language import speaking
from archipec.supervision import user_interrupted
from archipec.terminal import printable, say_error
from archipec_thunderbird import cli as tool
from testbed.command import Archipec
from testbed.tool import Tool


@pytest.fixture(params=["archipec", "thunderbird-profile-tool"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> Archipec | Tool:
    return Archipec(tmp_path / "state") if request.param == "archipec" else Tool(tmp_path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Perch\u00e9\u00a0no", "Perch\u00e9 no"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("left\u202eright", "left\\u202eright"),
        ("\udcff", "\\udcff"),
    ],
)
def test_text_steers_no_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_error_is_shown_with_the_way_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say_error(ConfigError(["one\x1b", "two"], hint="do it"), "studio")
    assert capsys.readouterr() == ("", "error: studio: one\\x1b\nerror: studio: two\nhint: do it\n")
    monkeypatch.setattr(sys, "argv", ["x", "--json"])
    say_error(TransientError("later"))
    assert json.loads(capsys.readouterr().err) == {"error": ["later"], "hint": "", "exit_code": 5}


def test_a_command_that_is_none(command: Archipec | Tool) -> None:
    """The nearest one is named, else all."""
    assert 'no such command "statsu", did you mean "status"?' in command("statsu", expect=2).err
    assert 'no such command "xyz"; there are ' in command("xyz", expect=2).err


@pytest.mark.parametrize("program", [cli, tool], ids=["archipec", "thunderbird-profile-tool"])
def test_the_list_of_commands_says_what_the_help_of_each_begins_with(program: ModuleType) -> None:
    for name, summary in program._COMMANDS.items():
        command = program._cli.get_command(click.Context(program._cli), name)
        assert command is not None
        assert f"{command.get_short_help_str(limit=1000).removesuffix('.')}." == summary


def test_a_signal_is_answered_in_the_language_of_the_user(capfd: pytest.CaptureFixture[str]) -> None:
    """A document that is being made may be in another one."""
    stop = Cancellation()
    with on_signals(stop), speaking("it"):
        signal.raise_signal(signal.SIGTERM)
    assert stop.is_set()
    assert "stopping" in capfd.readouterr().err
    user_interrupted.clear()
