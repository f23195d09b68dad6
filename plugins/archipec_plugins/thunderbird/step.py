"""Looks after a run whether Thunderbird trusts what PEC providers seal, and with ``trust = true`` sees to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from archipec.contract import Context, Option, PostStep, PostStepType, boolean
from archipec.hookspecs import hookimpl

__all__ = ["THUNDERBIRD", "archipec_poststeps"]


@contextmanager
def _open(config: Mapping[str, Any], context: Context) -> Iterator[PostStep]:
    from archipec_plugins.thunderbird.trust import ThunderbirdStep

    yield ThunderbirdStep(config["profile"], context.log, trust=config["trust"])


THUNDERBIRD = PostStepType[Mapping[str, Any]](
    api=1,
    name="thunderbird",
    summary="looks whether Thunderbird trusts the seals of PEC providers, and can make it",
    schemes=("thunderbird",),
    options=(
        Option(
            name="profile",
            help="a profile's folder or name; by default what Thunderbird opens",
            part="path",
        ),
        Option(
            name="trust",
            help="set what is missing, while Thunderbird is closed, as `thunderbird-profile-tool trust` does",
            default=False,
            convert=boolean,
        ),
    ),
    parse=dict,
    where=lambda config: f"thunderbird:{config['profile'] or 'default'}",
    open=_open,
)


@hookimpl
def archipec_poststeps() -> Iterable[PostStepType[Any]]:
    """Yield the Thunderbird step."""
    yield THUNDERBIRD
