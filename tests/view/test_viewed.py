"""What a page reads from, without a server: it can't write, and pages that read messages wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from threading import Barrier, Thread

import pytest

from archipec.cli import Settings
from archipec.cli.archives import archives_of_state
from archipec.custody.ledger import Ledger
from archipec.custody.locks import hold_endpoint
from archipec.errors import ArchipecError, PermanentError, TransientError
from archipec.index.database import index_path
from archipec.index.search import SearchRequest
from archipec.message import ContentKey
from archipec.view.viewed import ViewedArchives


@pytest.fixture(name="shown", scope="module")
def _shown(sample: Path) -> ViewedArchives:
    sinks, _ = archives_of_state(Settings(sample / "archipec.toml", sample / "state", verbose=False))
    state = sample / "state"
    return ViewedArchives(
        state=state, ledger_file=state / "ledger.sqlite3", index_file=index_path(state), sinks=sinks
    )


def keys(shown: ViewedArchives) -> list[ContentKey]:
    with shown.open() as view:
        return [one.hit.key for one in islice(view.search(SearchRequest()), 8)]


def test_a_page_can_not_write(shown: ViewedArchives) -> None:
    with shown.open() as view:
        assert view.index is not None
        with pytest.raises(PermanentError, match="readonly"), view.ledger.transaction() as db:
            db.execute("DELETE FROM attempt")
        with pytest.raises(ArchipecError), view.index.transaction() as db:
            db.execute("DELETE FROM message")
        with pytest.raises(PermanentError):
            view.ledger.sources.number("maildir:never seen")
        assert view.ledger.sources.number(f"eml:{shown.state.parent / 'mailbox'}")


def test_pages_are_made_while_a_run_writes(shown: ViewedArchives) -> None:
    with Ledger(shown.ledger_file) as ledger, ledger.transaction() as db:
        db.execute("UPDATE attempt SET errors = '[]'")
        with shown.open() as view:
            assert view.ledger.runs.last_attempts()
            assert next(view.search(SearchRequest()))


def test_pages_that_read_messages_wait_for_each_other(shown: ViewedArchives) -> None:
    """An archive is locked while something is read from it: two pages at once must not shut each other out."""
    wanted = keys(shown)
    barrier = Barrier(len(wanted))
    found: dict[ContentKey, int] = {}

    def read(key: ContentKey) -> None:
        with shown.open() as view:
            barrier.wait(30)
            found[key] = len(view.read(key))

    threads = [Thread(target=read, args=(key,)) for key in wanted]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert found == {key: key.size for key in wanted}


def test_what_archive_has_locked_says_so_and_the_lock_is_given_back(shown: ViewedArchives) -> None:
    (key, *_) = keys(shown)
    with _locked(shown), shown.open() as view, pytest.raises(TransientError, match="in use by another run"):
        view.read(key)
    with shown.open() as view:
        assert len(view.read(key)) == key.size
    with _locked(shown):
        pass


@contextmanager
def _locked(shown: ViewedArchives) -> Iterator[None]:
    """Hold every archive, as a run of `archive` does."""
    with ExitStack() as held:
        for sink in shown.sinks:
            held.enter_context(hold_endpoint(shown.state, sink.where))
        yield


def test_without_an_index_a_search_names_the_way_out(shown: ViewedArchives, tmp_path: Path) -> None:
    other = ViewedArchives(
        state=shown.state, ledger_file=shown.ledger_file, index_file=tmp_path / "none", sinks=shown.sinks
    )
    with other.open() as view, pytest.raises(PermanentError, match="no index") as raised:
        view.search(SearchRequest())
    assert "archipec index" in raised.value.hint
    assert not (tmp_path / "none").exists()


def test_a_ledger_of_another_version_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with Ledger(path) as ledger, ledger.transaction() as db:
        db.execute("PRAGMA user_version = 1")
    before = path.read_bytes()
    with pytest.raises(PermanentError, match="older archipec"):
        Ledger(path, read_only=True)
    assert path.read_bytes() == before
    with pytest.raises(PermanentError):
        Ledger(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


def test_what_needs_no_index_is_there_when_it_is_damaged(shown: ViewedArchives, tmp_path: Path) -> None:
    (tmp_path / "index.sqlite3").write_bytes(b"x" * 5000)
    other = ViewedArchives(
        state=shown.state,
        ledger_file=shown.ledger_file,
        index_file=tmp_path / "index.sqlite3",
        sinks=shown.sinks,
    )
    (wanted,) = keys(shown)[:1]
    with other.open() as view:
        assert view.ledger.runs.last_attempts()
        assert len(view.read(wanted)) == wanted.size
        with pytest.raises(ArchipecError, match="can't be used") as raised:
            view.search(SearchRequest())
    assert "archipec index" in raised.value.hint
