"""Seals judged in the run that stores the messages, or in a later one, and again by verify."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from archipec.simulator import mailbox, shared_authority
from testbed.command import Archipec


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    root = tmp_path / "downloads"
    root.mkdir()
    for number, sample in enumerate(mailbox(40, seed=37, size=7000)):
        (root / f"{number:02d}.eml").write_bytes(sample.raw)
    return root


@pytest.fixture
def root_file(tmp_path: Path) -> Path:
    path = tmp_path / "root.pem"
    path.write_text(shared_authority().root_pem)
    return path


def inspected(archipec: Archipec, downloads: Path, *options: object) -> dict[str, int]:
    files = sorted(downloads.iterdir())
    objects = archipec("inspect", *files, *options, "--json", expect=None).objects
    return dict(sorted(Counter(one["seal"]["status"] for one in objects).items()))


def test_the_run_judges_what_it_stored(downloads: Path, root_file: Path, tmp_path: Path) -> None:
    archipec = Archipec(tmp_path / "state")
    pipeline = (
        "--from",
        f"eml:{downloads}",
        "--to",
        f"maildir:{tmp_path / 'A'}",
        "--to",
        f"mbox:{tmp_path / 'B'}",
    )
    expected = inspected(archipec, downloads, "--trust", root_file)
    assert expected["valid"] > 20
    trusting = (*pipeline, "--trust", root_file, "--json")
    assert archipec("archive", *trusting).object["seals"] == expected
    assert archipec("archive", *trusting).object["seals"] == {}, "nothing is judged twice"
    assert archipec("verify", *trusting).object["seals"] == expected
    alone = archipec("verify", "--to", f"mbox:{tmp_path / 'B'}", "--trust", root_file, "--json")
    assert alone.object["seals"] == expected


def test_what_was_not_judged_is_judged_by_a_later_run(
    downloads: Path, root_file: Path, tmp_path: Path
) -> None:
    archipec = Archipec(tmp_path / "state")
    pipeline = ("--from", f"eml:{downloads}", "--to", f"maildir:{tmp_path / 'A'}", "--json")
    assert archipec("archive", *pipeline, "--no-seals").object["seals"] == {}
    report = archipec("archive", *pipeline, "--trust", root_file).object
    assert (report["listed"], report["stored"]) == (0, 0)
    assert report["seals"] == inspected(archipec, downloads, "--trust", root_file)


@pytest.mark.parametrize("python", ["", "/nowhere/python", "/bin/false", "/bin/cat"])
@pytest.mark.skipif(sys.platform == "win32", reason="the programs that stand in for Python are Unix's")
def test_no_message_is_blamed_for_a_judge_that_can_t_be_started(
    downloads: Path, root_file: Path, tmp_path: Path, python: str
) -> None:
    """It stands for a system without room for another process, and for a Python that is broken or gone."""
    archipec = Archipec(tmp_path / "state")
    pipeline = (
        "--from",
        f"eml:{downloads}",
        "--to",
        f"maildir:{tmp_path / 'A'}",
        "--trust",
        root_file,
        "--json",
    )
    without = f"import sys; sys.executable = {python!r}; from archipec.cli import main; main()"
    argv = [sys.executable, "-Ic", without, *archipec.argv("archive", *pipeline)[3:]]
    done = subprocess.run(argv, env=archipec.env, capture_output=True, text=True, timeout=120, check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["stored"] > 20, report["seals"]) == (5, True, {}), done.stderr
    assert "the seals can't be judged" in done.stderr
    assert archipec("archive", *pipeline).object["seals"] == inspected(
        archipec, downloads, "--trust", root_file
    )


def test_the_configuration_says_whom_to_trust_and_whether_to_judge(
    downloads: Path, root_file: Path, tmp_path: Path
) -> None:
    config = tmp_path / "archipec.toml"
    text = f"""
[[pipeline]]
name = "judged"
trust = ["root.pem"]
[pipeline.source]
type = "eml"
path = "{downloads}"
[[pipeline.sink]]
type = "maildir"
path = "{tmp_path / "A"}"
"""
    config.write_text(text)
    archipec = Archipec(tmp_path / "state", {"ARCHIPEC_CONFIG": str(config)})
    seals = archipec("archive", "--json").object["seals"]
    assert seals == inspected(archipec, downloads, "--trust", root_file)
    config.write_text(text.replace('trust = ["root.pem"]', "seals = false").replace("/A", "/B"))
    assert archipec("archive", "--full", "--json").object["seals"] == {}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells memory in another way")
def test_a_seal_over_a_large_message_is_judged_without_holding_it(root_file: Path, tmp_path: Path) -> None:
    samples = mailbox(40, seed=37, size=60_000_000)
    sample = next(one for one in samples if one.kind == "posta-certificata" and len(one.raw) > 60 << 20)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.eml").write_bytes(sample.raw)
    argv = Archipec(tmp_path / "state").argv(
        "archive",
        "--from",
        f"eml:{tmp_path / 'in'}",
        "--to",
        f"maildir:{tmp_path / 'A'}",
        "--trust",
        root_file,
        "--json",
    )
    # The largest of all processes that the run consisted of; KiB on Linux, bytes on macOS.
    watching = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
    watching += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    told = subprocess.run(
        [sys.executable, "-c", watching, *argv], stdout=subprocess.PIPE, check=True, timeout=120
    ).stdout.splitlines()
    assert json.loads(told[0])["seals"] == {"valid": 1}
    largest = int(told[1]) * (1 if sys.platform == "darwin" else 1024)
    assert largest < len(sample.raw), "the message was held whole"
