"""``archipec demo``, and every command that it prints, typed as it is printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.command import Archipec

SCRIPTS = Path(sys.executable).parent


def shown_by(demo: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the commands that the demo printed."""
    assert demo.returncode == 0, demo.stderr
    commands = [line for line in demo.stdout.partition("look at it")[2].splitlines() if line.startswith("  ")]
    assert len(commands) == 4
    return [line.strip() for line in commands]


def run(command: str | list[str], env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    typed = isinstance(command, str)
    return subprocess.run(
        command, shell=typed, env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """What a person has who has a configuration already, and no virtual environment on the PATH."""
    path = [place for place in os.environ["PATH"].split(os.pathsep) if Path(place) != SCRIPTS]
    config = tmp_path / "mine.toml"
    config.write_text(
        '[[pipeline]]\nname = "mine"\nsource = {type = "eml", path = "x"}\nsink = [{type = "mbox", path = "y"}]\n'
    )
    return Archipec(tmp_path).env | {
        "PATH": os.pathsep.join(path),
        "ARCHIPEC_CONFIG": str(config),
        "ARCHIPEC_STATE": str(tmp_path / "mine"),
    }


@pytest.mark.parametrize(
    ("by", "name"), [("path", "demo"), ("relative", "a demo, l'archivio & 100 %"), ("module", "$HOME;x")]
)
def test_what_the_demo_prints_works_as_printed(
    by: str, name: str, env: dict[str, str], tmp_path: Path
) -> None:
    program = shutil.which("archipec", path=str(SCRIPTS))
    assert program is not None, "archipec is not installed"
    start = {
        "path": ["archipec"],
        "relative": [os.path.relpath(program, tmp_path)],
        "module": [sys.executable, "-m", "archipec"],
    }[by]
    if by == "path":
        env["PATH"] = os.pathsep.join([str(SCRIPTS), env["PATH"]])
        start = [program] if os.name == "nt" else start
    commands = shown_by(run([*start, "demo", name], env, tmp_path))
    assert [command.startswith("archipec ") for command in commands] == [by == "path"] * 4
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in (tmp_path, elsewhere):
        # Opened by hand, a page stays until it is ended.
        typed = [f"{one} --no-browser --idle 1s" if one.endswith(" view") else one for one in commands]
        status, search, view, verify = [run(command, env, folder) for command in typed]
        assert view.returncode == 0, view.stderr
        assert view.stdout.startswith("http://127.0.0.1:")
        assert status.returncode == 0, status.stderr
        assert "demo  ok" in status.stdout and "mine" not in status.stdout.replace(str(tmp_path), "")
        assert search.returncode == 0, search.stderr
        assert "pratica" in search.stdout
        assert verify.returncode == 0, verify.stderr
        assert "60 copies read back, 60 intact" in verify.stdout


def test_the_demo_leaves_a_configuration_to_try_further(env: dict[str, str], tmp_path: Path) -> None:
    program = [sys.executable, "-Im", "archipec"]
    made = run([*program, "demo", "demo"], env, tmp_path)
    shown_by(made)
    page = tmp_path / "demo" / "report.html"
    assert f"report   {page.as_uri()}" in made.stdout.splitlines()
    assert "60" in page.read_text("utf-8")
    ours = ["--config", str(tmp_path / "demo" / "archipec.toml"), "--state", str(tmp_path / "demo" / "state")]
    again = run([*program, *ours, "archive"], env, tmp_path)
    assert (again.returncode, again.stdout) == (0, "demo: nothing new\n"), again.stderr
    assert "120 copies read back, 120 intact" in run([*program, *ours, "verify"], env, tmp_path).stdout
