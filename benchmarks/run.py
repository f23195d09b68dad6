"""Measures first downloads and runs that find nothing new: archipec beside mbsync and a floor in C.

Real Dovecot on loopback, over TLS, with and without a delay; the tools take turns. Nothing is asserted about times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
# This folder is a package of the checkout, and so is the test bed; neither is installed.
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests" / "support")]

from benchmarks import corpus, disk, native, report, scenarios, tools
from testbed import requirements

TOOLS = ("archipec", "judged", "three", "mbsync", "floor")
# What more it costs to judge seals, and to fill three archives, one scenario tells.
EXTRAS = ("judged", "three")
WITH_EXTRAS = "small"


def main(arguments: list[str] | None = None) -> int:
    """Run the scenarios asked for and print their table; 0 when every tool did every one."""
    options = _parser().parse_args(arguments)
    native.install_missing()
    if trouble := requirements.missing("dovecot"):
        _say(trouble)
        return 1
    chosen = [one for one in scenarios.SCENARIOS if not options.scenario or one.name in options.scenario]
    if options.quick:
        chosen = [one.quick() for one in chosen]
    done: list[scenarios.Results] = []
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        compared = list(_tools(temporary, options.tool or TOOLS))
        equipment = scenarios.Equipment(
            temporary=temporary,
            cache=options.cache or corpus.default_cache(),
            disk=options.disk,
            slow_fsync=native.compiled("slow_fsync", temporary),
            delay_proxy=native.compiled("delay_proxy", temporary),
        )
        with scenarios.disk_for_tools(equipment, size=1 << 30, files=10_000) as directory:
            machine = _machine(directory)
        _say(", ".join(f"{name} {value}" for name, value in machine.items()))
        for scenario in chosen:
            _say(f"{scenario.name}: {scenario.count:,} messages of about {scenario.size:,} bytes")
            try:
                taking_part = [
                    one for one in compared if one.name not in EXTRAS or scenario.name == WITH_EXTRAS
                ]
                done.append(scenarios.measure(scenario, taking_part, options.runs, equipment))
            except scenarios.NotPossible as error:
                _say(f"left out: {error}")
    print(report.table(done))
    print(report.NOTES)
    if options.json:
        everything = {"machine": machine, "scenarios": [report.as_json(one) for one in done]}
        options.json.write_text(json.dumps(everything, indent=1) + "\n", "utf-8")
    return 0 if len(done) == len(chosen) and not any(one.problems for one in done) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small mailboxes, once: to see that it works")
    parser.add_argument(
        "--scenario",
        action="append",
        choices=[one.name for one in scenarios.SCENARIOS],
        help="only this one (repeatable)",
    )
    parser.add_argument(
        "--tool", action="append", choices=TOOLS, help="only this one (repeatable); by default all"
    )
    parser.add_argument("--runs", type=int, default=3, help="downloads by each tool (default: 3)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every single run to FILE")
    parser.add_argument("--cache", metavar="DIR", type=Path, help="where the mail to download is kept")
    parser.add_argument(
        "--disk",
        metavar="DIR",
        type=Path,
        help="let the tools write here (default: a fresh ext4 in an image file where that can be mounted, "
        "else the system's temporary folder)",
    )
    return parser


def _tools(temporary: Path, wanted: Sequence[str]) -> Iterator[tools.Tool]:
    """Those that are here and wanted; what is missing is said."""
    if "archipec" in wanted:
        yield tools.Archipec()
    if "judged" in wanted:
        yield tools.Judging()
    if "three" in wanted:
        yield tools.ThreeSinks()
    if "mbsync" in wanted:
        if (mbsync := tools.mbsync()) is not None:
            yield mbsync
        else:
            _say("mbsync is not installed: going on without")
    if "floor" in wanted and (program := native.compiled("floor", temporary)) is not None:
        yield tools.Floor(program)


def _machine(directory: Path) -> dict[str, object]:
    """What figures depend on."""
    costs = disk.flush_costs(directory)
    dovecot = requirements.dovecot_version() or (0, 0)
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "dovecot": ".".join(map(str, dovecot)),
        "file_system": disk.kind(directory),
        "fsync_new_file_ms": round(costs.fsync_new_file, 3),
        "syncfs_500_files_ms": round(costs.syncfs_500_files, 3),
    }


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
