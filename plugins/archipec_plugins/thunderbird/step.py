"""The step after a run: looks whether Thunderbird trusts what PEC providers seal, and with ``trust = true`` sees to it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archipec.contract import Context, RunView
from archipec.errors import AuthError
from archipec.language import _
from archipec_thunderbird.profiles import choose
from archipec_thunderbird.status import read_status
from archipec_thunderbird.trust import TrustRequest, trust


@contextmanager
def open_step(config: Mapping[str, Any], context: Context) -> Iterator[ThunderbirdStep]:
    """Make the step."""
    yield ThunderbirdStep(config["profile"], context.log, trust=config["trust"])


class ThunderbirdStep:
    """An `archipec.contract.PostStep` that looks at one profile.

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
        profile = choose(self._profile).path
        if self._trust:
            for step in trust(profile, TrustRequest(), lambda: _refuse(profile)).steps:
                self._log.info("%s: %s", profile, step)
            return
        for authority in read_status(profile).authorities:
            if not authority.mail:
                self._log.warning(
                    _('Thunderbird does not trust "%s" for mail in %s: run `thunderbird-profile-tool trust`'),
                    authority.certificate.name,
                    profile,
                )


def _refuse(profile: Path) -> str:
    raise AuthError(
        _("{profile} has a primary password, which a pipeline can't ask for").format(profile=profile),
        hint=_("run `thunderbird-profile-tool trust` once by hand"),
    )
