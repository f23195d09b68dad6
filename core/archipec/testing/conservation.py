"""Conformance of conservation providers."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archipec.conservation.provider import (
    ConservationProvider,
    Limits,
    Package,
    SupportsValidation,
)
from archipec.conservation.sink import SHARED_OPTIONS, conservation_sink
from archipec.conservation.terms import Terms
from archipec.contract import ContentKey, Context, Receipt, Sink, SinkType, State, SupportsSettle
from archipec.errors import ArchipecError, IntegrityError
from archipec.testing.base import UnderTest
from archipec.testing.conservation_double import Misbehaviour, ScriptedService
from archipec.testing.factories import PluginRecord, configure, make_item, make_root
from archipec.testing.messages import nasty_messages, small_messages
from archipec.testing.plugin import PluginConformance

_ROUNDS = 3


class _PowerCut(BaseException):
    """The machine goes down: no code catches this."""


class ConservationConformance(PluginConformance):
    """Cases for a conservation provider, run through the sink that archipec makes of it.

    Fixtures to give, besides those of `PluginConformance`:
        provider: the class.
        table: settings that lead to the double; a secret option holds the secret itself.
        service: the `ScriptedService` that the double asks for its decisions.

    What is never a fixture: what is proven. The cases look at what the double received and at what the sink claims.
    """

    @pytest.fixture(autouse=True)
    def _start(self) -> None:
        self._keys: list[ContentKey] = []

    @pytest.fixture
    def provider(self) -> type[ConservationProvider]:
        """The class under test."""
        raise NotImplementedError("give the fixture `provider`")

    @pytest.fixture
    def service(self) -> ScriptedService:
        """What decides for the double."""
        raise NotImplementedError("give the fixture `service`")

    @pytest.fixture
    def sink_type(self, provider: type[ConservationProvider]) -> SinkType[Any]:
        """The record archipec makes of it."""
        return conservation_sink(provider)

    @pytest.fixture
    def record(self, sink_type: SinkType[Any]) -> SinkType[Any]:
        """The record, for the cases every plugin has."""
        return sink_type

    @pytest.fixture
    def plugin_module(self, provider: type[ConservationProvider]) -> str:
        """The module that the entry point names."""
        return provider.__module__

    @pytest.fixture
    def config(self, record: SinkType[Any], table: Mapping[str, object], tmp_path: Path) -> Any:
        """What ``parse`` makes of the settings, with an outbox for this case; sendings wait for nothing."""
        return configure(record, {"outbox": str(tmp_path / "outbox"), "wait": 0, **table})

    def exercise(self, opened: Sink) -> None:
        """Keep a message and settle it."""
        self._keep(opened, small_messages(1))
        list(_settler(opened).settle(self._asked(opened)))

    # -- what a provider says of itself ----------------------------------------------------------------

    def test_says_on_what_it_stands(self, provider: type[ConservationProvider]) -> None:
        """Rule: ``evidence`` says in one line on what the claim stands that the provider works."""
        text = provider.evidence
        assert isinstance(text, str) and text.strip() and "\n" not in text, (
            f"evidence must be one line: {text!r}"
        )

    def test_limits_and_terms(self, provider: type[ConservationProvider], config: Any) -> None:
        """Rule: ``limits`` are numbers above zero and ``terms`` the words of the metadata; neither does I/O."""
        limits, terms = provider.limits(config.own), provider.terms(config.own)
        assert isinstance(limits, Limits), f"limits must be Limits, not {limits!r}"
        assert min(limits.units, limits.documents, limits.size) > 0, f"limits must be above zero: {limits}"
        assert isinstance(terms, Terms), f"terms must be Terms, not {terms!r}"

    def test_leaves_shared_options_alone(self, provider: type[ConservationProvider]) -> None:
        """Rule: an option has no name that every conservation sink has already."""
        clash = {one.name for one in provider.options} & {one.name for one in SHARED_OPTIONS}
        assert not clash, f"these options are those of every conservation sink: {sorted(clash)}"

    # -- deposits ------------------------------------------------------------------------------------------

    def test_the_exact_bytes_arrive_and_are_proven(
        self, under_test: UnderTest[Sink], service: ScriptedService
    ) -> None:
        """Rule: the service receives every byte as it is, once, and a true report makes it conserved."""
        messages = [*nasty_messages().values(), *small_messages(3)]
        messages = list({ContentKey.of(raw): raw for raw in messages if raw}.values())
        receipts = self._through(under_test, service, messages)
        expected = sorted(ContentKey.of(raw).sha256 for raw in messages)
        assert sorted(service.hashes) == expected, (
            "deposit must send every document, byte for byte, once: the service received other bytes, or others"
        )
        waiting = [receipt for receipt in receipts.values() if receipt.state is not State.STORED]
        assert not waiting, f"a true report must make every document conserved: {waiting[:3]}"
        self._assert_proven(under_test, receipts)

    def test_a_late_report(self, under_test: UnderTest[Sink], service: ScriptedService) -> None:
        """Rule: until the service decides, poll says Pending, and afterwards what it decided."""
        service.misbehaviour = Misbehaviour.LATE
        for receipt in self._through(under_test, service, small_messages(3)).values():
            assert receipt.state is State.PENDING, f"nothing is decided before the report comes: {receipt}"
            assert receipt.reason, "a pending copy must say what it waits for"
        self._clears(under_test, service)

    def test_a_rejection(self, under_test: UnderTest[Sink], service: ScriptedService) -> None:
        """Rule: a rejection says why, and what is rejected is not deposited again unchanged."""
        service.misbehaviour = Misbehaviour.NEGATIVE
        for receipt in self._through(under_test, service, small_messages(3)).values():
            assert receipt.state is State.REJECTED, f"what the service rejects must be rejected: {receipt}"
            assert "FIRMA-003" in receipt.reason, (
                f"a rejection must say why, in the service's words: {receipt}"
            )
        sent = len(service.hashes)
        service.misbehaviour = None
        self._settle(under_test, service)
        assert len(service.hashes) == sent, "what was rejected must not be deposited again unchanged"

    def test_a_partial_outcome(self, under_test: UnderTest[Sink], service: ScriptedService) -> None:
        """Rule: where the service decides by document, each document gets its own outcome."""
        service.misbehaviour = Misbehaviour.PARTIAL
        receipts = self._through(under_test, service, small_messages(4))
        if max(len(held) for held in service.kept.values()) < 2:
            self.not_applicable("a package has one document")
        states = sorted(receipt.state for receipt in receipts.values())
        assert states == [State.REJECTED, *[State.STORED] * 3], (
            f"one document is rejected and three are conserved, each by itself: {states}"
        )

    # -- what is no proof ----------------------------------------------------------------------------------

    def test_other_hashes(self, under_test: UnderTest[Sink], service: ScriptedService) -> None:
        """Rule: a report that states another hash proves nothing, whatever else it says."""
        self._proves_nothing(under_test, service, Misbehaviour.WRONG_HASH)

    def test_a_report_about_something_else(
        self, under_test: UnderTest[Sink], service: ScriptedService
    ) -> None:
        """Rule: a report that names another package proves nothing; ``about`` is what the report says."""
        self._proves_nothing(under_test, service, Misbehaviour.UNKNOWN_PACKAGE)

    def test_an_answer_cut_short(self, under_test: UnderTest[Sink], service: ScriptedService) -> None:
        """Rule: an answer that is cut short is no outcome: the provider raises TransientError, or waits."""
        self._proves_nothing(under_test, service, Misbehaviour.TRUNCATED)

    def test_a_web_page_for_an_answer(self, under_test: UnderTest[Sink], service: ScriptedService) -> None:
        """Rule: a web page is no outcome, whatever the HTTP status: the provider raises TransientError, or waits."""
        self._proves_nothing(under_test, service, Misbehaviour.HTML)

    def _proves_nothing(
        self, under_test: UnderTest[Sink], service: ScriptedService, misbehaviour: Misbehaviour
    ) -> None:
        service.misbehaviour = misbehaviour
        for receipt in self._through(under_test, service, small_messages(3)).values():
            assert receipt.state is State.PENDING, (
                f"nothing may be decided by an answer that proves nothing ({misbehaviour.value}): {receipt}"
            )
        self._clears(under_test, service)

    # -- interruptions -------------------------------------------------------------------------------------

    def test_the_connection_breaks_before_anything_is_kept(
        self, under_test: UnderTest[Sink], service: ScriptedService
    ) -> None:
        """Rule: what surely did not arrive is deposited again: lookup gives None, or deposit is called by itself."""
        self._proves_nothing(under_test, service, Misbehaviour.LOST_BEFORE_SAVE)

    def test_the_connection_breaks_after_everything_is_kept(
        self, under_test: UnderTest[Sink], service: ScriptedService
    ) -> None:
        """Rule: what arrived although the answer was lost is found by lookup, and not kept twice."""
        self._proves_nothing(under_test, service, Misbehaviour.LOST_AFTER_SAVE)

    def test_a_power_cut_after_the_deposit(
        self, under_test: UnderTest[Sink], service: ScriptedService, provider: Any
    ) -> None:
        """Rule: after a crash between the deposit and its record, nothing is kept twice."""
        deposit = provider.deposit

        def interrupted(self: Any, package: Package) -> Any:
            deposit(self, package)
            raise _PowerCut

        with pytest.MonkeyPatch.context() as patch, suppress(_PowerCut), self._open(under_test) as sink:
            patch.setattr(provider, "deposit", interrupted)
            self._keep(sink, small_messages(3))
            list(_settler(sink).settle(self._asked(sink)))
        self._clears(under_test, service)

    # -- asking again --------------------------------------------------------------------------------------

    def test_asking_again_changes_nothing(
        self, under_test: UnderTest[Sink], service: ScriptedService
    ) -> None:
        """Rule: poll and settle are idempotent: what is decided stays, and nothing more is sent."""
        service.misbehaviour = Misbehaviour.LATE
        self._keep_all(under_test, small_messages(3))
        with self._open(under_test) as sink:
            list(_settler(sink).settle(self._asked(sink)))
        service.work()
        sent = len(service.hashes)
        self._settle(under_test, service)
        assert len(service.hashes) == sent, "asking must send nothing"
        service.misbehaviour = None
        receipts = self._settle(under_test, service)
        assert self._settle(under_test, service) == receipts, "a decision must stay as it is"
        assert len(service.hashes) == sent, "asking must send nothing"

    def test_a_rehearsal_keeps_nothing(
        self, under_test: UnderTest[Sink], service: ScriptedService, provider: type[ConservationProvider]
    ) -> None:
        """Rule: validate has a package checked, and nothing is kept or conserved by that."""
        if not issubclass(provider, SupportsValidation):
            self.not_applicable("the provider has no validate")
        shared = {**under_test.config.shared, "dry_run": True}
        rehearsal = replace(under_test, config=replace(under_test.config, shared=shared))
        for receipt in self._through(rehearsal, service, small_messages(2)).values():
            assert receipt.state is State.PENDING and not service.hashes, (
                f"a rehearsal must keep nothing: {receipt}, {len(service.hashes)} documents kept"
            )
            assert "accepted" in receipt.reason, f"a rehearsal must tell its outcome: {receipt}"
        self._clears(under_test, service)

    def test_trouble_shows_no_secret(
        self,
        under_test: UnderTest[Sink],
        service: ScriptedService,
        table: Mapping[str, object],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Rule: no secret in errors, reasons, logs or the outbox, whatever the service does."""
        secrets = [
            str(table[one.name]) for one in under_test.record.options if one.secret and table.get(one.name)
        ]
        if not secrets:
            self.not_applicable("the table has no secret")
        texts: list[str] = []
        with caplog.at_level(logging.DEBUG):
            for number, misbehaviour in enumerate((*Misbehaviour, None)):
                service.misbehaviour = misbehaviour
                self._keep_all(under_test, [small_messages(20)[number]])
                texts += [receipt.reason for receipt in self._settle(under_test, service, texts).values()]
        assert under_test.root is not None, "a conservation sink has an outbox"
        files = b"".join(path.read_bytes() for path in under_test.root.rglob("*") if path.is_file())
        for secret in secrets:
            for where, lines in (("an error or a reason", texts), ("the log", caplog.messages)):
                shown = [line for line in lines if secret in line]
                assert not shown, f"a secret was shown in {where}: {shown}"
            assert secret.encode() not in files, "a secret is in the outbox"

    def test_a_place_that_cannot_be_used(  # type: ignore[override]
        self,
        record: PluginRecord,
        broken_table: Mapping[str, object] | None,
        context: Context,
        caplog: pytest.LogCaptureFixture,
        tmp_path: Path,
    ) -> None:
        """Rule: an obstacle is an error of the tree, in one line, without final stop or secrets."""
        outbox = tmp_path / "outbox"
        outbox.mkdir()
        table = None if broken_table is None else {"outbox": str(outbox), **broken_table}
        super().test_a_place_that_cannot_be_used(record, table, context, caplog)

    # -- helpers -------------------------------------------------------------------------------------------

    @contextmanager
    def _open(self, under_test: UnderTest[Sink]) -> Iterator[Sink]:
        make_root(under_test.record, under_test.config)
        with under_test.open() as sink:
            yield sink

    def _keep(self, sink: Sink, messages: list[bytes]) -> None:
        for raw in messages:
            sink.put(make_item(raw))
        self._keys += [receipt.key for receipt in sink.commit()]

    def _asked(self, sink: Sink) -> list[Receipt]:
        """Where each message stands, also what was rejected."""
        found = [sink.find(key) for key in dict.fromkeys(self._keys)]
        return [receipt for receipt in found if receipt is not None]

    def _keep_all(self, under_test: UnderTest[Sink], messages: list[bytes]) -> None:
        with self._open(under_test) as sink:
            self._keep(sink, messages)

    def _through(
        self, under_test: UnderTest[Sink], service: ScriptedService, messages: list[bytes]
    ) -> dict[ContentKey, Receipt]:
        self._keep_all(under_test, messages)
        return self._settle(under_test, service)

    def _settle(
        self, under_test: UnderTest[Sink], service: ScriptedService, texts: list[str] | None = None
    ) -> dict[ContentKey, Receipt]:
        """Settle a few times, as runs on following days do; what the provider raises has to be of the tree."""
        for _ in range(_ROUNDS):
            with self._open(under_test) as sink:
                try:
                    list(_settler(sink).settle(self._asked(sink)))
                except IntegrityError as error:
                    raise AssertionError(f"an odd answer is no damage here: {error}") from error
                except ArchipecError as error:
                    if texts is not None:
                        texts += [error.message, error.hint, *traceback.format_exception(error)]
            service.work()
            with self._open(under_test) as sink:
                receipts = {receipt.key: receipt for receipt in self._asked(sink)}
            if not any(receipt.state is State.PENDING for receipt in receipts.values()):
                break
        return receipts

    def _clears(self, under_test: UnderTest[Sink], service: ScriptedService) -> None:
        """Fail unless all is conserved once the service behaves again, and was kept once."""
        service.misbehaviour = None
        receipts = self._settle(under_test, service)
        waiting = [receipt for receipt in receipts.values() if receipt.state is not State.STORED]
        assert not waiting, f"once the trouble is over, everything must be conserved: {waiting[:3]}"
        assert not service.doubled, f"nothing may be kept twice by the service: {sorted(service.doubled)}"
        assert sorted(service.hashes) == sorted(key.sha256 for key in receipts), (
            "nothing may be kept twice by the service, and everything once"
        )
        self._assert_proven(under_test, receipts)

    def _assert_proven(self, under_test: UnderTest[Sink], receipts: Mapping[ContentKey, Receipt]) -> None:
        assert under_test.root is not None, "a conservation sink has an outbox"
        for receipt in receipts.values():
            token = receipt.token
            assert isinstance(token, Mapping), f"what is proven must name its report: {token!r}"
            assert (under_test.root / str(token["report"])).stat().st_size, "the report must be kept"


def _settler(sink: Sink) -> SupportsSettle:
    assert isinstance(sink, SupportsSettle), "a conservation sink settles"
    return sink
