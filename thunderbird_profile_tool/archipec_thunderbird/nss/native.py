"""Lets Thunderbird's own NSS make what this tool can't make by itself: signed trust rows in a format it does not know.

NSS works on copies, in a process of its own. What it made there is read off and goes into the profile like any other
change: in one transaction, recorded, and undone by `undo`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from archipec.language import _
from archipec_thunderbird.certificates import Certificate
from archipec_thunderbird.nss.integrity import signature_name
from archipec_thunderbird.nss.library import load_order
from archipec_thunderbird.nss.objects import Level, Usage, trust_columns
from archipec_thunderbird.nss.password import UnknownFormat, WrongPassword
from archipec_thunderbird.nss.store import CERTIFICATES, KEYS, Change, NssStore, open_store
from archipec_thunderbird.nss.trust_row import TrustRow, find_trust

__all__ = ["trust_for_mail"]

_SECONDS: Final = 60
_WRONG_PASSWORD: Final = 6


def trust_for_mail(
    profile: Path,
    store: NssStore,
    certificates: Sequence[Certificate],
    libraries: Path,
    ask: Callable[[], str],
) -> list[Change]:
    """Return the changes that make authorities trusted for mail and leave web, client and code as they are.

    Args:
        libraries: folder with Thunderbird's NSS.
        ask: called once, if there is a primary password.

    Raises:
        WrongPassword: the primary password is wrong.
        UnknownFormat: NSS could not do it either.
    """
    rows = [find_trust(store, one, None) for one in certificates]
    with tempfile.TemporaryDirectory(prefix="thunderbird-profile-tool-") as folder:
        for name in (CERTIFICATES, KEYS):
            shutil.copyfile(profile / name, Path(folder) / name)
        objects = [_object(store, one, row) for one, row in zip(certificates, rows, strict=True)]
        task = {
            "libraries": [str(path) for path in load_order(libraries)],
            "folder": folder,
            "objects": objects,
        }
        # Whether there is a primary password NSS alone knows here.
        if not _run({**task, "password": ""}) and not _run({**task, "password": ask()}):
            raise WrongPassword
        with open_store(Path(folder)) as made:
            return [_difference(store, made, one, row) for one, row in zip(certificates, rows, strict=True)]


def _object(store: NssStore, certificate: Certificate, row: TrustRow | None) -> dict[str, dict[str, str]]:
    style = row.style if row else store.new_rows
    mail = style.usages[Usage.MAIL]
    return {
        "whole": {
            name: value.hex() for name, value in trust_columns(style, certificate, Level.ANCHOR).items()
        },
        "changed": {mail: style.levels[Level.ANCHOR].hex()},
    }


def _run(task: dict[str, object]) -> bool:
    """Let NSS do it; False when it wants another password."""
    try:
        done = subprocess.run(
            [sys.executable, "-Im", "archipec_thunderbird.nss.worker"],
            input=json.dumps(task),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnknownFormat(
            _("Thunderbird's NSS could not be run: {name}").format(name=type(error).__name__)
        ) from error
    if done.returncode == _WRONG_PASSWORD:
        return False
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [_("exit code {code}").format(code=done.returncode)])[-1]
        raise UnknownFormat(_("Thunderbird's NSS could not set the trust: {said}").format(said=said))
    return True


def _difference(store: NssStore, made: NssStore, certificate: Certificate, row: TrustRow | None) -> Change:
    """Return the change that makes of a row what NSS made of it in the copy."""
    after = find_trust(made, certificate, None)
    if after is None or after.level(Usage.MAIL) is not Level.ANCHOR:
        raise UnknownFormat(_("Thunderbird's NSS set the trust without effect"))
    number, style = after.row.number, after.style
    signatures = {}
    for column in style.signed:
        name = signature_name(number, column)
        signatures[column] = (store.signature(name) if row else None, made.signature(name))
    if row is None:
        return Change(number=number, before=None, after=after.row.columns, signatures=signatures)
    changed = [
        column
        for column, (old, new) in signatures.items()
        if old != new or after.row.columns.get(column) != row.row.columns.get(column)
    ]
    return Change(
        number=number,
        before={column: row.row.columns.get(column) for column in changed},
        after={column: after.row.columns.get(column) for column in changed},
        signatures={column: signatures[column] for column in changed},
    )
