"""The Thunderbird step at work: asks the tool that stands alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from archipec.contract import RunView
from archipec.errors import (
    ArchipecError,
    AuthError,
    ConfigError,
    IntegrityError,
    PermanentError,
    TransientError,
)
from archipec_thunderbird import errors as tool
from archipec_thunderbird.profiles import choose
from archipec_thunderbird.status import read_status
from archipec_thunderbird.trust import Wanted, trust

__all__ = ["ThunderbirdStep"]

_ERRORS: Final[tuple[tuple[type[tool.ToolError], type[ArchipecError]], ...]] = (
    (tool.AuthError, AuthError),
    (tool.ConfigError, ConfigError),
    (tool.TransientError, TransientError),
    (tool.IntegrityError, IntegrityError),
)


class ThunderbirdStep:
    """A `archipec.contract.PostStep` that looks at one profile.

    Args:
        profile: its folder or name, None for what Thunderbird opens.
        trust: whether what is missing shall be set.
    """

    def __init__(self, profile: str | None, log: logging.Logger, *, trust: bool) -> None:
        self._profile = profile
        self._log = log
        self._trust = trust

    def run(self, run: RunView) -> None:  # noqa: ARG002 - trust does not depend on the run
        """Warn when the profile does not trust the root of PEC for mail, or make it."""
        with _translated():
            profile = choose(self._profile).path
            if self._trust:
                for step in trust(profile, Wanted(), lambda: _refuse(profile)).steps:
                    self._log.info("%s: %s", profile, step)
                return
            for authority in read_status(profile).authorities:
                if not authority.mail:
                    self._log.warning(
                        'Thunderbird does not trust "%s" for mail in %s: run `thunderbird-profile-tool trust`',
                        authority.certificate.name,
                        profile,
                    )


def _refuse(profile: Path) -> str:
    raise tool.AuthError(
        f"{profile} has a primary password, which a pipeline can't ask for",
        hint="run `thunderbird-profile-tool trust` once by hand",
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Raise the tool's errors as archipec's of the same kind."""
    try:
        yield
    except tool.ToolError as error:
        kind = next((ours for theirs, ours in _ERRORS if isinstance(error, theirs)), PermanentError)
        raise kind(error.message, hint=error.hint) from error
