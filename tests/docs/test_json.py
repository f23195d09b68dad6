"""``docs/json.md`` has every key that ``--json`` prints, and none that is never printed."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archipec import cli
from archipec.cli import plugins as plugin_commands
from archipec.custody.attention import MatterKind
from archipec.custody.pruning.rules import KeepReason
from archipec.pec.seal import Status
from archipec.pec.transactions import Outcome
from archipec.simulator import Provider, compose, mailbox, shared_authority
from archipec.testing.messages import nasty_messages
from archipec_thunderbird import cli as tool_commands
from testbed.command import Archipec
from testbed.dovecot import Dovecot
from testbed.nss import make_databases
from testbed.pages import blocks, page, section
from testbed.requirements import require
from testbed.tool import Tool

PAGE = page("json.md")
COUNTED = {"counts", "kinds", "systems", "seals", "kept", "reasons"}
"""What has an object by words that are data: a count for each."""
NAMED = {"sinks", "settled"}
"""What has an object by names that the user gave."""
ANY = {"folders"}
"""What has an object that is said to be as it is (of providers)."""

# What is on the page and not in what this test has printed: only where something is the matter.
RARE = {
    "archive": {"missing", "hint"},
    "prune": {"vanished"},
    "status": {"freeable", "missing", "altered", "rejected", "credentials_expire"},
    "verify": {"notes", "confirmed"},
    "receipts": {"reason", "status", "form", "at", "note"},
    "inspect": {"basis", "crl", "trust_list"},
    "settle": set[str](),
}


def keys_of(value: Any, parent: str = "") -> Iterator[str]:
    """Yield every key of an object and of the objects in it, but for those that are data."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if parent in COUNTED or (parent in ANY and not isinstance(inner, dict)):
                continue
            if parent in NAMED:
                yield from keys_of(inner, "")
                continue
            yield key
            yield from keys_of(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, "" if parent in NAMED | ANY else parent)


def shown(text: str) -> set[str]:
    """Return the keys in the shapes of a section: what is quoted, and not the value of another."""
    shapes = [block.text for block in blocks(text)] + re.findall(r"`({[^`]*)`", text)
    return {
        key for shape in shapes for key in re.findall(r'(?:(?<=[{,\[])|^)\s*"(\w+)"', shape, re.MULTILINE)
    }


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The keys that each command printed: a mailbox archived, verified, pruned, with much that is the matter."""
    require("dovecot")
    root = tmp_path_factory.mktemp("json")
    found: dict[str, set[str]] = defaultdict(set)
    with Dovecot(quota="1M") as server:
        for sample in mailbox(40, seed=1, size=6000):
            server.fill(sample.folder, [sample.raw])
        archipec = Archipec(
            root / "state", {"PEC_PASSWORD": server.password, "ARCHIPEC_CONFIG": str(root / "archipec.toml")}
        )

        def run(command: str, *arguments: object) -> None:
            result = archipec(*command.split(), *arguments, "--json", expect=None)
            assert result.objects, result.err
            name = command if command == "plugins list" else command.split()[0]
            for one in result.objects:
                # The tables that init writes are the user's.
                shape = {**one, "source": "", "sinks": []} if command == "init" else one
                found[name] |= set(keys_of(shape))

        (root / "provider").mkdir()
        run(
            "init",
            server.user,
            "--host",
            server.host,
            "--port",
            server.port,
            "--ca-file",
            server.ca_file,
            "--password",
            "env:PEC_PASSWORD",
            "--to",
            f"maildir:{root / 'PEC'}",
        )
        (root / "root.pem").write_text(shared_authority().root_pem)
        config = root / "archipec.toml"
        text = config.read_text("utf-8").replace(
            "[pipeline.source]", 'trust = ["root.pem"]\n[pipeline.source]', 1
        )
        text += '[[pipeline.sink]]\ntype = "conservation-directory"\npath = "provider"\noutbox = "outbox"\nrequired = false\n'
        text += '[pipeline.prune]\nolder_than = "1d"\nauto = true\nmax_share = "1%"\n'
        config.write_text(text, "utf-8")
        run("archive --dry-run")
        run("archive")
        run("settle")
        run("verify")
        run("status")
        run("runs")
        run("schedule", "--system", "cron", "--every", "night", "--print")
        run("receipts")
        run("search")
        run("index --full")
        sent = archipec("receipts", "--direction", "out", "--limit", "1", "--json", expect=None).objects[0]
        run("receipts", "--export", root / "out", sent["identificativo"] or sent["msgid"])
        run("prune --allow-large")
        victim = next((root / "PEC").rglob("cur/*"))
        victim.write_bytes(b"x" + victim.read_bytes()[1:])
        run("verify")
    loose = root / "loose"
    loose.mkdir()
    (loose / "postacert.eml").write_bytes(nasty_messages()["plain"])
    (loose / "daticert.xml").write_bytes(b"<postacert/>")
    (loose / "broken.eml").symlink_to(loose / "daticert.xml")
    run("archive", "--from", f"eml:{loose}", "--to", f"mbox:{root / 'mbox'}")
    run("todo")
    run("forget", f"eml:{loose}")
    run("archive", "--loose", "--from", f"eml:{loose}", "--to", f"mbox:{root / 'mbox'}")
    run("status")
    envelope = root / "envelope.eml"
    provider = Provider(seed=3)
    envelope.write_bytes(provider.envelope(provider.accept(compose(subject="Prova"))))
    run("inspect", envelope, "--trust", root / "root.pem")
    outside = root / "outside.eml"
    outside.write_bytes(
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nhello\r\n--b\r\n'
        + envelope.read_bytes()
        + b"\r\n--b--\r\n"
    )
    run("inspect", outside)
    run("providers")
    run("plugins list")
    return found


@pytest.mark.real
def test_every_key_that_is_printed_is_on_the_page(printed: dict[str, set[str]]) -> None:
    for command, keys in printed.items():
        text = section(PAGE, f"## `{command}`")
        missing = {key for key in keys if f'"{key}"' not in text and f"`{key}`" not in text}
        if command == "archive":  # The objects of prune and settle are in that of archive.
            missing -= shown(section(PAGE, "## `prune`")) | shown(section(PAGE, "## `settle`"))
        assert not missing - {"error", "exit_code"}, (command, missing)


@pytest.mark.real
@pytest.mark.parametrize("command", [*RARE, "init", "providers", "plugins list"])
def test_every_key_on_the_page_is_printed(printed: dict[str, set[str]], command: str) -> None:
    never = shown(section(PAGE, f"## `{command}`")) - printed[command] - RARE.get(command, set())
    if command == "inspect":
        never -= shown(PAGE[PAGE.index("A REM message") :])
    assert not never


def test_every_command_is_on_the_page() -> None:
    for command in cli._COMMANDS:
        names = (
            [f"plugins {name}" for name in plugin_commands.plugins.commands]
            if command == "plugins"
            else [command]
        )
        for name in names if command != "demo" else []:
            assert f"## `{name}`\n" in PAGE


def test_every_word_that_stands_for_a_reason_or_an_outcome_is_on_the_page() -> None:
    for heading, words in (
        ("prune", KeepReason),
        ("receipts", Outcome),
        ("inspect", Status),
        ("todo", MatterKind),
    ):
        text = section(PAGE, f"## `{heading}`")
        missing = [word.value for word in words if f"`{word.value}`" not in text]
        assert not missing, (heading, missing)


# -- the Thunderbird tool ----------------------------------------------------------------------------


@pytest.mark.real
def test_keys_of_the_thunderbird_tool(tmp_path: Path) -> None:
    require("certutil")
    profile = tmp_path / ".thunderbird" / "one"
    profile.mkdir(parents=True)
    make_databases(profile, "")
    prefs = (
        '("mail.accountmanager.accounts", "account1");',
        '("mail.account.account1.server", "server1");',
        '("mail.server.server1.type", "pop3");',
        '("mail.server.server1.hostname", "pop3s.pec.aruba.it");',
        '("mail.server.server1.userName", "studio@pec.it");',
        '("mail.server.server1.leave_on_server", false);',
    )
    (profile / "prefs.js").write_text("".join(f"user_pref{line}\n" for line in prefs))
    (profile.parent / "profiles.ini").write_text(
        "[Install1]\nDefault=one\n[Profile0]\nName=one\nIsRelative=1\nPath=one\n"
    )
    root, message = tmp_path / "root.pem", tmp_path / "message.eml"
    root.write_text(shared_authority().root_pem)
    provider = Provider(seed=3)
    message.write_bytes(provider.envelope(provider.accept(compose(subject="Prova"))))
    tool = Tool(tmp_path)
    text = section(PAGE, "## `thunderbird-profile-tool`")
    for command, arguments in (
        ("profiles", ()),
        ("check", (message, "--ca", root)),
        ("status", ("--ca", root)),
        ("trust", ("--ca", root)),
        ("undo", ()),
        ("accounts", ()),
    ):
        process = tool.start(command, *arguments, "--json")
        out, err = process.communicate(timeout=120)
        assert out, err
        keys = {key for line in out.splitlines() for key in keys_of(json.loads(line))}
        assert keys <= shown(text), (command, keys - shown(text))
    assert not [name for name in tool_commands._COMMANDS if f"`{name}`: one object" not in text]
