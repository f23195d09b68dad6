"""Changed messages by the thousand: no exception of any kind, none slow, none large."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = os.environ.get("ARCHIPEC_DEPTH") == "full"
COUNT = 100_000 if FULL else 4_000

_PROGRAM = """
import json, random, resource, sys, time, traceback
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from archipec.errors import ArchipecError
from archipec.pec.anchors import Anchors
from archipec.pec.extract import extract
from archipec.pec.inspection import judge_dissected
from archipec.simulator import Provider, compose, mailbox, shared_authority
from archipec.pec.structure import parse_structure
from testbed.mutations import mutated
from testbed.seals import indefinite, signature, signed_entity, with_signature

anchors = Anchors((shared_authority().root,))
provider = Provider()
message = provider.envelope(compose())
der = signature(signed_entity(message), [provider.certificate], opaque=True)
originals = [sample.raw for sample in mailbox(60, seed=5, size=9000)]
originals += [with_signature(message, indefinite(der)), provider.envelope(provider.delivery(compose()))]
judge_dissected(message, parse_structure(message), anchors)
chance = random.Random(int(sys.argv[2]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
slowest, statuses, failures = 0.0, {}, []
for number in range(int(sys.argv[3])):
    raw = chance.choice(originals)
    for _ in range(chance.choice((1, 1, 3))):
        raw = mutated(raw, chance) or raw
    start = time.process_time()
    try:
        structure = parse_structure(raw)
        status = judge_dissected(raw, structure, anchors).seal.status
        for part in (structure.daticert, structure.postacert):
            if part is not None:
                try:
                    part.content()
                except ArchipecError:
                    pass
        statuses[status] = statuses.get(status, 0) + 1
    except Exception:
        failures.append([number, traceback.format_exc()])
    slowest = max(slowest, time.process_time() - start)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({"slowest": slowest, "grown": grown, "statuses": statuses, "failures": failures[:5]}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
@pytest.mark.timeout(3000)
def test_changed_messages_raise_nothing_and_stay_quick_and_small() -> None:
    support = Path(__file__).parents[2] / "support"
    seed = 11
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(support), str(seed), str(COUNT)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert found["slowest"] < 1
    unit = 1 if sys.platform == "darwin" else 1024
    assert found["grown"] * unit < 100_000_000
    assert set(found["statuses"]) >= {"valid", "altered", "malformed", "unsigned", "untrusted"}
    assert sum(found["statuses"].values()) == COUNT
