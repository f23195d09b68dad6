"""Correct conservation providers pass every case of the kit, whichever way their service answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest

from archipec.conservation.provider import ConservationProvider
from archipec.testing import ConservationConformance, ScriptedService

from .memory_provider import PASSWORD, WIRES, AtOnce, MemoryProvider, Wire


class TestMemoryProvider(ConservationConformance):
    """A service that reports later and keeps twice what is deposited twice."""

    test_import_is_cheap_and_silent = None  # type: ignore[assignment]  # it is no module of a distribution

    @pytest.fixture
    def provider(self) -> type[ConservationProvider]:
        return MemoryProvider

    @pytest.fixture
    def service(self, monkeypatch: pytest.MonkeyPatch) -> ScriptedService:
        service = ScriptedService()
        monkeypatch.setitem(WIRES, "memory", Wire(service))
        return service

    @pytest.fixture
    def table(self, service: ScriptedService) -> Mapping[str, object]:
        return {"host": "memory", "user": "studio", "password": PASSWORD}

    @pytest.fixture
    def mistakes(self) -> Sequence[Mapping[str, object]]:
        return [{"host": "a b"}, {"user": "two words"}]

    @pytest.fixture
    def other_table(self, table: Mapping[str, object]) -> Mapping[str, object]:
        return {**table, "user": "altro"}

    @pytest.fixture
    def broken_table(self, table: Mapping[str, object], tmp_path: Any) -> Mapping[str, object]:
        return {**table, "host": "nobody"}


class TestAtOnce(TestMemoryProvider):
    """One unit a package."""

    expected_skips: ClassVar = {"test_a_partial_outcome": "a package has one document"}

    @pytest.fixture
    def provider(self) -> type[ConservationProvider]:
        return AtOnce

    @pytest.fixture
    def service(self, monkeypatch: pytest.MonkeyPatch) -> ScriptedService:
        service = ScriptedService(at_once=True, recognises=True)
        monkeypatch.setitem(WIRES, "memory", Wire(service))
        return service
