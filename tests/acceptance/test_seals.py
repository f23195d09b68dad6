"""Seals judged in the run that stores the messages, or in a later one, and again by verify."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from archipec.pec.simulator import mailbox, shared_authority
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
