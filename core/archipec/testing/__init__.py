"""The conformance kit: what a plugin author runs to know that a plugin keeps the contract.

A plugin's test file subclasses one class and gives it a few fixtures::

    import pytest
    from archipec.testing import SinkConformance
    from my_plugin import MY_SINK

    class TestMySink(SinkConformance):
        expected_skips = {"test_settling_is_idempotent": "a copy here needs no confirmation"}

        @pytest.fixture
        def sink_type(self):
            return MY_SINK

        @pytest.fixture
        def table(self, tmp_path):
            return {"path": str(tmp_path / "archive")}

Every case states its rule in its docstring and in the message of its failure. A case that finds nothing to
test (the sink has no ``settle``, an optional fixture is not given) fails until ``expected_skips`` names it
with the reason; a declared one that would run and pass fails too. A broken rule can't be declared away.

This package is the only part of archipec that needs pytest.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "archipec.testing.base",
    "archipec.testing.conservation",
    "archipec.testing.deletion",
    "archipec.testing.factories",
    "archipec.testing.plugin",
    "archipec.testing.poststep",
    "archipec.testing.sink",
    "archipec.testing.sink_base",
    "archipec.testing.source",
    "archipec.testing.source_abilities",
)

from archipec.testing.base import UnderTest
from archipec.testing.conservation import ConservationConformance
from archipec.testing.conservation_double import HTML_PAGE, Misbehaviour, ScriptedService, Statement
from archipec.testing.deletion import DeletionConformance
from archipec.testing.factories import PlantedSecret, configure, make_context, make_item, make_run
from archipec.testing.faults import Fault, Faults, FaultySink, FaultySource, faulty_sink, faulty_source
from archipec.testing.messages import nasty_messages
from archipec.testing.plugin import PluginConformance
from archipec.testing.poststep import PostStepConformance
from archipec.testing.sink import SinkConformance
from archipec.testing.source import SourceConformance

__all__ = [
    "HTML_PAGE",
    "ConservationConformance",
    "DeletionConformance",
    "Fault",
    "Faults",
    "FaultySink",
    "FaultySource",
    "Misbehaviour",
    "PlantedSecret",
    "PluginConformance",
    "PostStepConformance",
    "ScriptedService",
    "SinkConformance",
    "SourceConformance",
    "Statement",
    "UnderTest",
    "configure",
    "faulty_sink",
    "faulty_source",
    "make_context",
    "make_item",
    "make_run",
    "nasty_messages",
]

# Their former names, until version 0.2.
Misdeed = Misbehaviour
Place = UnderTest
