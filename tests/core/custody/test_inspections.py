"""`archipec.custody.analysis.inspections`: analyzers of one worker share what was found out of a message."""

from __future__ import annotations

import pytest

from archipec.custody.analysis import inspections
from archipec.custody.analysis.inspections import Inspector
from archipec.pec.anchors import Anchors
from archipec.pec.inspection import Inspection, judge_dissected
from archipec.pec.structure import Structure
from archipec.simulator import Provider, compose, shared_authority


def sealed(number: int) -> bytes:
    provider = Provider(seed=number)
    return provider.envelope(provider.accept(compose(subject=str(number))))


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the messages that were judged, in that order."""
    seen: list[int] = []

    def judging(raw: bytes, structure: Structure, anchors: Anchors) -> Inspection:
        seen.append(len(raw))
        return judge_dissected(raw, structure, anchors)

    monkeypatch.setattr(inspections, "judge_dissected", judging)
    monkeypatch.setattr(inspections, "_SHARED", [])
    return seen


def test_two_that_trust_the_same_judge_once(judged: list[int]) -> None:
    root = shared_authority().root
    one, two = Inspector(Anchors((root,))), Inspector(Anchors((bytes(bytearray(root)),)))
    messages = [sealed(number) for number in range(3)]
    first = [one.inspect(raw) for raw in messages]
    assert [two.inspect(raw) for raw in messages] == first
    assert len(judged) == 3
    assert {str(found.inspection.seal.status) for found in first} == {"valid"}


def test_two_that_trust_others_do_not_share(judged: list[int]) -> None:
    raw = sealed(1)
    trusting, other = Inspector(Anchors((shared_authority().root,))), Inspector(Anchors())
    assert str(trusting.inspect(raw).inspection.seal.status) == "valid"
    assert str(other.inspect(raw).inspection.seal.status) == "untrusted"
    assert len(judged) == 2


def test_equal_messages_are_not_mixed_up_and_few_are_kept(
    judged: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspections, "_MOST", 2)
    inspector, _ = Inspector(Anchors()), Inspector(Anchors())
    messages = [b"Subject: %d\r\n\r\n" % number + b"x" * number for number in range(5)]
    for raw in messages:
        assert inspector.inspect(raw).structure.parts == ()
    assert len(judged) == 5
    inspector.inspect(messages[-1])
    assert len(judged) == 5
    inspector.inspect(messages[0])
    assert len(judged) == 6
