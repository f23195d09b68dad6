"""The kit finds what it is for: plugins that break one rule each fail the case for that rule, and say so.

With ``ARCHIPEC_DEPTH=full`` every wrong plugin runs through every case, and whatever fails must name its
rule; else only the cases run that must fail.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest

from . import wrong_conservation, wrong_deletions, wrong_records, wrong_sinks, wrong_sources
from .wrong import Wrong

HERE = Path(__file__).parent
MODULES = (wrong_conservation, wrong_deletions, wrong_records, wrong_sinks, wrong_sources)
WRONG: dict[str, Wrong] = {name: each for module in MODULES for name, each in module.WRONG.items()}


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, str]]:
    """What failed of each wrong plugin: case -> message."""
    report = tmp_path_factory.mktemp("kit") / "report.xml"
    chosen = []
    for module in MODULES:
        file = HERE / f"{module.__name__.rpartition('.')[2]}.py"
        if os.environ.get("ARCHIPEC_DEPTH") == "full":
            chosen.append(str(file))
        else:
            chosen += [
                f"{file}::{w.cases.__name__}::{case}"
                for w in module.WRONG.values()
                for case in sorted(w.fails)
            ]
    options = ["-q", "--tb=no", "-p", "no:randomly", "-p", "no:cacheprovider", f"--junitxml={report}"]
    arguments = [sys.executable, "-Im", "pytest", *options, *chosen]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=HERE.parents[2])
    assert answer.returncode == pytest.ExitCode.TESTS_FAILED, answer.stdout[-5000:] + answer.stderr
    found: dict[str, dict[str, str]] = {}
    for case in ET.parse(report).iter("testcase"):
        for result in case:
            if result.tag in ("failure", "error"):
                plugin = str(case.get("classname")).rpartition(".Test")[2]
                name = str(case.get("name")).partition("[")[0]
                found.setdefault(plugin, {})[name] = f"{result.get('message')}"
    return found


@pytest.mark.parametrize("plugin", WRONG)
def test_a_wrong_plugin_fails_the_case_for_its_rule(
    plugin: str, failures: Mapping[str, Mapping[str, str]]
) -> None:
    wrong = WRONG[plugin]
    found = failures.get(plugin, {})
    missed = wrong.fails - found.keys()
    assert not missed, f"{plugin} passed {sorted(missed)}"
    for case, message in found.items():
        assert re.search(wrong.says, message, re.DOTALL), f"{plugin}, {case}: {message}"


def test_every_case_is_failed_by_some_plugin() -> None:
    cases = {name for each in WRONG.values() for name in dir(each.cases) if name.startswith("test_")}
    failed = {name for each in WRONG.values() for name in each.fails}
    assert not cases - failed, sorted(cases - failed)
