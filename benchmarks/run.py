"""Measures archipec beside what one would use instead, and compares the figures with the goals.

Downloads from a real Dovecot on loopback, over IMAP and POP3 with TLS, near and as far away as a provider's, on this disk
and as if each flush took as long as on an ordinary SSD; imports of other programs' files; seals. The tools take turns.
Nothing is asserted about times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
# This folder is a package of the checkout, and so is the test bed; neither is installed.
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests" / "support")]

from archipec.simulator import shared_authority
from benchmarks import corpus, disk, figures, goals, native, pec, report, scenarios, tools
from testbed import requirements

_THREE = ("mbox", "zip")
_FIVE = (*_THREE, "eml", "maildir")
# Messages of each style whose seals are timed.
_SEALS = 200


def main(arguments: list[str] | None = None) -> int:
    """Run the scenarios asked for and print their figures; 0 when every tool did every one."""
    options = _parser().parse_args(arguments)
    native.install_missing()
    if trouble := requirements.missing("dovecot") or requirements.missing("dovecot-pop3"):
        _say(trouble)
        return 1
    done: list[scenarios.Results] = []
    with ExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        available = _tools(temporary, options.before)
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
        mailbox = stack.enter_context(scenarios.Mailbox())
        chosen = list(_chosen(options))
        for scenario in chosen:
            _say(f"{scenario.name}: {scenario.count:,} messages of about {scenario.size:,} bytes")
            compared = list(_taking_part(scenario, available, options.tool))
            try:
                done.append(scenarios.measure(scenario, compared, options.runs, equipment, mailbox))
            except scenarios.NotPossible as error:
                _say(f"left out: {error}")
            else:
                print(f"\n{report.table(done[-1])}\n", flush=True)
    rates = {}
    if not options.scenario:
        _say("seals: their checks alone, on one processor")
        rates = pec.rates(pec.messages(_SEALS // 25 if options.quick else _SEALS))
        print(f"\n{report.rates_table(rates)}", flush=True)
    print(report.NOTES)
    judged = goals.judge(figures.Figures(done, rates))
    if options.quick:
        _say("small mailboxes say nothing of the goals: they are not judged")
    else:
        print(f"\n{report.goals_table(judged)}")
    if options.json:
        everything = {
            "machine": machine,
            "scenarios": [report.as_json(one) for one in done],
            "a_second": rates,
            "goals": [] if options.quick else report.goals_as_json(judged),
        }
        options.json.write_text(json.dumps(everything, indent=1) + "\n", "utf-8")
    return 0 if len(done) == len(chosen) and not any(one.problems for one in done) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small mailboxes, once: to see that it works")
    parser.add_argument(
        "--scenario",
        action="append",
        choices=[one.name for one in scenarios.SCENARIOS],
        help="only this one (repeatable); by default all but those that take long and have no goal",
    )
    parser.add_argument("--tool", action="append", help="only this one (repeatable); by default all")
    parser.add_argument(
        "--before",
        metavar="PYTHON",
        help="measure the archipec installed in this Python, too, beside the one that runs this",
    )
    parser.add_argument("--runs", type=int, default=5, help="downloads by each tool (default: 5)")
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


def _chosen(options: argparse.Namespace) -> Iterator[scenarios.Scenario]:
    for one in scenarios.SCENARIOS:
        if one.name in options.scenario if options.scenario else not one.on_request:
            yield one.quick() if options.quick else one


def _taking_part(
    scenario: scenarios.Scenario, available: Mapping[str, tools.Tool], wanted: Sequence[str] | None
) -> Iterator[tools.Tool]:
    """A scenario's tools, and beside each archipec the one of before, as far as they are here and wanted."""
    for name in scenario.tools:
        for one in (name, f"{name}-before"):
            if one in available and (not wanted or one in wanted):
                yield available[one]


def _tools(temporary: Path, before: str | None) -> dict[str, tools.Tool]:
    """Those that are here, by name; what is missing is said."""
    root = temporary / "root.pem"
    root.write_text(shared_authority().root_pem, "ascii")
    alone = (tools.NO_SEALS, tools.NO_INDEX)
    own = (
        tools.Archipec("store", root, alone),
        tools.Archipec("seals", root, (tools.NO_INDEX,)),
        tools.Archipec("archipec", root),
        tools.Archipec("three-store", root, alone, more=_THREE),
        tools.Archipec("three", root, more=_THREE),
        tools.Archipec("five-seals", root, (tools.NO_INDEX,), more=_FIVE),
        tools.Archipec("five", root, more=_FIVE),
    )
    found: list[tools.Tool] = [*own, tools.Prototype()]
    if before is not None:
        found += [_as_before(one, before) for one in own]
    programs = {name: requirements.find(name) for name in ("mbsync", "mpop", "openssl", "xargs")}
    for name, program in programs.items():
        if program is None:
            _say(f"{name} is not installed: going on without")
    if programs["mbsync"]:
        found.append(tools.Mbsync(programs["mbsync"]))
        if programs["openssl"] and programs["xargs"]:
            found.append(tools.MbsyncOpenssl(programs["mbsync"], root))
    if programs["mpop"]:
        found.append(tools.Mpop(programs["mpop"]))
    if (floor := native.compiled("floor", temporary)) is not None:
        found.append(tools.Floor(floor))
    return {one.name: one for one in found}


def _as_before(tool: tools.Archipec, python: str) -> tools.Archipec:
    """The same with the archipec of another Python, which may not know every option: it does not do that, then."""
    command = [python, "-m", "archipec", "archive", "--help"]
    known = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    without = tuple(option for option in tool.without if option in known)
    return replace(tool, name=f"{tool.name}-before", python=python, without=without)


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
