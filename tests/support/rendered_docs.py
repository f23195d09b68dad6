"""Renders the pages of ``docs/`` that are made of the code: the contract's docstrings, every option of every plugin, and
every command.

    .venv/bin/python tests/support/rendered_docs.py

writes them anew; a test fails as long as one of them is stale.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from archipec import cli
from archipec.config.prune_policy import OPTIONS as PRUNE_OPTIONS
from archipec.config.selection import OPTIONS as SELECTION_OPTIONS
from archipec.conservation.sink import SHARED_OPTIONS
from archipec.options import Option
from archipec.pec.kind import GROUPS, KINDS
from archipec.plugins.registry import Registry
from archipec_thunderbird import cli as tool

DOCS = Path(__file__).resolve().parents[2] / "docs"

_CONTRACT = """\
# The contract

What a plugin sees of archipec, as the code says it. This page is made from the docstrings
(`tests/support/rendered_docs.py`); how to write a plugin is in [plugins.md](plugins.md).
"""

_MODULES = (
    ("archipec.contract", "Records, what they make, and what these may be able to do besides."),
    ("archipec.hookspecs", "The hooks: how archipec finds the records."),
    ("archipec.options", "Settings as data."),
    ("archipec.message", "What travels between sources, host and sinks."),
    ("archipec.errors", "What goes wrong, how far it reaches, and the exit code."),
    ("archipec.conservation.provider", "What a conservation provider writes."),
    ("archipec.conservation.exchange", "What it gets, and what it answers."),
    ("archipec.conservation.dropfolder", "Providers that take files from a folder."),
    ("archipec.durability", "Files that survive power loss, and are nothing but files."),
    ("archipec.paths", "Names from outside made safe."),
    ("archipec.xml", "XML from outside."),
)

_OPTIONS = """\
# Every setting

Of every source, archive and step that comes with archipec. In `archipec.toml` they are keys of the table
(`[pipeline.source]`, `[[pipeline.sink]]`, `[[pipeline.step]]`) whose `type` is the name in the heading; in a URL they are
parameters (`mbox:DIR?split=year`), but for those that a part of the URL gives. Every table also takes `type` and `name`, a
sink `required` (true unless given), a source `connections` (how many at a time) and `provider` (a preset of
`archipec providers`). A secret is a reference: `env:NAME`, `file:PATH`, `command:CMD` or `keyring:SERVICE`.

This page is made from the plugins' records (`tests/support/rendered_docs.py`). What a pipeline has besides is in
[usage.md](usage.md#configuration).
"""


_COMMANDS = """\
# Every command

As `--help` says it; this page is made from the code (`tests/support/rendered_docs.py`). How they work together is in
[usage.md](usage.md), what `--json` prints in [json.md](json.md), the Thunderbird tool in [thunderbird.md](thunderbird.md).
"""


def rendered() -> dict[Path, str]:
    """Return the text of every page that is made of the code."""
    return {
        DOCS / "contract.md": _contract_page(),
        DOCS / "options.md": _options_page(),
        DOCS / "commands.md": _commands_page(),
    }


def _contract_page() -> str:
    parts = [_CONTRACT]
    for module, about in _MODULES:
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        source = Path(spec.origin).read_text("utf-8")
        parts.append(f"## `{module}`\n\n{about}\n\n```python\n{_outline(source)}\n```\n")
    return "\n".join(parts)


def _outline(source: str) -> str:
    """Return what a module shows to others: its docstring, and names, signatures and docstrings of what is public."""
    lines = source.splitlines()
    tree = ast.parse(source)
    public = _public(tree)
    shown = [*_lines_of(lines, tree.body[0])]
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name in public:
            shown += ["", "", *_class(lines, node)]
        elif isinstance(node, ast.FunctionDef) and node.name in public:
            shown += ["", "", *_head(lines, node)]
    return "\n".join(shown)


def _public(tree: ast.Module) -> set[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
        ):
            return set(ast.literal_eval(node.value))
    return {
        node.name
        for node in tree.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and not node.name.startswith("_")
    }


def _class(lines: Sequence[str], node: ast.ClassDef) -> Iterator[str]:
    yield from _head(lines, node)
    for index, member in enumerate(node.body[1:] if ast.get_docstring(node) else node.body):
        if isinstance(member, ast.FunctionDef) and (
            not member.name.startswith("_") or member.name == "__init__"
        ):
            yield ""
            yield from _head(lines, member)
        elif isinstance(member, (ast.AnnAssign, ast.Assign)) or _is_text(member):
            if index == 0:
                yield ""
            yield from _lines_of(lines, member)


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _head(lines: Sequence[str], node: ast.ClassDef | ast.FunctionDef) -> list[str]:
    """Return the decorators, the signature and the docstring."""
    start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    first = node.body[0]
    end = (first.end_lineno or first.lineno) if _is_text(first) else _signature_end(lines, node)
    return list(lines[start - 1 : end])


def _signature_end(lines: Sequence[str], node: ast.ClassDef | ast.FunctionDef) -> int:
    number = node.lineno
    while not lines[number - 1].split("  #")[0].rstrip().endswith(":"):
        number += 1
    return number


def _lines_of(lines: Sequence[str], node: ast.stmt) -> Sequence[str]:
    return lines[node.lineno - 1 : node.end_lineno]


def _options_page() -> str:
    built_in = [plugin for plugin in Registry.load().plugins if plugin.distribution == "archipec"]
    parts = [_OPTIONS]
    for kind, title in (("source", "Sources"), ("sink", "Archives and other sinks"), ("post-step", "Steps")):
        parts.append(f"## {title}\n")
        records = [plugin.record for plugin in built_in if plugin.kind == kind]
        parts += [_record(record) for record in sorted(records, key=lambda one: one.name)]
    parts.append("## Every conservation sink\n")
    parts.append(_table(SHARED_OPTIONS))
    parts.append("## `[pipeline.select]`\n")
    parts.append(_table(SELECTION_OPTIONS, url=False))
    parts.append("## `[pipeline.prune]`\n")
    parts.append(_table(PRUNE_OPTIONS, url=False))
    parts.append("## Kinds and groups\n")
    parts.append("What `only` and `except` take: a group, or a kind.\n")
    parts += ["| kind | in the groups |", "|---|---|"]
    for kind in KINDS:
        groups = ", ".join(f"`{group}`" for group, members in GROUPS.items() if kind in members)
        parts.append(f"| `{kind}` | {groups} |")
    return "\n".join(parts) + "\n"


def _commands_page() -> str:
    parts = [_COMMANDS]
    groups: tuple[tuple[str, Any], ...] = (("archipec", cli._cli), ("thunderbird-profile-tool", tool._cli))
    for program, group in groups:
        parts.append(f"## `{program}`\n{_parameters(group)}")
        parts += _commands(program, group)
    return "\n".join(parts)


def _commands(program: str, group: Any) -> Iterator[str]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from _commands(f"{program} {name}", command)
            continue
        arguments = [_argument(one) for one in command.params if isinstance(one, click.Argument)]
        usage = " ".join([program, name, *arguments])
        yield f"### `{program} {name}`\n\n```\n{usage}\n```\n\n{_help(command)}{_parameters(command)}"


def _help(command: click.Command) -> str:
    """Return a command's help in Markdown: what click must not wrap is lines to type."""
    lines: list[str] = []
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if not paragraph.startswith("\b\n"):
            lines += [paragraph, ""]
            continue
        for line in paragraph[2:].splitlines():
            lines.append(f"    {line.strip()}" if line.startswith("  ") else f"\n{line}\n")
        lines.append("")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines).strip()) + "\n"


def _parameters(command: click.Command) -> str:
    options = [one for one in command.params if isinstance(one, click.Option)]
    if not options:
        return ""
    rows = ["| option | meaning |", "|---|---|"]
    for option in options:
        names = ", ".join(f"`{word}`" for word in (*option.opts, *option.secondary_opts))
        metavar = "" if option.is_flag or option.count else f" {_metavar(option)}"
        rows.append(f"| {names}{metavar} | {(option.help or '').replace('|', chr(92) + '|')} |")
    return "\n" + "\n".join(rows) + "\n"


def _metavar(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return " or ".join(f"`{choice}`" for choice in option.type.choices)
    return (option.metavar or option.type.name.partition(" ")[0].upper()).replace("|", "\\|")


def _argument(argument: click.Argument) -> str:
    name = argument.metavar or str(argument.name).upper()
    return name if argument.metavar or argument.nargs != -1 else f"{name}..."


def _record(record: Any) -> str:
    schemes = ", ".join(f"`{scheme}:`" for scheme in record.schemes)
    is_conservation = record.name.startswith("conservation-")
    shared = {option.name for option in SHARED_OPTIONS} if is_conservation else set()
    own = [option for option in record.options if option.name not in shared]
    more = "\nAnd those of [every conservation sink](#every-conservation-sink).\n" if is_conservation else ""
    return f"### `{record.name}` ({schemes})\n\n{record.summary[:1].upper()}{record.summary[1:]}.\n\n{_table(own)}{more}"


def _table(options: Iterable[Option], *, url: bool = True) -> str:
    heads = ["option", "meaning", "unless given", *(["in a URL"] if url else [])]
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for option in options:
        unit = f" ({option.unit})" if option.unit else ""
        cells = [f"`{option.name}`", option.help.replace("|", "\\|") + unit, _default(option)]
        if url:
            cells.append(
                {"": "parameter", "path": "the path", "user": "before the @"}.get(option.part, option.part)
            )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _default(option: Option) -> str:
    if option.secret:
        return "asked for"
    if option.required:
        return "required"
    value = option.default
    if value is None or value in ((), ""):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{value}`"


def main() -> None:
    """Write the pages."""
    for path, text in rendered().items():
        path.write_text(text, "utf-8", newline="\n")


if __name__ == "__main__":
    main()
