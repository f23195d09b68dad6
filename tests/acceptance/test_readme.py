"""What the README shows is what happens: its commands on a real Dovecot, their output line by line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from archipec.simulator import mailbox, shared_authority
from testbed.command import Archipec
from testbed.dovecot import Dovecot

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
HOME, HOST, PLAN = "/home/anna", "imaps.example.it", "3f9c0e6b2a41"

# What is another each time: how long it took, when it was, and the id of a plan.
_CHANGES = (
    (re.compile(r"(?<=B in )[0-9.]+(?= s\))"), "0.3"),
    (
        re.compile(r"(?<=succeeded  )[0-9-]+ [0-9]+:[0-9]+, .+ ago"),
        "2026-11-29 10:23, less than a minute ago",
    ),
    (re.compile(r"(?<=last try   )[0-9-]+ [0-9]+:[0-9]+"), "2026-11-29 10:23"),
    (re.compile(r"(?<=last run   )[0-9-]+ [0-9]+:[0-9]+"), "2026-11-29 10:23"),
    (re.compile(r"(?<=--plan )[0-9a-f]{12}"), PLAN),
    (re.compile(r"(?<=next: )\S+(?= archive)"), "archipec"),
)


def transcripts() -> list[tuple[str, list[str]]]:
    """Return every command of the README that is shown with its output, in order."""
    shown: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", README, re.DOTALL | re.MULTILINE):
        for line in filter(None, block.splitlines()):
            if line.startswith("$ "):
                shown.append((line[2:], []))
            else:
                shown[-1][1].append(line)
    return shown


def as_shown(text: str, server: Dovecot, home: Path) -> list[str]:
    """Return output with the names of the README in the place of this test's."""
    text = text.replace(f"{server.host}:{server.port}", HOST).replace(server.host, HOST)
    text = text.replace(str(home), HOME)
    for pattern, shown in _CHANGES:
        text = pattern.sub(shown, text)
    return text.splitlines()


@pytest.mark.real
def test_its_commands_do_and_say_what_it_shows(dovecot: Dovecot, archipec: Archipec, tmp_path: Path) -> None:
    home = tmp_path / "anna"
    config = home / ".config" / "archipec" / "archipec.toml"
    config.parent.mkdir(parents=True)
    archipec.env |= {"ARCHIPEC_CONFIG": str(config), "COLUMNS": "80"}
    for sample in mailbox(60, seed=1, size=6000):
        dovecot.fill(sample.folder, [sample.raw])
    plan = ""
    for command, expected in transcripts():
        name, *words = shlex.split(command.replace(PLAN, plan or PLAN))
        assert name == "archipec"
        if words[0] == "init":
            given = words.index("--host")
            server = ("--host", dovecot.host, "--port", str(dovecot.port), "--ca-file", str(dovecot.ca_file))
            words[given : given + 2] = server
            words[words.index("maildir:PEC")] = f"maildir:{home / 'PEC'}"
        result = archipec(*words, expect=None)
        assert as_shown(result.out + result.err, dovecot, home) == expected, command
        assert result.code == (3 if "--missing" in words else 0)
        if words[0] == "init":
            # What a real provider's mail needs no line for.
            (home / "root.pem").write_text(shared_authority().root_pem)
            trust = f"trust = ['{home / 'root.pem'}']\n[pipeline.source]"
            config.write_text(config.read_text("utf-8").replace("[pipeline.source]", trust, 1), "utf-8")
        plan = "".join(re.findall(r"(?<=--plan )[0-9a-f]{12}", result.err)) or plan


def test_it_has_two_commands_for_a_clone_and_stays_short() -> None:
    assert set(re.findall(r"\bmake [a-z]+", README)) == {"make demo", "make test"}
    assert len(README.splitlines()) <= 200


def test_it_shows_every_exit_code_of_the_program() -> None:
    from archipec import errors

    rows = set(map(int, re.findall(r"^\| ([0-9]+) \|", README, re.MULTILINE)))
    defined = {value.exit_code for value in vars(errors).values() if hasattr(value, "exit_code")} - {None}
    assert rows == {
        errors.DONE,
        errors.USAGE,
        errors.BUG,
        *(code for code in defined if isinstance(code, int)),
    }
