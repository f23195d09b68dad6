"""``archipec forget``: what is no more leaves the ledger and the index; no mailbox and no archive is touched."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from archipec.custody.forgetting import forget, plan_to_forget
from archipec.custody.ledger import Ledger
from archipec.errors import Refused, TransientError
from testbed.boxes import Boxes, block, set_back
from testbed.command import Archipec
from testbed.scripted_imap import a_message


@pytest.fixture
def boxes(tmp_path: Path) -> Boxes:
    return Boxes(Archipec(tmp_path / "state"), tmp_path / "archipec.toml")


def mail(folder: Path, *numbers: int) -> Path:
    folder.mkdir()
    for number in numbers:
        (folder / f"{number}.eml").write_bytes(a_message(number))
    return folder


def eml(name: str, folder: Path, sink: Path, more: str = "") -> str:
    return block(name, f'type = "eml"\npath = "{folder}"', sink) + more


def digests(root: Path) -> dict[str, str]:
    """Return every file of an archive with its hash, but for its lock."""
    return {
        str(one.relative_to(root)): hashlib.sha256(one.read_bytes()).hexdigest()
        for one in sorted(root.rglob("*"))
        if one.is_file() and one.name != ".archipec.lock"
    }


def found(boxes: Boxes) -> list[str]:
    return [one["sha256"] for one in boxes("search", "--json", "--direction", "in", expect=None).objects]


def test_a_ghost_leaves_status_and_the_search_and_its_archive_stays(boxes: Boxes, tmp_path: Path) -> None:
    one, two = mail(tmp_path / "one", 1, 2), mail(tmp_path / "two", 3)
    boxes.write(eml("old", one, tmp_path / "A"), eml("new", two, tmp_path / "B"))
    boxes("archive")
    assert len(found(boxes)) == 3
    refused = boxes("forget", "old", expect=4)
    assert '"old" is in the configuration' in refused.err and "archipec.toml" in refused.err
    boxes.write(eml("new", two, tmp_path / "B"))
    before = digests(tmp_path / "A")
    assert list(boxes.status(expect=0)) == ["new", "old"]

    plan = boxes("forget", "old", "--json").object
    assert plan == {
        "pipelines": [{"pipeline": "old", "source": f"eml:{one}"}],
        "tries": 1,
        "sources": [f"eml:{one}"],
        "messages": 2,
        "archives": [{"where": f"maildir:{tmp_path / 'A'}", "messages": 2}],
        "unsearched": 2,
        "forgotten": False,
    }
    shown = boxes("forget", "old")
    assert "run again with --yes" in shown.err and str(tmp_path / "A") in shown.out
    assert list(boxes.status(expect=0)) == ["new", "old"] and len(found(boxes)) == 3

    assert "forgotten" in boxes("forget", "old", "--yes").err
    assert list(boxes.status(expect=0)) == ["new"]
    assert len(found(boxes)) == 1
    assert [run["pipeline"] for run in boxes("runs", "--json").objects] == ["new"]
    assert digests(tmp_path / "A") == before
    assert 'nothing is known that is called "old"' in boxes("forget", "old", expect=4).err

    # What was forgotten is known again by archiving it again, and nothing is stored twice.
    boxes.write(eml("old", one, tmp_path / "A"), eml("new", two, tmp_path / "B"))
    again = boxes("archive", "--json").objects
    assert [(run["stored"], run["already"], run["failed"]) for run in again] == [(0, 2, 0), (0, 0, 0)]
    assert len(found(boxes)) == 3
    boxes("verify")


def test_a_mailbox_that_moved_loses_its_old_address_alone(boxes: Boxes, tmp_path: Path) -> None:
    folder = mail(tmp_path / "one", 1, 2)
    boxes.write(eml("studio", folder, tmp_path / "A"))
    boxes("archive")
    moved = folder.rename(tmp_path / "elsewhere")
    boxes.write(eml("studio", moved, tmp_path / "A"))
    boxes("archive")
    assert len(boxes("status", "--json").objects) == 2
    plan = boxes("forget", "studio", "--yes", "--json").object
    assert (plan["sources"], plan["archives"], plan["unsearched"]) == ([f"eml:{folder}"], [], 0)
    (shown,) = boxes("status", "--json").objects
    assert (shown["source"], shown["sinks"][0]["held"]) == (f"eml:{moved}", 2)
    assert len(found(boxes)) == 2
    assert [run["stored"] for run in boxes("archive", "--json").objects] == [0]


def test_a_typing_error_is_forgotten_by_its_address(boxes: Boxes, tmp_path: Path) -> None:
    folder = mail(tmp_path / "one", 1)
    archipec, sink = boxes.archipec, f"maildir:{tmp_path / 'A'}"
    archipec("archive", "--from", f"eml:{tmp_path / 'oen'}", "--to", sink, expect=4)
    archipec("archive", "--from", f"eml:{folder}", "--to", sink)
    plan = archipec("forget", f"eml:{tmp_path / 'oen'}", "--yes", "--json").object
    assert (plan["tries"], plan["archives"]) == (1, [])
    assert [one["source"] for one in archipec("status", "--json").objects] == [f"eml:{folder}"]


def test_an_archive_that_is_no_more(boxes: Boxes, tmp_path: Path) -> None:
    folder = mail(tmp_path / "one", 1, 2)
    two = f'[[pipeline.sink]]\ntype = "mbox"\npath = "{tmp_path / "B"}"\n'
    boxes.write(eml("studio", folder, tmp_path / "A", two))
    boxes("archive")
    where = f"mbox:{tmp_path / 'B'}"
    assert "in the configuration" in boxes("forget", where, expect=4).err
    boxes.write(eml("studio", folder, tmp_path / "A"))
    plan = boxes("forget", where, "--yes", "--json").object
    assert (plan["pipelines"], plan["archives"]) == ([], [{"where": where, "messages": 2}])
    assert plan["unsearched"] == 0
    (shown,) = boxes("status", "--json").objects
    assert [one["where"] for one in shown["sinks"]] == [f"maildir:{tmp_path / 'A'}"]
    assert len(found(boxes)) == 2
    boxes.write(eml("studio", folder, tmp_path / "A", two))
    boxes("archive")
    boxes("verify")


def test_archives_are_kept_on_request(boxes: Boxes, tmp_path: Path) -> None:
    boxes.write(eml("old", mail(tmp_path / "one", 1, 2), tmp_path / "A"))
    boxes("archive")
    boxes.write(eml("new", mail(tmp_path / "two", 3), tmp_path / "B"))
    boxes("archive")
    plan = boxes("forget", "old", "--keep-archives", "--yes", "--json").object
    assert (plan["archives"], plan["unsearched"]) == ([], 0)
    assert list(boxes.status(expect=0)) == ["new"]
    assert len(found(boxes)) == 3


def test_the_only_record_of_a_deposit_is_not_forgotten(boxes: Boxes, tmp_path: Path) -> None:
    (tmp_path / "versamenti").mkdir()
    deposit = (
        f'[[pipeline.sink]]\ntype = "conservation-directory"\npath = "{tmp_path / "versamenti"}"\n'
        f'outbox = "{tmp_path / "outbox"}"\nwait = 0\n'
    )
    folder = mail(tmp_path / "one", 1)
    boxes.write(eml("old", folder, tmp_path / "A", deposit))
    boxes("archive")
    boxes.write(eml("new", mail(tmp_path / "two", 3), tmp_path / "B"))
    refused = boxes("forget", "old", "--yes", expect=8)
    assert "1 deposit not confirmed" in refused.err and "--keep-archives" in refused.err
    assert "old" in boxes.status(expect=None)
    boxes("forget", "old", "--keep-archives", "--yes")
    assert "old" not in boxes.status(expect=None)


def test_a_deletion_that_is_not_over_is_not_forgotten(boxes: Boxes, tmp_path: Path) -> None:
    boxes.write(eml("old", mail(tmp_path / "one", 1), tmp_path / "A"))
    boxes("archive")
    boxes.path.unlink()

    def order(state: str) -> None:
        with closing(sqlite3.connect(boxes.archipec.state / "ledger.sqlite3")) as db:
            db.execute("DELETE FROM deletion")
            db.execute(
                "INSERT INTO deletion (pipeline, source, folder, ref, content, evidence, state, ordered, expires)"
                " VALUES ('old', 1, 'INBOX', '1', 1, '[]', ?, 1, 2)",
                (state,),
            )
            db.commit()

    for state in ("ordered", "unknown"):
        order(state)
        assert "1 deletion not over" in boxes.archipec("forget", "old", "--yes", expect=8).err
    order("deleted")
    boxes.archipec("forget", "old", "--yes")
    assert boxes.archipec("status", "--json").objects == []


def test_what_is_in_use_is_not_forgotten(boxes: Boxes, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    boxes.write(eml("old", mail(tmp_path / "one", 1), tmp_path / "A"))
    boxes("archive")
    boxes.path.unlink()
    where = hashlib.sha256(f"eml:{tmp_path / 'one'}".encode()).hexdigest()[:32]
    with (boxes.archipec.state / "locks" / f"{where}.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "in use" in boxes.archipec("forget", "old", "--yes", expect=5).err
    assert boxes.archipec("status", "--json").objects
    set_back(boxes.archipec.state, 1)
    boxes.archipec("forget", "old", "--yes")
    assert boxes.archipec("status", "--json").objects == []


def test_what_a_run_left_since_the_plan_was_made_is_seen(boxes: Boxes, tmp_path: Path) -> None:
    """Between the look and the locks another run may order a deletion: it is not forgotten with the rest."""
    boxes.write(eml("old", mail(tmp_path / "one", 1), tmp_path / "A"))
    boxes("archive")
    state = boxes.archipec.state

    def order() -> None:
        with closing(sqlite3.connect(state / "ledger.sqlite3")) as db:
            db.execute(
                "INSERT INTO deletion (pipeline, source, folder, ref, content, evidence, state, ordered, expires)"
                " VALUES ('old', 1, 'INBOX', '1', 1, '[]', 'ordered', 1, 2)"
            )
            db.commit()

    def nothing(*_: object) -> None:
        pytest.fail("the index was touched")

    with Ledger(state / "ledger.sqlite3") as ledger:
        planned = partial(plan_to_forget, ledger, state, ["old"], ())
        plan = planned()
        (tmp_path / "one" / "2.eml").write_bytes(a_message(2))
        boxes("archive")
        with pytest.raises(TransientError, match="changed meanwhile"):
            forget(plan, ledger, state, planned, nothing)
        plan = planned()
        order()
        with pytest.raises(Refused, match="1 deletion not over"):
            forget(plan, ledger, state, planned, nothing)
    assert boxes("status", "--json").object["stored"] == 1


def test_an_index_that_was_emptied_before_the_ledger_forgot_is_filled_again(
    boxes: Boxes, tmp_path: Path
) -> None:
    boxes.write(eml("old", mail(tmp_path / "one", 1, 2), tmp_path / "A"))
    boxes("archive")
    configured = boxes.path.read_text()
    boxes.write(eml("new", mail(tmp_path / "two", 3), tmp_path / "B"))
    boxes("archive")
    with closing(sqlite3.connect(boxes.archipec.state / "ledger.sqlite3")) as db:
        db.execute("CREATE TRIGGER cut_off BEFORE DELETE ON source BEGIN SELECT RAISE(ABORT, 'power'); END")
    boxes("forget", "old", "--yes", expect=None)
    with closing(sqlite3.connect(boxes.archipec.state / "ledger.sqlite3")) as db:
        db.execute("DROP TRIGGER cut_off")
    assert len(found(boxes)) < 3
    boxes.path.write_text(configured)
    boxes("archive")
    assert len(found(boxes)) == 3


@pytest.mark.parametrize("url", ["imaps://u:Tr0ubador@127.0.0.1", "imaps://u@127.0.0.1?password=Tr0ubador"])
def test_a_password_that_is_typed_in_an_address_is_not_repeated(
    boxes: Boxes, tmp_path: Path, url: str
) -> None:
    log = tmp_path / "log"
    refused = boxes.archipec("--log-file", log, "forget", url, expect=4)
    assert "Tr0ubador" not in refused.err + log.read_text("utf-8") and "password" in refused.err


def test_an_address_that_no_plugin_knows_any_more_can_be_forgotten(boxes: Boxes, tmp_path: Path) -> None:
    boxes.write(eml("old", mail(tmp_path / "one", 1), tmp_path / "A"))
    boxes("archive")
    boxes.path.unlink()
    with closing(sqlite3.connect(boxes.archipec.state / "ledger.sqlite3")) as db:
        for table, column in (("source", "place"), ("attempt", "source")):
            db.execute(f"UPDATE {table} SET {column} = 'acme://x%20y'")
        db.commit()
    plan = boxes.archipec("forget", "acme://x y", "--yes", "--json").object
    assert plan["sources"] == ["acme://x%20y"]
    assert boxes.archipec("status", "--json").objects == []
