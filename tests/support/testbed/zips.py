"""What programs that know nothing of archipec make of its zips."""

from __future__ import annotations

import mailbox
import subprocess
import tempfile
import warnings
import zipfile
from pathlib import Path

from testbed.requirements import find, require

__all__ = ["assert_clean", "members", "seen"]


def members(path: Path) -> dict[str, bytes]:
    """Return what Python's zipfile finds in a zip, folders left out; no name may be there twice."""
    with warnings.catch_warnings(), zipfile.ZipFile(path) as file:
        warnings.simplefilter("error")
        assert file.testzip() is None
        names = [name for name in file.namelist() if not name.endswith("/")]
        assert len({name.casefold() for name in names}) == len(names)
        return {name: file.read(name) for name in names}


def seen(folder: Path) -> list[bytes]:
    """Return every message in the zips of a folder, sorted; those of an mbox as Python's mailbox reads them."""
    found: list[bytes] = []
    for path in sorted(folder.glob("*.zip")):
        for name, content in members(path).items():
            if not name.endswith(".mbox"):
                found.append(content)
                continue
            with tempfile.NamedTemporaryFile() as file:
                file.write(content)
                file.flush()
                box = mailbox.mbox(file.name, create=False)
                found += [box.get_bytes(key) for key in box.iterkeys()]
                box.close()
    return sorted(found)


def assert_clean(*paths: Path) -> None:
    """Fail unless Info-ZIP and 7-Zip read these zips without a word of complaint; skip the test without them."""
    require("unzip", "zipinfo")
    seven = find("7zz") or find("7z")
    if seven is None:
        require("7zz")
        return
    assert paths
    for path in map(str, paths):
        for command in (["unzip", "-tqq", path], ["zipinfo", "-1", path], [seven, "t", "-bso0", path]):
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            said = answer.stderr + (answer.stdout if command[0] == "unzip" else "")
            assert (answer.returncode, said.strip()) == (0, ""), f"{command}: {said}{answer.stdout}"
