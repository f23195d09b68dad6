"""What the tests of the viewer share: a filled state folder, the viewer as a process, a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.command import Archipec
from testbed.hostile_mail import LOGO, hostile_html, hostile_subjects, letter, sealed, with_hostile_names
from testbed.invoicing import invoices_and_notices
from testbed.office import NOTICE, ORDINARY, Office, sending
from testbed.trap import Trap, trap
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


# Not once a session: while Playwright is there, its event loop runs in the thread of all tests, also those of other files.
@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The system's Chromium; the test is skipped where there is none."""
    with chromium(tmp_path_factory.mktemp("home")) as browser:
        yield browser


@pytest.fixture(params=[None], ids=[""])
def window(request: pytest.FixtureRequest, viewer: Viewer, browser: Browser) -> Iterator[Window]:
    """A window on the sample. Parametrised indirectly by options of Playwright: {"color_scheme": "dark"}."""
    with viewer.window(browser, **(request.param or {})) as window:
        yield window


@pytest.fixture(scope="session")
def trapped() -> Iterator[Trap]:
    """A server that hostile mail would have the browser ask."""
    with trap() as one:
        yield one


@pytest.fixture(scope="session")
def mail(tmp_path_factory: pytest.TempPathFactory, trapped: Trap) -> Office:
    """An office whose mail is partly made to act on who looks at it, with sendings that lack receipts and with invoices."""
    office = Office(tmp_path_factory.mktemp("mail"))
    office.put(*hostile_subjects().values(), with_hostile_names(), NOTICE, ORDINARY)
    for day, (name, html) in enumerate(hostile_html(trapped.address).items(), start=30):
        office.put(sealed(letter(f"HTML {name}", html), day))
    office.put(
        sealed(letter("Con logo", '<p>Ciao</p><img src="cid:logo@x">', "mario@posta.example.it", LOGO), 60)
    )
    for number, count in enumerate((2, 1, 0)):
        original, receipts = sending(f"Istanza {count} ricevute", number)
        office.put(original, folder="Inviata")
        office.put(*receipts[:count])
    office.put(*invoices_and_notices())
    office.archive()
    return office


@pytest.fixture(scope="session")
def reader(mail: Office) -> Iterator[Viewer]:
    """``archipec view`` of that office, let in."""
    with running(mail.command, before=("--config", mail.folder / "archipec.toml")) as viewer:
        viewer.let_in()
        yield viewer
