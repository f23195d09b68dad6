"""Downloaded messages: what is one, where it lies, its bytes, and what is left out and why."""

from __future__ import annotations

import errno
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipec.contract import SourceType
from archipec.errors import ArchipecError, PermanentError, Scope, TransientError
from archipec.testing import SourceConformance, configure, make_context, nasty_messages
from archipec.testing.messages import big_message, small_messages
from archipec_plugins.eml import EML_SOURCE
from archipec_plugins.eml.source import EmlSource
from archipec_plugins.files.escape import escape, unescape
from archipec_plugins.files.sniff import SNIFFED, rejection_reason

MESSAGE = b"From: a@pec.example.it\r\nSubject: prova\r\n\r\ntesto\r\n"
SAVED = {name: raw for name, raw in nasty_messages().items() if raw and not raw.startswith(b"From ")}
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="what Windows has no such thing as")


@contextmanager
def opened(path: Path, temp: Path, **context: Any) -> Iterator[EmlSource]:
    config = configure(EML_SOURCE, {"path": str(path)})
    with EML_SOURCE.open(config, replace(make_context(temp), **context)) as source:
        yield cast("EmlSource", source)


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    def tree(files: Mapping[str, bytes]) -> Path:
        top = tmp_path / "scaricati"
        top.mkdir(exist_ok=True)
        for name, raw in files.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
        return top

    return tree


def contents(source: EmlSource) -> dict[str, list[bytes]]:
    found = {}
    for folder in source.folders():
        refs = [listed.ref for listed in source.scan(folder.name, None)]
        found[folder.name] = [b"".join(answer.chunks) for answer in source.fetch(folder.name, iter(refs))]
    return found


def only_error(source: EmlSource, folder: str, ref: str) -> ArchipecError:
    (answer,) = source.fetch(folder, [ref])
    with pytest.raises(ArchipecError) as caught:
        list(answer.chunks)
    return caught.value


# -- what is a message -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ricevuta.eml", "RICEVUTA.EML", "ricevuta", "ricevuta.txt", "daticert.p7m"])
def test_a_message_is_one_by_its_content(name: str) -> None:
    for raw in (
        MESSAGE,
        MESSAGE.replace(b"\r\n", b"\n"),
        b"Received: from x\r\n\tby y\r\nX-Ricevuta: accettazione\r\nFROM : a\r\n\r\n\0\xff",
        b"\xef\xbb\xbf" + MESSAGE,
        b"Return-Path: <a@b.it>\r\nReceived: x\r\n" + b"X-Long: " + b"y" * SNIFFED,
        b"Date: x\r\nTo: y",
    ):
        assert rejection_reason(raw[:SNIFFED], name) is None


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"\xef\xbb\xbf\r\n <HTML lang=it>", "web page"),
        (b'<?xml version="1.0"?><postacert/>', "XML"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04\x14\0", "zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Outlook"),
        (b"From a@b.it Thu Jan  1 00:00:00 2026\n" + MESSAGE, "mbox"),
    ],
)
def test_what_is_evidently_something_else_is_no_message_whatever_its_name(head: bytes, reason: str) -> None:
    for name in ("a.eml", "a"):
        assert reason in (rejection_reason(head, name) or "")


@pytest.mark.parametrize(
    "head",
    [
        b"hello",
        b"Subject: only one known field\r\n\r\n",
        b"From: a\r\nTo: b\r\nthis is no field\r\n",
        b" From: a\r\nTo: b\r\n",
        b"\r\nFrom: a\r\nTo: b\r\n",
        b"\x89PNG\r\n\x1a\n",
        bytes(range(256)) * 8,
        b"x: y\r\n" * 1000,
        b"date: 2026-01-01\ntitle: some front matter\n---\n",
    ],
)
def test_only_the_name_makes_these_messages(head: bytes) -> None:
    assert rejection_reason(head[:SNIFFED], "a.eml") is None
    assert rejection_reason(head[:SNIFFED], "a.txt") == "it doesn't begin like a message"


@given(st.binary(max_size=100), st.sampled_from(["a", "a.eml"]))
def test_any_bytes_can_be_looked_at(head: bytes, name: str) -> None:
    rejection_reason(head, name)
    rejection_reason(b"From: a\r\nTo: b\r\n" + head, name)


# -- the tree --------------------------------------------------------------------------------------


def test_a_tree_is_read_folder_by_folder(tree: Callable[..., Path], tmp_path: Path) -> None:
    top = tree(
        {
            "b.eml": b"Subject: b\r\n\r\n",
            "a.EML": b"Subject: a\r\n\r\n",
            "senza estensione": MESSAGE,
            "2026/11/x.eml": b"Subject: x\r\n\r\n",
            "2026/2/y.eml": b"Subject: y\r\n\r\n",
            "Città & Co/z.eml": b"Subject: z\r\n\r\n",
            "vuota/nota.txt": b"nothing",
        }
    )
    with opened(top, tmp_path) as source:
        assert contents(source) == {
            ".": [b"Subject: a\r\n\r\n", b"Subject: b\r\n\r\n", MESSAGE],
            "2026/11": [b"Subject: x\r\n\r\n"],
            "2026/2": [b"Subject: y\r\n\r\n"],
            "Città & Co": [b"Subject: z\r\n\r\n"],
        }
        listed = list(source.scan("2026/11", None))
        assert [(one.size, one.received, one.flags, one.cursor) for one in listed] == [(14, None, (), None)]
        assert listed[0].ref.startswith("x.eml:14:")


def test_every_file_left_out_is_told_with_its_reason(
    tree: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    top = tree(
        {"a.eml": MESSAGE, "login.eml": b"<html>", "c/fattura.pdf": b"%PDF-1.4", "c/.DS_Store": b"\0\0"}
    )
    with opened(top, tmp_path) as source:
        for _ in range(2):
            contents(source)
        left_out = list(source.skipped())
    assert sorted(left_out) == [
        ("c/.DS_Store", "it doesn't begin like a message", False),
        ("c/fattura.pdf", "it is a PDF document", False),
        ("login.eml", "it is a web page", True),
    ]
    assert sorted(caplog.messages) == [
        f"3 files left out in {top}",
        "c/.DS_Store is left out: it doesn't begin like a message",
        "c/fattura.pdf is left out: it is a PDF document",
        "login.eml is left out: it is a web page",
    ]


@posix_only
def test_links_and_other_things_that_are_no_files(tree: Callable[..., Path], tmp_path: Path) -> None:
    top = tree({"a.eml": MESSAGE, "sub/b.eml": MESSAGE})
    (top / "link.eml").symlink_to(top / "a.eml")
    (top / "to-sub").symlink_to(top / "sub")
    (top / "sub/up").symlink_to(top)
    (top / "nowhere.eml").symlink_to(top / "missing")
    (top / "circle").symlink_to("circle")
    os.mkfifo(top / "pipe.eml")
    with opened(top, tmp_path) as source:
        assert contents(source) == {".": [MESSAGE], "sub": [MESSAGE]}
        reasons = {name: (reason, message) for name, reason, message in source.skipped()}
    assert reasons == {
        "link.eml": ("it is a link to a file in this folder", False),
        "to-sub": ("it is a link to a folder", False),
        "sub/up": ("it is a link to a folder", False),
        "nowhere.eml": ("it is a link that leads nowhere", True),
        "circle": ("it is a link that leads nowhere", True),
        "pipe.eml": ("it is no regular file", False),
    }


def test_a_very_deep_tree(tree: Callable[..., Path], tmp_path: Path) -> None:
    deep = "/".join("d" * 60)
    top = tree({f"{deep}/a.eml": MESSAGE, "d/b.eml": MESSAGE})
    with opened(top, tmp_path) as source:
        assert contents(source) == {"d": [MESSAGE]}
        assert [each.reason for each in source.skipped()] == ["it lies more than 50 folders deep"]


def test_one_file(tree: Callable[..., Path], tmp_path: Path) -> None:
    top = tree({"a.eml": MESSAGE, "b.eml": b"Subject: b\r\n\r\n", "sub/c.eml": MESSAGE})
    with opened(top, tmp_path) as source:
        (other,) = [listed.ref for listed in source.scan(".", None) if listed.ref.startswith("b.eml")]
    with opened(top / "a.eml", tmp_path) as source:
        assert contents(source) == {".": [MESSAGE]}
        assert list(source.fetch(".", [other])) == []
        assert list(source.scan("sub", None)) == []


def test_names_that_lead_elsewhere_hold_nothing(tree: Callable[..., Path], tmp_path: Path) -> None:
    top = tree({"a.eml": MESSAGE, "sub/b.eml": MESSAGE})
    (tmp_path / "out.eml").write_bytes(MESSAGE)
    stat = (tmp_path / "out.eml").stat()
    tail = f":{stat.st_size}:{stat.st_mtime_ns}"
    with opened(top, tmp_path) as source:
        for folder in (
            "..",
            "sub/..",
            "../scaricati",
            "/",
            "",
            "sub//",
            str(tmp_path),
            "a\0b",
            "\ufffd2e\ufffd2e",
        ):
            assert list(source.scan(folder, None)) == []
            assert list(source.fetch(folder, [f"out.eml{tail}"])) == []
        for name in (
            "../out.eml",
            "..",
            "",
            "sub/b.eml",
            str(tmp_path / "out.eml"),
            "\ufffd2e\ufffd2e\ufffd2fout.eml",
        ):
            assert list(source.fetch(".", [f"{name}{tail}"])) == []


# -- names -----------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_name_survives_being_shown(name: str) -> None:
    shown = escape(name)
    assert unescape(shown) == name
    assert shown.encode("utf-8")
    assert not any(ord(char) < 32 for char in shown)


@posix_only
@given(st.binary(min_size=1))
def test_a_name_that_is_no_text_survives_being_shown(name: bytes) -> None:
    assert os.fsencode(unescape(escape(os.fsdecode(name)))) == name


@pytest.mark.skipif(sys.platform != "linux", reason="other systems hold no such names")
def test_a_file_whose_name_is_no_text(tmp_path: Path) -> None:
    top = tmp_path / "t"
    folder = top / os.fsdecode(b"Citt\xe0")
    folder.mkdir(parents=True)
    (folder / os.fsdecode(b"pi\xf9\n.eml")).write_bytes(MESSAGE)
    with opened(top, tmp_path) as source:
        assert contents(source) == {"Citt\ufffde0": [MESSAGE]}
        (listed,) = source.scan("Citt\ufffde0", None)
        assert listed.ref.startswith("pi\ufffdf9\ufffd0a.eml:")


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("PEC", "PEC"),
        ("con spazio", "con%20spazio"),
        ("Città 100%?#", "Città%20100%25%3F%23"),
        ("a\nb", "a%0Ab"),
    ],
)
@posix_only
def test_where(tmp_path: Path, name: str, where: str) -> None:
    top = tmp_path.resolve()
    assert EML_SOURCE.where(configure(EML_SOURCE, {"path": str(top / name)})) == f"eml:{top}/{where}"


@posix_only
def test_where_is_the_place_that_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    linked, real = (
        EML_SOURCE.where(configure(EML_SOURCE, {"path": tmp_path / name})) for name in ("link/x", "real/x")
    )
    assert linked == real


# -- what changes, what can't be read, what is gone ------------------------------------------------


def test_a_file_saved_again_under_its_name_is_a_new_message(
    tree: Callable[..., Path], tmp_path: Path
) -> None:
    top = tree({"a.eml": MESSAGE, "b.eml": MESSAGE})
    with opened(top, tmp_path) as source:
        before = [listed.ref for listed in source.scan(".", None)]
        os.utime(top / "a.eml", ns=(1, 1))
        (top / "b.eml").unlink()
        assert list(source.fetch(".", before)) == []
        after = [listed.ref for listed in source.scan(".", None)]
        assert len(after) == 1
        assert after[0] not in before
        assert [b"".join(answer.chunks) for answer in source.fetch(".", after)] == [MESSAGE]


@pytest.mark.parametrize("change", [b"", MESSAGE + b"more", MESSAGE[:-1]])
def test_a_file_that_changes_while_it_is_read(
    tree: Callable[..., Path], tmp_path: Path, change: bytes
) -> None:
    top = tree({"a.eml": MESSAGE, "b.eml": MESSAGE})
    with opened(top, tmp_path) as source:
        refs = [listed.ref for listed in source.scan(".", None)]
        answers = source.fetch(".", refs)
        first = next(answers)
        (top / "a.eml").write_bytes(change)
        with pytest.raises(TransientError, match=r"a\.eml was changed while it was read") as caught:
            list(first.chunks)
        assert caught.value.scope is Scope.MESSAGE
        assert b"".join(next(answers).chunks) == MESSAGE


def test_a_file_that_can_not_be_read(
    tree: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tree({"a.eml": MESSAGE, "b": MESSAGE, "c.eml": MESSAGE})

    def refuse(path: Any, *arguments: Any) -> int:
        if Path(path).name in ("a.eml", "b"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really_open(path, *arguments)

    really_open = os.open
    monkeypatch.setattr(os, "open", refuse)
    with opened(top, tmp_path) as source:
        refs = [listed.ref for listed in source.scan(".", None)]
        assert [ref.partition(":")[0] for ref in refs] == ["a.eml", "c.eml"]
        assert list(source.skipped()) == [("b", "it can't be read: permission denied", True)]
        error = only_error(source, ".", refs[0])
        assert (type(error), error.scope) == (PermanentError, Scope.MESSAGE)
        assert f"{top / 'a.eml'}: permission denied" in error.message
        assert [answer.ref for answer in source.fetch(".", refs)] == refs
        assert dict(source.headers(".", refs)) == {
            refs[0]: b"",
            refs[1]: MESSAGE.removesuffix(b"testo\r\n"),
        }


@posix_only
def test_a_folder_that_can_not_be_read(
    tree: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tree({"a.eml": MESSAGE, "sub/b.eml": MESSAGE, "sub/inner/c.eml": MESSAGE})

    def refuse(path: Any) -> Any:
        if Path(path) == refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really_scan(path)

    really_scan = os.scandir
    monkeypatch.setattr(os, "scandir", refuse)
    refused = top / "sub"
    with opened(top, tmp_path) as source:
        assert [folder.name for folder in source.folders()] == ["."]
        assert list(source.skipped()) == [("sub", f"{top / 'sub'}: permission denied", True)]
        with pytest.raises(PermanentError) as caught:
            list(source.scan("sub", None))
        assert caught.value.scope is Scope.FOLDER
    refused = top
    with opened(top, tmp_path) as source, pytest.raises(PermanentError) as caught:
        list(source.folders())
    assert caught.value.scope is Scope.ENDPOINT


def test_a_disk_that_reads_no_more(
    tree: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tree({"a.eml": MESSAGE})
    with opened(top, tmp_path) as source:
        (ref,) = [listed.ref for listed in source.scan(".", None)]

        class Broken:
            def read(self, _: int) -> bytes:
                raise OSError(errno.EIO, "Input/output error")

            def fileno(self) -> int:
                return file.fileno()

            def close(self) -> None:
                file.close()

            __enter__ = __exit__ = lambda *_: None

        file = (top / "a.eml").open("rb")
        monkeypatch.setattr("archipec_plugins.eml.source.open_file", lambda _: Broken())
        error = only_error(source, ".", ref)
        assert (type(error), error.scope) == (TransientError, Scope.MESSAGE)
        assert dict(source.headers(".", [ref])) == {ref: b""}
        file.close()


def test_everything_vanishes(tree: Callable[..., Path], tmp_path: Path) -> None:
    top = tree({"a.eml": MESSAGE, "sub/b.eml": MESSAGE})
    with opened(top, tmp_path) as source:
        refs = [listed.ref for listed in source.scan(".", None)]
        shutil.rmtree(top)
        asks: list[Callable[[], Any]] = [
            lambda: list(source.folders()),
            lambda: list(source.scan("sub", None)),
            lambda: list(source.fetch(".", refs)),
            lambda: list(source.headers(".", refs)),
        ]
        for ask in asks:
            with pytest.raises(TransientError, match="has vanished") as caught:
                ask()
            assert caught.value.scope is Scope.ENDPOINT
            assert caught.value.retry_after == math.inf
            assert "disk" in caught.value.hint


def test_a_path_where_nothing_is(tmp_path: Path) -> None:
    with (
        pytest.raises(PermanentError, match="no such file") as caught,
        opened(tmp_path / "missing", tmp_path),
    ):
        pass
    assert "check the path" in caught.value.hint


@posix_only
def test_a_path_to_something_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(PermanentError, match="neither a folder nor a file"),
        opened(tmp_path / "pipe", tmp_path),
    ):
        pass


def test_a_large_file_comes_in_pieces(tree: Callable[..., Path], tmp_path: Path) -> None:
    raw = b"".join(big_message(3_000_000))
    with opened(tree({"a.eml": raw}), tmp_path) as source:
        refs = [listed.ref for listed in source.scan(".", None)]
        (chunks,) = [list(answer.chunks) for answer in source.fetch(".", refs)]
        assert b"".join(chunks) == raw
        assert max(map(len, chunks)) <= 128 * 1024


def test_a_header_without_end_is_cut(tree: Callable[..., Path], tmp_path: Path) -> None:
    with opened(tree({"a.eml": b"X: y\r\n" * 100_000}), tmp_path) as source:
        refs = [listed.ref for listed in source.scan(".", None)]
        ((_, head),) = source.headers(".", refs)
    assert 256 * 1024 <= len(head) <= 300 * 1024


def test_stopping(tree: Callable[..., Path], tmp_path: Path) -> None:
    top = tree({f"{number}.eml": MESSAGE for number in range(9)})
    stop: list[bool] = []
    with opened(top, tmp_path, cancelled=lambda: bool(stop)) as source:
        listed = source.scan(".", None)
        next(listed)
        stop.append(True)
        assert list(listed) == []
        assert list(source.folders()) == []


class TestConformance(SourceConformance):
    """The kit that third parties run."""

    expected_skips: ClassVar[Mapping[str, str]] = {
        "test_refs_are_pulled_as_needed": "one file is read after the other: nothing is under way",
        "test_half_a_message_is_an_error": "a file is read to its end",
        "test_quota_is_sane": "a folder has no quota",
        "test_folder_names_name_what_is_there": "every folder is read",
        "test_a_listing_is_called_whole_that_is": "a cursor means something as long as the files are there",
        "test_parse_reports_every_problem_at_once": "there is one setting",
    }

    @pytest.fixture
    def source_type(self) -> SourceType[Any]:
        return EML_SOURCE

    @pytest.fixture
    def populated(self, tree: Callable[[Mapping[str, bytes]], Path]) -> Mapping[str, Sequence[bytes]]:
        small = small_messages(20)
        tree({f"{name}.eml": raw for name, raw in SAVED.items()})
        tree({f"2026/11/Città & Co/{number}": raw for number, raw in enumerate(small)})
        return {".": list(SAVED.values()), "2026/11/Città & Co": small}

    @pytest.fixture
    def table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "scaricati")}

    @pytest.fixture
    def other_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "altri")}

    @pytest.fixture
    def broken_table(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "missing")}

    @pytest.fixture
    def snapshot(self, tmp_path: Path) -> Callable[[], object]:
        top = tmp_path / "scaricati"
        return lambda: {
            path: (path.stat().st_mtime_ns, path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
            for path in sorted(top.rglob("*"))
        }

    @pytest.fixture
    def leave_out(self, tmp_path: Path) -> Callable[[], Sequence[str]]:
        def leave_out() -> Sequence[str]:
            (tmp_path / "scaricati" / "empty.eml").write_bytes(b"")
            (tmp_path / "scaricati" / "invoice.pdf").write_bytes(b"%PDF-1.4")
            return ["empty.eml"]

        return leave_out

    @pytest.fixture
    def deliver(self, tmp_path: Path) -> Callable[[str, bytes], None]:
        def deliver(folder: str, raw: bytes) -> None:
            (tmp_path / "scaricati" / folder / "zz.eml").write_bytes(raw)

        return deliver
