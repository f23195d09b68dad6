"""The options by which a user says whom to trust."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from archipec.pec.anchors import TrustFiles

__all__ = ["trust_options"]

_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option(
        "--trust",
        multiple=True,
        type=_FILE,
        metavar="FILE",
        help="Certificates to trust besides the root of PEC (PEM or DER).",
    ),
    click.option(
        "--trust-list",
        multiple=True,
        type=_FILE,
        metavar="FILE",
        help="A national trusted list (ETSI TS 119 612), which names the providers of REM.",
    ),
    click.option(
        "--crl",
        multiple=True,
        type=_FILE,
        metavar="FILE",
        help="A list of revoked certificates to ask (PEM or DER); nothing is fetched.",
    ),
)


def trust_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options, which it gets as one argument: ``trust``, a `TrustFiles`."""

    @wraps(command)
    def with_trust(
        *args: Any,
        trust: tuple[Path, ...],
        trust_list: tuple[Path, ...],
        crl: tuple[Path, ...],
        **others: Any,
    ) -> Any:
        return command(*args, trust=TrustFiles(certificates=trust, lists=trust_list, crls=crl), **others)

    decorated: Callable[..., Any] = with_trust
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
