"""Deposits on real servers, in every form; and what the conformance kit does not know of SACER."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from archipec.contract import ContentKey, Receipt, State
from archipec.errors import ArchipecError, TransientError
from archipec.simulator import Provider, compose, shared_authority, to_pem
from archipec.testing import configure, make_context, make_item
from archipec.testing.factories import make_root
from archipec_plugins.conservation.ftps import FTPS
from archipec_plugins.conservation.sacer import SACER
from archipec_plugins.conservation.sftp import SFTP
from archipec_plugins.conservation.webdav import WEBDAV
from testbed.doubles import Conservator, SacerDouble
from testbed.drops import Drop, ftps_drop, sftp_drop, webdav_drop

pytestmark = pytest.mark.real

ROME = ZoneInfo("Europe/Rome")
RECORDS: dict[str, Any] = {"sftp": SFTP, "ftps": FTPS, "webdav": WEBDAV}
DROPS = ("sftp", "sftp-zip", "ftps", "webdav", "put")


ARRIVED = datetime(2026, 3, 2, 9, 30, tzinfo=ROME)


@pytest.fixture(scope="module")
def messages() -> list[bytes]:
    """Two receipts of one sending, and two certified messages that came in, one with more than ASCII in its subject."""
    provider = Provider(seed=3)
    sent = provider.accept(compose(subject="Offerta"))
    came = [provider.accept(compose(subject=subject)) for subject in ("Invito", "Perché è così — 100 €")]
    return [provider.acceptance(sent), provider.delivery(sent), *map(provider.envelope, came)]


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trust") / "root.pem"
    path.write_text(to_pem(shared_authority().root), "ascii")
    return path


class Sending:
    """A conservation sink with an outbox of its own, opened anew for each step as the host does at each run."""

    def __init__(self, record: Any, table: dict[str, Any], temp: Path, messages: Sequence[bytes]) -> None:
        self._record = record
        self._config = configure(record, table | {"outbox": temp / "outbox", "wait": 0})
        self._context = make_context(temp)
        self._items = [make_item(raw, received=ARRIVED, date=ARRIVED) for raw in messages]
        self.outbox = temp / "outbox"
        self.keys = [item.key for item in self._items]
        make_root(record, self._config)

    def begin(self) -> None:
        """Take the messages in."""
        with self._record.open(self._config, self._context) as sink:
            for item in self._items:
                sink.put(item)
            assert {receipt.state for receipt in sink.commit()} == {State.PENDING}

    def settle(self) -> dict[ContentKey, Receipt]:
        """Deposit and ask; what a run that is tried later would try is left out."""
        found = {}
        with self._record.open(self._config, self._context) as sink:
            try:
                for receipt in sink.settle([Receipt(key, State.PENDING, None) for key in self.keys]):
                    found[receipt.key] = receipt
            except TransientError as error:
                self.error: ArchipecError | None = error
            else:
                self.error = None
        assert set(found) == set(self.keys), "some messages got no answer"
        return found

    def states(self) -> Counter[State]:
        """Settle; how many messages are in which state."""
        return Counter(receipt.state for receipt in self.settle().values())


# -- drop folders ------------------------------------------------------------------------------------------


@pytest.fixture
def drop(protocol: str, request: pytest.FixtureRequest, tmp_path: Path) -> Drop:
    folder = tmp_path.name
    if protocol.startswith("sftp"):
        found = sftp_drop(request.getfixturevalue("sshd"), folder, tmp_path)
        found.table["form"] = "zip" if protocol == "sftp-zip" else "folder"
        return found
    if protocol == "ftps":
        return ftps_drop(request.getfixturevalue("proftpd"), folder)
    if protocol == "webdav":
        return webdav_drop(request.getfixturevalue("webdav"), folder)
    return webdav_drop(request.getfixturevalue("put_only"), folder, dav=False, form="zip")


@pytest.fixture
def conservator(drop: Drop, tmp_path: Path) -> Iterator[Conservator]:
    with Conservator(drop.landing, tmp_path / "conservator") as double:
        yield double


@pytest.fixture
def dropping(drop: Drop, tmp_path: Path, trust: Path, messages: list[bytes]) -> Sending:
    table = drop.table | {"password": drop.password, "trust": trust}
    return Sending(RECORDS[drop.scheme], table, tmp_path, messages)


def taken_once(conservator: Conservator, keys: Sequence[ContentKey]) -> None:
    """Whatever was taken was good, and every message is in it once."""
    taken = conservator.taken()
    assert all(not one["bad"] or one["fault"] == "negative" for one in taken), taken
    hashes = Counter(document["sha256"] for one in taken for document in one["documents"])
    assert hashes == Counter(key.sha256 for key in keys)


def reports_are_kept(sending: Sending, conservator: Conservator) -> None:
    """The reports that were published are in the outbox, byte for byte."""
    kept = {path.read_bytes() for path in (sending.outbox / "reports").rglob("*.xml")}
    for package in conservator.taken():
        assert (conservator.landing / f"esiti/RdV_{package['id']}.xml").read_bytes() in kept


@pytest.mark.parametrize("protocol", DROPS)
class TestDropFolder:
    def test_in_order(self, dropping: Sending, conservator: Conservator) -> None:
        dropping.begin()
        assert dropping.states() == {State.PENDING: len(dropping.keys)}
        assert dropping.states() == {State.PENDING: len(dropping.keys)}
        conservator.look()
        assert dropping.states() == {State.STORED: len(dropping.keys)}
        taken_once(conservator, dropping.keys)
        reports_are_kept(dropping, conservator)


@pytest.mark.parametrize("protocol", ["sftp"])
def test_a_report_that_comes_twice(dropping: Sending, conservator: Conservator) -> None:
    dropping.begin()
    dropping.settle()
    conservator.faults("*duplicate")
    conservator.look()
    assert dropping.states() == {State.STORED: len(dropping.keys)}
    taken_once(conservator, dropping.keys)


# -- SACER -------------------------------------------------------------------------------------------------


@pytest.fixture
def depositing(sacer: SacerDouble, tmp_path: Path, trust: Path, messages: list[bytes]) -> Sending:
    return Sending(SACER, sacer.table | {"trust": trust}, tmp_path, messages)


def saved_once(sacer: SacerDouble, keys: Sequence[ContentKey]) -> None:
    """Every message is kept once, under one key."""
    hashes = Counter(document["sha256"] for unit in sacer.saved() for document in unit["documents"])
    assert hashes == Counter(key.sha256 for key in keys)
    assert sum(request["saved"] for request in sacer.requests()) == len(sacer.saved())


class TestSacer:
    def test_in_order(self, depositing: Sending, sacer: SacerDouble) -> None:
        depositing.begin()
        assert depositing.states() == {State.STORED: len(depositing.keys)}
        saved_once(sacer, depositing.keys)
        assert len(sacer.requests()) == len(sacer.saved())
        kept = {path.read_text("utf-8") for path in (depositing.outbox / "reports").rglob("*.xml")}
        assert kept == {unit["report"] for unit in sacer.saved()}

    def test_a_sending_and_its_receipts_are_one_unit(self, depositing: Sending, sacer: SacerDouble) -> None:
        depositing.begin()
        depositing.settle()
        kinds = [[document["kind"] for document in unit["documents"]] for unit in sacer.saved()]
        assert ["MESSAGGIO PEC", "RICEVUTA PEC"] in [sorted(set(kind)) for kind in kinds]

    def test_subjects_arrive_as_they_are(self, depositing: Sending, sacer: SacerDouble) -> None:
        depositing.begin()
        depositing.settle()
        assert "Perché è così — 100 €" in [unit["subject"] for unit in sacer.saved()]

    @pytest.mark.parametrize("fault", ["unavailable", "out-of-order"])
    def test_a_service_in_trouble(self, depositing: Sending, sacer: SacerDouble, fault: str) -> None:
        depositing.begin()
        sacer.faults(f"*{fault}")
        assert depositing.states() == {State.PENDING: len(depositing.keys)}
        sacer.faults()
        assert depositing.states() == {State.STORED: len(depositing.keys)}
        assert depositing.error is None
        saved_once(sacer, depositing.keys)

    def test_a_report_that_leaves_a_document_out(self, depositing: Sending, sacer: SacerDouble) -> None:
        depositing.begin()
        sacer.faults("*partial")
        states = depositing.states()
        assert states == {State.PENDING: 3, State.STORED: 1}, "the last document of each of the units"
        sacer.faults()
        assert depositing.states() == {State.STORED: len(depositing.keys)}
        saved_once(sacer, depositing.keys)

    @pytest.mark.parametrize("fault", ["duplicate", "warning"])
    def test_accepted_in_other_words(self, depositing: Sending, sacer: SacerDouble, fault: str) -> None:
        depositing.begin()
        sacer.faults(f"*{fault}")
        assert depositing.states() == {State.STORED: len(depositing.keys)}
        saved_once(sacer, depositing.keys)

    def test_no_answer_at_all(self, sacer: SacerDouble, tmp_path: Path, messages: list[bytes]) -> None:
        sending = Sending(SACER, sacer.table | {"timeout": 1}, tmp_path, messages[:1])
        sending.begin()
        sacer.faults("slow")
        assert sending.states() == {State.PENDING: 1}
        assert "has not answered" in str(sending.error)
        assert sending.states() == {State.STORED: 1}
        saved_once(sacer, sending.keys)
