"""What the tests of the viewer share: a filled state folder, the viewer as a process, a browser. Once a session each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.command import Archipec
from testbed.viewer import Viewer, Window, chromium, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that ``archipec demo`` fills: sealed mail of every kind, archived twice, verified, indexed."""
    folder = tmp_path_factory.mktemp("sample") / "demo"
    Archipec(folder / "state")("demo", folder)
    return folder


@pytest.fixture(scope="session")
def viewer(sample: Path) -> Iterator[Viewer]:
    """``archipec view`` of the sample, let in."""
    with running(Archipec(sample / "state"), before=("--config", sample / "archipec.toml")) as viewer:
        viewer.let_in()
        yield viewer


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The system's Chromium; the test is skipped where there is none."""
    with chromium(tmp_path_factory.mktemp("home")) as browser:
        yield browser


@pytest.fixture(params=[None], ids=[""])
def window(request: pytest.FixtureRequest, viewer: Viewer, browser: Browser) -> Iterator[Window]:
    """A window on the sample. Parametrised indirectly by options of Playwright: {"color_scheme": "dark"}."""
    with viewer.window(browser, **(request.param or {})) as window:
        yield window
