"""Generated inputs are the same in every run, but for a run at full depth: what fails here fails there.

A test that needs what only POSIX has is skipped on Windows.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

from testbed.requirements import lacking

settings.register_profile("seeded", derandomize=True, deadline=None)
settings.register_profile("full", deadline=None)
settings.load_profile("full" if os.environ.get("ARCHIPEC_DEPTH") == "full" else "seeded")


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
