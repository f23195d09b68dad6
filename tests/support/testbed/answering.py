"""A Thunderbird that types the primary password into its own prompt, as a person would.

It asks before its window opens, when nobody can speak Marionette to it yet. So this is the installed program, linked
into another folder beside a configuration script (AutoConfig) that answers.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .requirements import thunderbird_program

_ENABLE = """\
pref("general.config.filename", "answer.cfg");
pref("general.config.obscure_value", 0);
pref("general.config.sandbox_enabled", false);
"""
# Thunderbird passes over the first line.
_ANSWER = """\
// answers the prompt for the primary password
Services.obs.addObserver(prompt => {
  prompt.addEventListener("load", () => {
    const field = prompt.document.getElementById("password1Textbox");
    if (field) {
      field.value = PASSWORD;
      prompt.setTimeout(() => prompt.document.querySelector("dialog").acceptDialog(), 0);
    }
  }, { once: true });
}, "domwindowopened");
"""


def answering_program(folder: Path, password: str) -> str:
    """Make such a Thunderbird in a folder that is not there yet and return its program."""
    program = thunderbird_program()
    assert program is not None
    installed = Path(program).parent
    _link_all(installed, folder, but={"defaults", Path(program).name})
    _link_all(installed / "defaults", folder / "defaults", but={"pref"})
    _link_all(installed / "defaults" / "pref", folder / "defaults" / "pref")
    # A copy: the program looks for its files beside its real self.
    shutil.copy(program, folder / "thunderbird")
    (folder / "defaults" / "pref" / "answer.js").write_text(_ENABLE)
    (folder / "answer.cfg").write_text(_ANSWER.replace("PASSWORD", json.dumps(password)))
    return str(folder / "thunderbird")


def _link_all(source: Path, target: Path, but: frozenset[str] | set[str] = frozenset()) -> None:
    target.mkdir()
    for path in source.iterdir():
        if path.name not in but:
            (target / path.name).symlink_to(path)
