"""`check` names every cause, says what to run where something helps, and what the message is worth where nothing does."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archipec.simulator import Authority, Provider, shared_authority, to_pem
from archipec_thunderbird.causes import Cause, Diagnosis
from archipec_thunderbird.certificates import actalis_root
from archipec_thunderbird.cli import check
from testbed.nss import add_trust, make_databases
from testbed.requirements import require
from testbed.seal_causes import ONE_CAUSE, SEVERAL_CAUSES, SHA1, altered, good, resealed, special
from testbed.tool import Tool

KEEPS_ITS_VALUE = "the message keeps the value it had"


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path / "home")


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(raw: bytes, name: str = "message.eml") -> Path:
        path = tmp_path / name
        path.write_bytes(raw)
        return path

    return write


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    path = tmp_path / "root.pem"
    path.write_text(shared_authority().root_pem)
    return path


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What one run of `check`, without a profile, says of every message."""
    folder = tmp_path_factory.mktemp("messages")
    (folder / "root.pem").write_text(shared_authority().root_pem)
    makers = {**ONE_CAUSE, **{"+".join(names): make for names, make in SEVERAL_CAUSES.items()}}
    files = {name: folder / f"{name}.eml" for name in makers}
    for name, path in files.items():
        path.write_bytes(makers[name]())
    found = Tool(folder)("check", *files.values(), "--ca", folder / "root.pem", "--json", expect=7).objects
    return dict(zip(files, found, strict=True))


@pytest.mark.parametrize("cause", ONE_CAUSE)
def test_each_cause_is_told_apart(said: dict[str, dict[str, Any]], cause: str) -> None:
    """Without a profile the root is a stranger's, and the cause comes besides."""
    assert {one["name"] for one in said[cause]["causes"]} == {cause, "root-untrusted"}
    assert said[cause]["profile"] is None
    helped = cause in ("sha1", "intermediate-missing")
    assert (said[cause]["command"] is not None) is helped
    assert (len(said[cause]["changes"]) == 2) is helped


@pytest.mark.parametrize("causes", SEVERAL_CAUSES, ids="+".join)
def test_every_cause_that_applies_is_named(said: dict[str, dict[str, Any]], causes: tuple[str, ...]) -> None:
    found = {one["name"] for one in said["+".join(causes)]["causes"]}
    assert found == {*causes, "root-untrusted"}


def test_what_helps_is_said_as_a_command(tool: Tool, save: Callable[..., Path], ca: Path) -> None:
    path = save(ONE_CAUSE["sha1"](), "con spazi.eml")
    result = tool("check", path, "--ca", ca, expect=3)
    (line,) = (line for line in result.out.splitlines() if line.startswith("run: "))
    assert shlex.split(line.removeprefix("run: ")) == [
        str(tool.program),
        "trust",
        "--accept-sha1",
        "--ca",
        str(ca),
    ]
    assert "Test Root CA 0 is trusted for mail; its trust for the web stays as it is" in result.out
    assert "whoever can forge SHA-1" in result.out


def test_nothing_to_run_for_an_expired_signer(tool: Tool, save: Callable[..., Path], ca: Path) -> None:
    result = tool("check", save(SEVERAL_CAUSES["signer-expired", "sha1"]()), "--ca", ca, expect=3)
    assert "run: " not in result.out.replace("nothing to run: ", "")
    assert "nothing to run: no setting of Thunderbird's takes away signer-expired" in result.out
    assert "expired on 1 January 2025: it was valid when the message was sealed on 3 June 2024" in result.out
    assert KEEPS_ITS_VALUE in result.out


def test_an_altered_copy_is_worth_nothing(tool: Tool, save: Callable[..., Path], ca: Path) -> None:
    result = tool("check", save(altered(good())), "--ca", ca, expect=7)
    assert "this copy proves nothing any more" in result.out
    assert KEEPS_ITS_VALUE not in result.out


def test_another_message_lends_the_intermediate(tool: Tool, save: Callable[..., Path], ca: Path) -> None:
    bare, other = save(resealed(issuer=False), "bare.eml"), save(good(), "other.eml")
    alone = tool("check", bare, "--ca", ca, "--json", expect=3).object
    assert alone["command"] is None
    assert "check it together with another message" in alone["hint"]
    found = tool("check", bare, other, "--ca", ca, "--json", expect=3).objects[0]
    assert found["command"] == shlex.join(
        [str(tool.program), "trust", "--intermediate", str(other), "--ca", str(ca)]
    )
    assert len(found["changes"]) == 2


def test_a_stranger_s_root_is_asked_for(tool: Tool, save: Callable[..., Path]) -> None:
    found = tool("check", save(good()), "--json", expect=3).object
    assert [one["name"] for one in found["causes"]] == ["root-unknown"]
    assert (found["command"], found["thunderbird"]["name"]) == (None, "VERIFY_UNTRUSTED")
    assert "--ca" in found["hint"]
    assert "nothing shows that a PEC provider made it" in found["worth"]


@pytest.mark.parametrize(
    ("raw", "words", "code"),
    [
        (b"From: a@b.it\r\n\r\nplain", "carries no seal", 3),
        (good().replace(b"micalg=sha-256;", b""), "announces no digest", 3),
        (good().replace(b"micalg=sha-256", b"micalg=sha-512"), "announces a seal with sha512", 3),
        (resealed(signer=special(without="subject_alt_name")), "names no mail address", 3),
        (good().replace(b"From: posta-certificata@", b"From: altri@"), "is that of", 3),
    ],
)
def test_odd_messages(
    tool: Tool, save: Callable[..., Path], ca: Path, raw: bytes, words: str, code: int
) -> None:
    result = tool("check", save(raw), "--ca", ca, expect=code)
    assert words in result.out
    assert "nothing to run" in result.out


def test_what_is_no_message_is_refused(
    tool: Tool, save: Callable[..., Path], ca: Path, tmp_path: Path
) -> None:
    box = save(b"".join(b"From - Mon Mar  3 10:00:00 2025\n" + good() + b"\n" for _ in range(2)), "a.mbox")
    for path, words in (
        (ca, "it holds a certificate (PEM)"),
        (box, "it is an mbox"),
        (save(b"", "empty"), "it is empty"),
    ):
        result = tool("check", path, "--ca", ca, expect=4)
        assert f"{path} is not a message: {words}" in result.err
        assert result.out == ""
    result = tool("check", box, save(good()), "--ca", ca, "--json", expect=4)
    assert len(result.objects) == 1


def test_a_terminal_is_not_steered(tool: Tool, save: Callable[..., Path]) -> None:
    path = save(good().replace(b"From: posta", b"From: \x1b[31mposta"))
    assert "\x1b" not in tool("check", path, expect=3).out


def test_another_authority_s_seal(tool: Tool, save: Callable[..., Path], tmp_path: Path) -> None:
    """The seal of one authority is not mended by trusting another of the same kind."""
    stranger = tmp_path / "stranger.pem"
    stranger.write_text(to_pem(Authority(9).root))
    found = tool("check", save(good(Provider(seed=3))), "--ca", stranger, "--json", expect=3).object
    assert [one["name"] for one in found["causes"]] == ["root-unknown"]


def test_check_and_the_command_it_prints(
    tool: Tool, save: Callable[..., Path], ca: Path, tmp_path: Path
) -> None:
    """A root that the profile knows and trusts for the web alone: asked for, then trusted by the printed command."""
    require("certutil")
    profile = tmp_path / "un profilo"
    profile.mkdir()
    make_databases(profile)
    add_trust(profile, shared_authority().root, "C,,")
    message = save(good(style=SHA1))
    unhelped = tool("check", message, "--profile", profile, "--json", expect=3).object
    assert [one["name"] for one in unhelped["causes"]] == ["sha1", "root-untrusted"]
    assert (unhelped["command"], "--ca" in unhelped["hint"]) == (None, True)
    printed = tool("check", message, "--profile", profile, "--ca", ca, "--json", expect=3).object["command"]
    program, *arguments = shlex.split(printed)
    assert program == str(tool.program)
    tool(*arguments)
    said = tool("check", message, "--profile", profile, "--json").object
    assert (said["trusted"], said["causes"], said["command"], said["hint"]) == (True, [], None, "")
    assert "trusts this seal" in tool("check", message, "--profile", profile).out
    tool("undo", "--profile", profile)
    assert (
        tool("check", message, "--profile", profile, "--json", expect=3).object["causes"]
        == unhelped["causes"]
    )


def test_the_built_in_root_needs_no_file() -> None:
    cause = Cause("root-untrusted", "", 1029, actalis_root(), fixable=True)
    assert check._options(Diagnosis((cause,), None, None, ""), {}, {}) == []


def test_wrong_use(tool: Tool, save: Callable[..., Path], tmp_path: Path) -> None:
    assert "Missing argument" in tool("check", expect=2).err
    error = json.loads(tool("check", tmp_path / "gone.eml", "--json", expect=4).err.splitlines()[-1])
    assert error["exit_code"] == 4
    assert "gone.eml" in error["error"][0]
    not_a_root = save(b"hello", "no.pem")
    assert "holds no certificate" in tool("check", save(good()), "--ca", not_a_root, expect=4).err
    assert "no profile of Thunderbird" in tool("check", save(good()), "--profile", tmp_path, expect=4).err
    both = tool("check", save(good()), "--profile", "x", "--all-profiles", expect=4)
    assert "exclude each other" in both.err
