"""`archipec.language`: which language is chosen, and what is said in it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from archipec import language
from archipec.errors import counted
from archipec.language import _, choose, current, preferred, speaking, translation, written
from testbed.command import Archipec


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speak as before, after a test that chooses."""
    monkeypatch.setattr(language, "_chosen", language._chosen)
    for name in ("ARCHIPEC_LANG", "LANGUAGE"):
        monkeypatch.setenv(name, "en")


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({}, "en"),
        ({"LANG": "it_IT.UTF-8"}, "it"),
        ({"LANG": "it_CH"}, "it"),
        ({"LANG": "it"}, "it"),
        ({"LANG": "it@euro"}, "it"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "it_IT.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "it_IT.UTF-8"}, "it"),
        ({"LANG": "it_IT.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "it_IT.UTF-8", "LC_ALL": ""}, "it"),
        ({"LANG": "it_IT.UTF-8", "LC_CTYPE": "en_US.UTF-8"}, "it"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "it:en"}, "it"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "fr:it"}, "it"),
        ({"LANG": "C", "LANGUAGE": "it"}, "en"),
        ({"LANG": "it_IT.UTF-8", "ARCHIPEC_LANG": "en"}, "en"),
        ({"LANG": "C", "ARCHIPEC_LANG": "it"}, "it"),
        ({"LANG": "it_IT.UTF-8", "ARCHIPEC_LANG": "tlh"}, "en"),
    ],
)
def test_the_language_is_what_the_user_prefers(
    environment: dict[str, str], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "_of_the_system", list)
    assert preferred(environment) == code


@pytest.mark.parametrize(
    ("languages", "code"), [(["it-IT", "en-GB"], "it"), (["de-AT", "it"], "it"), ([], "en")]
)
def test_a_desktop_has_its_own_setting(
    languages: list[str], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "_of_the_system", lambda: languages)
    assert preferred({}) == code


def test_what_macos_answers_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class _Answer:
        stdout = '(\n    "it-IT",\n    "zh-Hans-IT"\n)\n'

    monkeypatch.setattr("subprocess.run", lambda *_given, **_options: _Answer)
    assert language._of_macos() == ["it-IT", "zh-Hans-IT"]

    def lacking(*_given: object, **_options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("subprocess.run", lacking)
    assert language._of_macos() == []


def test_what_is_chosen_is_spoken_and_given_on(restored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    choose("it")
    assert current() == "it"
    assert _("interrupted") == "interrotto"
    assert os.environ["ARCHIPEC_LANG"] == "it"
    choose("en")
    assert _("interrupted") == "interrupted"
    monkeypatch.setenv("ARCHIPEC_LANG", "it")
    choose()
    assert current() == "it"


def test_a_document_has_its_own_language_in_its_own_thread() -> None:
    heard = []
    with speaking("it"):
        assert (_("interrupted"), counted(2500, "message")) == ("interrotto", "2.500 messaggi")
        with speaking("en"):
            assert _("interrupted") == "interrupted"
        other = threading.Thread(target=lambda: heard.append(_("interrupted")))
        other.start()
        other.join()
        assert translation(current()).gettext("interrupted") == "interrotto"
    assert heard == [_("interrupted")] == ["interrupted"]


def test_what_has_no_translation_is_said_in_english() -> None:
    with speaking("it"):
        assert _("a sentence of a plugin") == "a sentence of a plugin"
        assert _("") == ""


def test_numbers() -> None:
    assert (written(2500), written(1234.56, 1)) == ("2,500", "1,234.6")
    with speaking("it"):
        assert (written(2500), written(1234.56, 1)) == ("2.500", "1.234,6")


def test_the_command_line_speaks_the_language_that_is_asked_for(tmp_path: Path) -> None:
    italian = dict.fromkeys(("ARCHIPEC_LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"), "") | {
        "LANG": "it_IT.UTF-8"
    }
    archipec = Archipec(tmp_path, italian)
    assert "Uso: " in archipec("--help").out
    assert "Usage: " in archipec("--lang", "en", "--help").out
    assert "Uso: " in archipec("archive", "--help").out
    assert "Errore: " in archipec("archiv", expect=2).err
    archipec = Archipec(tmp_path, italian | {"LC_ALL": "C"})
    assert "Usage: " in archipec("--help").out
    assert "Uso: " in archipec("--lang", "it", "--help").out
    assert "Errore: " in archipec("--lang", "it", "archiv", expect=2).err
    archipec("--lang", "fr", "status", expect=2)


def test_what_a_script_reads_is_english_unless_it_asks(tmp_path: Path) -> None:
    archipec = Archipec(tmp_path, {"ARCHIPEC_LANG": "it"})
    config = ("--config", tmp_path / "none.toml")
    english = "there is no configuration"
    assert english in archipec(*config, "status", "--json", expect=4).err
    assert english not in archipec(*config, "status", expect=4).err
    assert english not in archipec("--lang", "it", *config, "status", "--json", expect=4).err
