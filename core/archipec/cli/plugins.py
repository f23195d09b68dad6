"""``archipec plugins``: what is installed, and what of it is broken."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from archipec.errors import DONE, ConfigError
from archipec.language import N_, _
from archipec.plugins.registry import Registry, strict_plugins

__all__ = ["plugins"]

_COLUMNS = ("hook", "name", "schemes", "summary", "distribution", "version", "status")
_HEADINGS = (
    N_("hook"), N_("name"), N_("schemes"), N_("summary"), N_("distribution"), N_("version"), N_("status"),
)  # fmt: skip


@click.group()
def plugins() -> None:
    """What sources, sinks and post-steps are installed."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_plugins(*, as_json: bool) -> int:
    """List every plugin, with its distribution, and why a broken one is not used.

    Exit code 4 when one is broken and ARCHIPEC_STRICT_PLUGINS=1 is set.
    """
    registry = Registry.load(strict=False)
    rows = _rows(registry)
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    elif _is_terminal():
        _print_table(rows)
    else:
        for row in rows:
            click.echo("\t".join(_cells(row)))
    return ConfigError.exit_code if registry.problems and strict_plugins() else DONE


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _rows(registry: Registry) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "hook": plugin.kind,
            "name": plugin.record.name,
            "schemes": list(plugin.record.schemes),
            "summary": plugin.record.summary,
            "distribution": plugin.distribution,
            "version": plugin.version,
            "entry_point": plugin.entry_point,
            "status": "ok",
            "reason": "",
        }
        for plugin in registry.plugins
    ]
    rows += [
        {
            "hook": problem.kind or "",
            "name": problem.names[0] if problem.names else problem.entry_point,
            "schemes": list(problem.names[1:]),
            "summary": "",
            "distribution": problem.distribution,
            "version": problem.version,
            "entry_point": problem.entry_point,
            "status": "broken",
            "reason": problem.message,
        }
        for problem in registry.problems
    ]
    return rows


def _cells(row: Mapping[str, Any]) -> list[str]:
    cells = {**row, "schemes": " ".join(f"{scheme}:" for scheme in row["schemes"])}
    cells["summary"] = row["reason"] or _(row["summary"])
    return [str(cells[column]) for column in _COLUMNS]


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*map(_, _HEADINGS))
    for row in rows:
        # As Text: a plugin's words are no markup.
        table.add_row(*map(Text, _cells(row)), style="red" if row["status"] == "broken" else None)
    Console().print(table)
