"""A command for many pipelines: what costs a start is started once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from archipec.simulator import mailbox

_COUNTING = """
import sys
from archipec.custody.analysis import worker

start = worker._Process.__init__

def counted(self, *given):
    print("a worker is started", file=sys.stderr)
    start(self, *given)

worker._Process.__init__ = counted
from archipec.cli import main

main()
"""
_PIPELINE = """
[[pipeline]]
name = "box{number}"
[pipeline.source]
type = "eml"
path = "box{number}"
[[pipeline.sink]]
type = "maildir"
path = "kept{number}"
"""


def test_pipelines_share_the_workers_that_judge_and_index(tmp_path: Path) -> None:
    samples = [one.raw for one in mailbox(12, seed=3, size=3000)]
    for number in range(3):
        (tmp_path / f"box{number}").mkdir()
        for at, raw in enumerate(samples[number::3]):
            (tmp_path / f"box{number}" / f"{at}.eml").write_bytes(raw)
    (tmp_path / "archipec.toml").write_text("".join(_PIPELINE.format(number=number) for number in range(3)))
    command = [
        sys.executable,
        "-Ic",
        _COUNTING,
        "--config",
        "archipec.toml",
        "--state",
        "state",
        "archive",
        "--json",
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    reports = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [(one["stored"], sum(one["seals"].values())) for one in reports] == [(4, 4)] * 3
    assert ran.stderr.count("a worker is started") == 1
