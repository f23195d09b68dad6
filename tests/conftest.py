"""Generated inputs are the same in every run, but for a run at full depth: what fails here fails there.

Everything speaks English, whatever the developer's language. A test that needs what only POSIX has is skipped on Windows.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

from archipec import masking
from testbed.requirements import lacking

# Tests read what is said in English, in the programs that they start, too.
os.environ.pop("ARCHIPEC_LANG", None)
os.environ["LANGUAGE"] = "en"

settings.register_profile("seeded", derandomize=True, deadline=None)
settings.register_profile("full", deadline=None)
settings.load_profile("full" if os.environ.get("ARCHIPEC_DEPTH") == "full" else "seeded")


@pytest.fixture(autouse=True)
def what_a_test_hides_is_hidden_in_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a password of one test is masked in the errors of the next."""
    for name in ("_hidden", "_forms", "_encoded"):
        monkeypatch.setattr(masking, name, set(getattr(masking, name)))
    monkeypatch.setattr(masking, "_pattern", masking._pattern)


def _skip_what_is_lacking() -> Generator[None]:
    try:
        yield
    except AttributeError as error:
        if reason := lacking(error):
            pytest.skip(reason)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None]:
    yield from _skip_what_is_lacking()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    yield from _skip_what_is_lacking()
