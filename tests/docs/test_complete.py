"""Nothing that a user can meet is missing in the docs, and no link in them leads nowhere."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from archipec import cli, contract, errors
from archipec.config import pipeline, secrets
from archipec.pec.kind import GROUPS, KINDS
from archipec.plugins.registry import Registry
from archipec_thunderbird import cli as tool
from testbed.pages import DOCS, ROOT, blocks

PAGES = (
    *DOCS.glob("*.md"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
)
USERS = "\n".join(
    path.read_text("utf-8")
    for path in PAGES
    if path.name not in ("CHANGELOG.md", "CONTRIBUTING.md", "contract.md")
)


def commands(group: Any, names: tuple[str, ...] = ()) -> list[tuple[str, click.Command]]:
    """Return every command of a group and of its groups, with its full name."""
    context = click.Context(group)
    found: list[tuple[str, click.Command]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found += commands(command, (*names, name))
        else:
            found.append((" ".join((*names, name)), command))
    return found


@pytest.mark.parametrize(
    ("program", "group"), [("archipec", cli._cli), ("thunderbird-profile-tool", tool._cli)]
)
def test_every_command_and_every_option_of_one_is_in_the_docs(program: str, group: Any) -> None:
    options = set()
    for name, command in commands(group):
        assert f"{program} {name}" in USERS, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                options |= {word for word in parameter.opts if word.startswith("--")}
    for parameter in group.params:
        options |= {word for word in parameter.opts if word.startswith("--")}
    missing = {option for option in options - {"--help", "--version", "--verbose"} if option not in USERS}
    assert not missing


def test_every_option_of_every_built_in_plugin_is_in_the_docs() -> None:
    for plugin in Registry.load().plugins:
        if plugin.distribution == "archipec":
            record: Any = plugin.record
            assert f"`{record.name}`" in USERS
            for word in (*(option.name for option in record.options), *(f"{one}:" for one in record.schemes)):
                assert f"`{word}`" in USERS, (record.name, word)


def test_every_setting_of_a_pipeline_is_in_the_docs() -> None:
    for key in pipeline._PIPELINE_KEYS:
        assert f"[pipeline.{key}]" in USERS or f"`{key}`" in USERS or f"{key} = " in USERS, key


def test_every_kind_group_and_secret_reference_is_in_the_docs() -> None:
    assert not [word for word in (*KINDS, *GROUPS) if f"`{word}`" not in USERS]
    assert not [scheme for scheme in secrets._KINDS if f"`{scheme}:" not in USERS]


def test_every_variable_of_the_environment_is_in_the_docs() -> None:
    named = set()
    for module in (*(ROOT / "core").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")):
        named |= set(re.findall(r"\bARCHIPEC_[A-Z_]+\b", module.read_text("utf-8")))
    assert named, "nothing was read"
    assert not {name for name in named if name not in USERS}


def test_every_ability_and_every_error_is_in_the_docs() -> None:
    names = {name for name in contract.__all__ if name.startswith("Supports")}
    names |= {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    assert not {name for name in names if f"`{name}`" not in USERS} - {"ArchipecError", "Scope"}


def test_every_line_type_on_the_disk_is_in_the_docs() -> None:
    """Lines are written by one function, whose argument begins with the letter of the line's type."""
    formats = (DOCS / "formats.md").read_text("utf-8")
    types = set()
    for module in (*(ROOT / "core").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")):
        for call in re.findall(r"checked_line\((f?\"[^\"]*)\"", module.read_text("utf-8")):
            types |= set(re.findall(r"^f?\"([A-Z])\b", call))
    assert types >= {"A", "C", "E", "M", "R", "V", "Z"}
    rows = set(re.findall(r"^\| `([A-Z])\b", formats, re.MULTILINE))
    assert types | {"P"} <= rows


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        page = (path.parent / file).resolve() if file else path
        assert page.exists(), target
        assert not anchor or anchor in anchors(page.read_text("utf-8")), target


def test_the_docs_use_no_metaphors() -> None:
    for path in PAGES:
        words = set(
            re.findall(r"\b(?:house|houses|floor|floors|homeless)\b", path.read_text("utf-8").lower())
        )
        assert words <= ({"floor"} if path.name == "performance.md" else set()), (path.name, words)


def command_lines() -> list[tuple[str, list[str]]]:
    """Return (page, words) of every command of archipec's that a page tells to type."""
    found = []
    for path in PAGES:
        text = path.read_text("utf-8")
        shown = [block.text for block in blocks(text) if block.language in ("", "console")]
        for lines in (*shown, "\n".join(re.findall(r"^    (\S.*)", text, re.MULTILINE))):
            for line in lines.replace("\\\n", " ").splitlines():
                words = line.strip().removeprefix("$ ")
                if re.match(r"(?:archipec|thunderbird-profile-tool) [a-z-]", words) and "..." not in words:
                    found.append((path.name, [*shlex.split(words.split(" > ")[0], comments=True)]))
    return found


def test_every_command_that_a_page_shows_is_understood() -> None:
    lines = command_lines()
    assert len(lines) > 60
    for page, (program, *words) in lines:
        group: Any = cli._cli if program == "archipec" else tool._cli
        while isinstance(group, click.Group) and words:
            # Options before the command.
            name, *words = group.make_parser(click.Context(group)).parse_args(list(words))[1]
            command = group.get_command(click.Context(group), name)
            assert command is not None, (page, program, name)
            group = command
        try:
            group.make_context(group.name, list(words), resilient_parsing=True)
        except click.UsageError as error:
            pytest.fail(f"{page}: {program} {group.name} {shlex.join(words)}: {error.message}")


def test_every_configuration_that_a_page_shows_is_understood(tmp_path: Path) -> None:
    (tmp_path / "archipec.toml").write_text("")
    registry, seen = Registry.load(), 0
    for path in PAGES:
        for block in blocks(path.read_text("utf-8")):
            if block.language != "toml" or "pipeline" not in block.text:
                continue
            text = block.text
            if "[[pipeline]]" not in text:
                text = f'[[pipeline]]\nname = "shown"\n{text}'
            if not re.search(r"^\[\[pipeline\]\]\nname", text, re.MULTILINE):
                text = text.replace("[[pipeline]]", '[[pipeline]]\nname = "shown"', 1)
            if "[pipeline.source]" not in text:
                text += '[pipeline.source]\ntype = "eml"\npath = "mail"\n'
            if "[[pipeline.sink]]" not in text:
                text += '[[pipeline.sink]]\ntype = "maildir"\npath = "PEC"\n'
            if 'type = "conservation-sftp"' in text:
                pytest.importorskip("paramiko")
            (tmp_path / "archipec.toml").write_text(text, "utf-8")
            pipeline.load(tmp_path / "archipec.toml", registry)
            seen += 1
    assert seen >= 4


@pytest.mark.skipif(os.name == "nt", reason="paths as other systems write them")
def test_the_folders_are_where_the_docs_say(monkeypatch: pytest.MonkeyPatch) -> None:
    from platformdirs.macos import MacOS
    from platformdirs.unix import Unix

    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for system, kind in (("Linux", Unix), ("macOS", MacOS)):
        places = kind("archipec", appauthor=False)
        config, state = (
            path.replace(str(Path.home()), "~") for path in (places.user_config_dir, places.user_state_dir)
        )
        assert f"| {system} | `{config}/archipec.toml` | `{state}` |" in USERS
